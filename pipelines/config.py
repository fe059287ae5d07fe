"""Settings: YAML presets and files, checked by pydantic. An unknown key is an error that names the nearest one.

Sources of a value, later ones win: the preset, what the library was built with, the user's file (`--config`), and
`--set a.b=c`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rag.errors import ConfigError
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
    page_timeout_s: float = Field(30.0, gt=0)
    memory_mb: int = Field(2048, ge=256)


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


class ChannelSettings(_Section):
    """Which channels each passage kind has."""

    pages: tuple[Literal["late", "dense", "bm25", "terms", "visual"], ...] = ("late", "dense", "bm25", "terms")
    figures: tuple[Literal["late", "dense", "bm25", "image", "clip"], ...] = ("late", "dense", "bm25", "image")
    cases: tuple[Literal["late", "dense", "bm25", "image", "clip"], ...] = ("late", "dense", "bm25", "image")
    facts: tuple[Literal["dense", "bm25"], ...] = ("dense", "bm25")
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

    model: str = Field("", description="a folder or a model id of the hub; for open_clip also ARCHITECTURE/CHECKPOINT")
    revision: str | None = None
    library: Literal["auto", "open_clip", "transformers", "sentence-transformers"] = "auto"
    devices: tuple[str, ...] = ("auto",)
    dtype: Literal["auto", "bf16", "f32"] = "auto"


class FusionSettings(_Section):
    """Reciprocal rank fusion; weights are named "kind.channel" and count 1 when absent."""

    depth: int = Field(200, ge=1)
    constant: float = Field(20.0, gt=0)
    candidates: int = Field(80, ge=1, description="hits of each other channel that late interaction reads")
    union: Literal["none", "plain", "filled"] = Field(
        "none", description="how pages found by image and by text meet: by score, or as a union of two cut lists"
    )
    weights: dict[str, float] = Field(default_factory=dict)


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


class AnswerSettings(_Section):
    """How an answer is made from hits."""

    k: int = Field(8, ge=1)
    budget_words: int = Field(6000, ge=50)
    max_claims: int = Field(3, ge=1)
    abstain_below: float = Field(0.5, ge=0, le=1)
    per_option: int = Field(3, ge=0, description="passages added to the evidence for each option of a choice")


class Settings(_Section):
    """Everything that can be set. The defaults are the `embedded` preset's."""

    preset: str = DEFAULT_PRESET
    models: ModelSettings = ModelSettings()
    pages: PageSettings = PageSettings()
    store: StoreSettings = StoreSettings()
    channels: ChannelSettings = ChannelSettings()
    late: LateSettings = LateSettings()
    visual: VisualSettings = VisualSettings()
    clip: ClipSettings = ClipSettings()
    ray: RaySettings = RaySettings()
    fusion: FusionSettings = FusionSettings()
    rerank: RerankSettings = RerankSettings()
    answer: AnswerSettings = AnswerSettings()


class Origins(BaseModel):
    """Resolved settings, and for each dotted key where its value came from."""

    settings: Settings
    origin: dict[str, str]


def presets() -> list[str]:
    """Names of the presets that ship with Vesalius."""
    folder = files("pipelines") / "presets"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_settings(
    preset: str | None = None,
    file: Path | None = None,
    overrides: Sequence[str] = (),
    *,
    library: Mapping[str, Any] | None = None,
) -> Origins:
    """Settings from a preset, a library's own, a YAML file and `a.b=c` overrides. Raises ConfigError."""
    own = _read_yaml(file) if file else {}
    name = preset or str(own.get("preset", DEFAULT_PRESET))
    layers = [(f"preset {name}", _preset(name)), ("library", dict(library or {})), (str(file), {**own, "preset": name})]
    layers += [("--set", _override(text)) for text in overrides]
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for label, layer in layers:
        merged = _merge(merged, layer)
        origin |= {key: label for key, _ in _flatten(layer)}
    return Origins(settings=_validate(merged), origin=origin | {"preset": "--preset" if preset else origin["preset"]})


def _preset(name: str) -> dict[str, Any]:
    if name not in presets():
        raise ConfigError(f"there is no preset {name!r}; presets are: {', '.join(presets())}")
    text = (files("pipelines") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text) or {}
    return loaded


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"the configuration {path} cannot be read: {error}") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"the configuration {path} is not a mapping of keys to values")
    return loaded


def _override(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text}: expected key=value, for example --set rerank.enabled=false")
    nested: Any = yaml.safe_load(value) if value else None
    for part in reversed(_split_key(key.strip())):
        nested = {part: nested}
    return dict(nested)


def _split_key(key: str) -> list[str]:
    # Weights are named "page.late": what follows fusion.weights is one key, dots and all.
    for prefix in ("fusion.weights.", "models.local."):
        if key.startswith(prefix):
            return [*prefix.rstrip(".").split("."), key[len(prefix) :]]
    return key.split(".")


def _merge(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _flatten(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from _flatten(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def flat_settings(settings: Settings) -> dict[str, Any]:
    """Every setting under its dotted key, as JSON values."""
    return dict(_flatten(settings.model_dump(mode="json")))


def _validate(merged: Mapping[str, Any]) -> Settings:
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] != "extra_forbidden":
            raise ConfigError(f"setting {key} = {first.get('input')!r}: {first['msg']}") from error
        known = [name for name in _known_keys(Settings) if name != key]
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
        raise ConfigError(f"unknown setting {key!r}; did you mean {near[0]!r}?") from error


def _known_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, info in model.model_fields.items():
        yield f"{prefix}{name}"
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _known_keys(info.annotation, f"{prefix}{name}.")
