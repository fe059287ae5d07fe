"""The settings: every section with its defaults, which are those of the `embedded` preset. Checked by pydantic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from pipelines.checking_settings import GroundingSettings
from rag.domains.names import ImageDomain
from rag.types import Kind, Storage

DEFAULT_PRESET = "embedded"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(_Section):
    """Where model files are. `local` maps a model's name to a folder or file of the user's own."""

    cache: Path | None = None
    local: dict[str, Path] = Field(default_factory=dict)
    threads: int = Field(0, ge=0, description="0: one per core that this process may use")


class PageSettings(_Section):
    """How books are read."""

    ocr: bool = False
    glossary: bool = Field(False, description="what a book's own sentences define becomes facts (docs/facts.md)")
    page_timeout_s: float = Field(30.0, gt=0)
    memory_mb: int = Field(2048, ge=256)


class CaseSettings(_Section):
    """How case corpora are read, and what becomes of data that identify a patient (docs/dicom.md)."""

    identifiers: Literal["refuse", "mask", "allow"] = Field(
        "refuse", description="a corpus with names, numbers or addresses of patients: refused, masked, or let in"
    )
    burned_in: Literal["quarantine", "allow"] = Field(
        "quarantine", description="DICOM pictures that may show the patient's name in their pixels"
    )
    frames: int = Field(1, ge=1, le=16, description="pictures taken of a DICOM file with several frames")


class StoreSettings(_Section):
    """Where vectors live: in the library folder (embedded), on a Qdrant server, or in memory for tests."""

    kind: Literal["embedded", "server", "memory"] = "embedded"
    url: str = "http://127.0.0.1:6333"
    api_key: str | None = None
    prefix: str = "vesalius"
    shards: int = Field(1, ge=1, description="shards per collection on a cluster: a multiple of its nodes")
    replicas: int = Field(1, ge=1, description="copies of each shard on a cluster")


class RaySettings(_Section):
    """How wide a build with --engine ray is."""

    address: str = Field("local", description='"local" starts Ray here; "auto" or ray://HOST:10001 joins a cluster')
    actors: int = Field(0, ge=0, description="encoders at work at once; 0: one per GPU, two without any")
    cpus: float = Field(1.0, gt=0, description="cores reserved for each of them")
    units: int = Field(32, ge=1, description="pages (groups of cases or facts) in one task")
    writers: int = Field(1, ge=1, description="batches written at once; more than one only helps with a server")


_Pictured = Literal["late", "dense", "bm25", "image", "clip", "aligned"]


class ChannelSettings(_Section):
    """Which channels each passage kind has."""

    pages: tuple[Literal["late", "dense", "bm25", "terms", "visual"], ...] = ("late", "dense", "bm25", "terms")
    figures: tuple[_Pictured, ...] = ("late", "dense", "bm25", "image")
    cases: tuple[_Pictured, ...] = ("late", "dense", "bm25", "image")
    facts: tuple[Literal["dense", "bm25", "aligned"], ...] = ("dense", "bm25")
    image_views: Literal[1, 2, 6] = Field(
        6, description="views of an indexed image: whole, centre, corners; more find more cut-outs and cost more"
    )

    def by_kind(self) -> dict[Kind, tuple[str, ...]]:
        """Channel names per passage kind."""
        return {"page": self.pages, "figure": self.figures, "case": self.cases, "fact": self.facts}


class VisualSettings(_Section):
    """The encoder of page images (channel "visual"), how its rows are pooled and stored, and where it runs."""

    model: str = Field("", description="a checkpoint: a folder, or a model id of the hub")
    revision: str | None = Field(None, description="commit of the hub model; pin it")
    library: Literal["auto", "colpali-engine", "sentence-transformers", "vllm"] = "auto"
    url: str = Field("http://127.0.0.1:8000", description="the pooling server, for library vllm")
    devices: tuple[str, ...] = Field(("auto",), description='"auto": every GPU, else the CPU')
    dtype: Literal["auto", "bf16", "f32"] = "auto"
    max_patches: int = Field(0, ge=0, description="patches of a page at the most; 0: as the model's processor says")
    pool_factor: int = Field(1, ge=1, description="token pooling of the stored rows: so many become one")
    storage: Storage = "turbo8"
    coarse: Literal["rows", "columns", "rows-columns", "hierarchical", "none"] = "rows"
    depth: int = Field(100, ge=1, description="pages that the pooled first stage keeps for exact scoring")


class LateSettings(_Section):
    """The rows of text late interaction (channel "late"): how many are stored, in which form, and a first stage."""

    storage: Storage = "turbo8"
    pool_factor: int = Field(1, ge=1, description="token pooling: so many rows become one; heat maps need 1")
    coarse_rows: int = Field(0, ge=0, description="pooled rows of a first stage, for searching this channel alone")
    depth: int = Field(100, ge=1, description="passages that the first stage keeps")


class ClipSettings(_Section):
    """A dual encoder for images and captions (channel "clip"): CLIP, SigLIP and their medical descendants."""

    model: str = Field(
        "", description="a name of the catalogue, a folder, or a model id of the hub; open_clip: ARCHITECTURE/FILE too"
    )
    revision: str | None = None
    library: Literal["auto", "open_clip", "transformers", "sentence-transformers"] = "auto"
    devices: tuple[str, ...] = ("auto",)
    dtype: Literal["auto", "bf16", "f32"] = "auto"


ClipName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=40)]


class DomainClipSettings(ClipSettings):
    """A dual encoder of some domains only: channel "clip-NAME" of figures and cases (docs/encoders-per-domain.md)."""

    domains: tuple[ImageDomain, ...] = Field(min_length=1, description="the domains whose images it reads")


def clip_channel(name: str) -> str:
    """The channel that the encoder of this name in `clips` fills."""
    return f"clip-{name}"


class AlignedSettings(_Section):
    """The head of channel "aligned": a folder that `vesalius align fit` wrote. A library keeps its own copy."""

    head: Path | None = None


class FusionSettings(_Section):
    """Reciprocal rank fusion; weights are named "kind.channel" and count 1 when absent."""

    depth: int = Field(200, ge=1)
    constant: float = Field(20.0, gt=0)
    candidates: int = Field(80, ge=1, description="hits of each other channel that late interaction reads")
    union: Literal["none", "plain", "filled"] = Field(
        "none", description="how pages found by image and by text meet: by score, or as a union of two cut lists"
    )
    weights: dict[str, float] = Field(default_factory=dict)


class RoutingSettings(_Section):
    """How the domain of a question moves hits (docs/route-by-domain.md); a domain that is asked for always holds."""

    enabled: bool = True
    strength: float = Field(0.9, ge=0, le=1, description="share of a hit's weight that its domain decides")
    constant: float = Field(60.0, ge=0, description="ranks count as 1 / (constant + rank)")
    sure: float = Field(0.95, gt=0.5, le=1, description="from this probability on, other domains are left out")


class GraphSettings(_Section):
    """The concept graph of a library: facts found by walking from what a question names (docs/graph.md)."""

    enabled: bool = True
    restart: float = Field(0.5, gt=0, le=1, description="chance of a walk to return to what was named, at each step")
    concepts: int = Field(40, ge=1, description="the most visited concepts, whose facts are looked at")
    nearest: float = Field(0.5, ge=-1, le=1, description="least cosine of a fact to the question")
    weight: float = Field(3.0, ge=0, description="share of the walk's list among the lists of facts")
    cases: int = Field(5, ge=0, description="cases like an image whose findings the walk begins at, too")


class RerankSettings(_Section):
    """Cross-encoder over the head of the list. `weight` is its share against the fused order.

    Off by default: on both books' queries the fused order beats it at every weight (docs/retrieval.md).
    """

    enabled: bool = False
    kind: Literal["cross-encoder", "token-fusion"] = Field(
        "cross-encoder", description="reads a page's text, or its late-interaction rows with the query's text and image"
    )
    head: int = Field(10, ge=1)
    weight: float = Field(0.5, ge=0, le=1)


class SelectSettings(_Section):
    """How many hits become evidence: `fixed` takes answer.k, the others choose (docs/choose-how-many.md)."""

    kind: Literal["fixed", "gap", "mixture", "log-ratio", "top-ratio", "conformal", "risk"] = "mixture"
    channel: str = Field("fused", description='the score that is read: "fused", "score", "rank" or a channel')
    least: int = Field(2, ge=0)
    most: int = Field(8, ge=1)
    value: float | None = Field(None, description="the selector's parameter; none: what `vesalius calibrate` fitted")
    buffer: int = Field(0, ge=0, description="hits kept beyond the cut")
    per_document: int | None = Field(None, ge=1)
    per_cluster: int | None = Field(None, ge=1, description="hits of one and the same image, near-duplicates included")
    per_kind: int | None = Field(None, ge=1)
    share: float = Field(0.7, ge=0, le=1, description="relevance against novelty, where similarity is known")


class AnswerSettings(_Section):
    """How an answer is made from hits."""

    k: int = Field(8, ge=1)
    budget_words: int = Field(6000, ge=50)
    max_claims: int = Field(3, ge=1)
    abstain_below: float | None = Field(None, ge=0, le=1, description="none: what calibrate fitted, else 0.5")
    per_option: int = Field(3, ge=0, description="passages added to the evidence for each option of a choice")
    generator: Literal["extractive", "vlm"] = Field(
        "extractive",
        description="who words the answer: quotes alone, or the model of `vlm` with quotes as its way down",
    )
    prompt_tokens: int = Field(6000, ge=200, description="texts of a prompt at the most; evidence beyond is left out")
    evidence_images: int = Field(0, ge=0, description="pictures of passages that a model is shown")
    statements: int = Field(6, ge=1, le=24, description="statements a model may make per section")
    consistency: Path | None = Field(None, description="rules on what contradicts; none: those for chest films")


class VlmSettings(_Section):
    """A vision-language model on a vLLM server (docs/serve-a-model.md). Without `model` answers are extractive."""

    model: str = Field("", description="the name it is served under")
    url: str = Field("http://127.0.0.1:8000/v1", description="the API's root")
    api_key_env: str = Field("VESALIUS_VLM_API_KEY", description="the environment variable that holds the API key")
    family: Literal["auto", "qwen3-vl", "internvl", "qwen2.5-vl", "gemma3", "llava", "text", "generic"] = "auto"
    images: int = Field(0, ge=0, description="most images of a prompt; 0: what the family takes")
    timeout_s: float = Field(60.0, gt=0, description="of one call, where the question's deadline leaves as much")
    concurrency: int = Field(4, ge=1, description="calls at once")
    queue: int = Field(16, ge=0, description="calls that wait for one of them to end; more fail at once")
    max_tokens: int = Field(1024, ge=1, description="of one reply")
    temperature: float = Field(0.0, ge=0, le=2)
    seed: int = 0


class AgentSettings(_Section):
    """How evidence is gathered: in one pass, or in a loop that knows what it still lacks (docs/agent.md)."""

    strategy: Literal["single", "agent", "i-medrag", "patho-agentic", "ircot"] = "single"
    planner: Literal["rules", "vlm"] = Field("rules", description="vlm: the model of `vlm` may add searches")
    steps: int = Field(4, ge=0, description="rounds after the single pass")
    searches: int = Field(8, ge=1)
    model_calls: int = Field(10, ge=0)
    tokens: int = Field(20_000, ge=0)
    seconds: float = Field(30.0, gt=0, description="until then evidence is gathered; then what is there is used")
    extra: int = Field(4, ge=0, description="passages that follow-up searches may add to answer.k")
    trace_content: bool = Field(False, description="let traces hold the words of questions and searches")


class Settings(_Section):
    """Everything that can be set. The defaults are the `embedded` preset's."""

    preset: str = DEFAULT_PRESET
    models: ModelSettings = ModelSettings()
    pages: PageSettings = PageSettings()
    cases: CaseSettings = CaseSettings()
    store: StoreSettings = StoreSettings()
    channels: ChannelSettings = ChannelSettings()
    late: LateSettings = LateSettings()
    visual: VisualSettings = VisualSettings()
    clip: ClipSettings = ClipSettings()
    clips: dict[ClipName, DomainClipSettings] = Field(
        default_factory=dict, description="encoders of single domains, by a name of your own"
    )
    aligned: AlignedSettings = AlignedSettings()
    ray: RaySettings = RaySettings()
    fusion: FusionSettings = FusionSettings()
    routing: RoutingSettings = RoutingSettings()
    graph: GraphSettings = GraphSettings()
    rerank: RerankSettings = RerankSettings()
    answer: AnswerSettings = AnswerSettings()
    grounding: GroundingSettings = GroundingSettings()
    select: SelectSettings = SelectSettings()
    agent: AgentSettings = AgentSettings()
    vlm: VlmSettings = VlmSettings()

    @field_validator("clips")
    @classmethod
    def _one_encoder_for_each_domain(cls, clips: dict[str, DomainClipSettings]) -> dict[str, DomainClipSettings]:
        seen: dict[str, str] = {}
        for name, domain in ((name, domain) for name, clip in clips.items() for domain in dict.fromkeys(clip.domains)):
            if domain in seen:
                raise ValueError(f"{seen[domain]} and {name} both read {domain}; assign each domain once")
            seen[domain] = name
        return clips

    def channels_by_kind(self) -> dict[Kind, tuple[str, ...]]:
        """Channel names per passage kind: those of `channels`, and one of figures and cases per entry of `clips`."""
        own = tuple(clip_channel(name) for name in sorted(self.clips))
        named = self.channels.by_kind()
        return {kind: (*names, *own) if kind in ("figure", "case") else names for kind, names in named.items()}
