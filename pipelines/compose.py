"""The composition root: settings in, wired objects out. The only place that knows concrete classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from indexers.manifest import ChannelEntry, Manifest
from indexers.models import ModelStore, default_cache
from indexers.sources.pdf import PdfOptions
from indexers.sources.pdf_process import PdfLimits
from pipelines.config import Settings
from pipelines.search import Ranking, SearchEngine
from rag.protocols import Encoder, Parser, Store
from rag.reranking import RerankOptions
from rag.retrievers import Channel, FusionOptions
from rag.routing import RuleRouter
from rag.types import Kind, SourceKind, VectorSpec

if TYPE_CHECKING:
    from indexers.encoders.cross import CrossEncoderReranker
    from indexers.encoders.dense import DenseTextEncoder
    from pipelines.assistant import Steps

DENSE, LATE, RERANKER, IMAGE = (
    "bge-small-en-v1.5",
    "answerai-colbert-small-v1-backbone",
    "ms-marco-minilm-l12-v2",
    "dinov2-small",
)
WHITENING = "whitening.npy"
SOURCES_VERSION = "pdf-1 cases-1 facts-1"
"""Part of every fingerprint; raised when a parser starts to make other passages from the same file."""


class Parts:
    """Encoders, models and steps for some settings, made when first needed and shared between channels."""

    def __init__(self, settings: Settings, folder: Path | None = None) -> None:
        """`folder` is the library's: what was fitted on its own images is read from there."""
        self.settings, self.folder = settings, folder
        self.cache = settings.models.cache or default_cache()
        self.models = ModelStore(self.cache, local=settings.models.local)

    def model_names(self) -> list[str]:
        """The models that these settings need, each once."""
        names = {name for channels in self.settings.channels.by_kind().values() for name in channels}
        needed = {
            DENSE: bool(names & {"dense", "terms"}),
            LATE: "late" in names,
            RERANKER: True,  # the extractive answerer reads sentences with it, whether or not hits are reranked
            IMAGE: "image" in names,
        }
        return [name for name, wanted in needed.items() if wanted]

    def require_models(self) -> None:
        """Raise MissingModel unless every model file is in the cache: before work begins, not in the middle."""
        for name in self.model_names():
            self.models.path(name)

    def channels(self) -> tuple[Channel, ...]:
        """Every channel of every kind, with its encoder."""
        return self._channels

    @cached_property
    def _channels(self) -> tuple[Channel, ...]:
        made: list[Channel] = []
        for kind, names in self.settings.channels.by_kind().items():
            for name in names:
                encoder = self._bm25[kind] if name == "bm25" else self._encoders[name]
                made.append(Channel(kind, channel_spec(kind, encoder.spec), encoder))
        return tuple(made)

    @cached_property
    def _encoders(self) -> dict[str, Encoder]:
        names = {name for channels in self.settings.channels.by_kind().values() for name in channels} - {"bm25"}
        return {name: self._encoder(name) for name in sorted(names)}

    def _encoder(self, name: str) -> Encoder:
        if name == "late":
            from indexers.encoders.late import LateTextEncoder
            from indexers.encoders.projection import shipped

            return LateTextEncoder(self.models.files(LATE), projection=shipped("late_projection"))
        if name == "image":
            return self._image()
        if name == "terms":
            from indexers.encoders.terms import TermsEncoder

            return TermsEncoder(self._dense)
        return self._dense

    def _image(self) -> Encoder:
        from indexers.encoders.image import ImageEncoder, ImageOptions
        from indexers.encoders.projection import load_projection, shipped

        own = None if self.folder is None else self.folder / WHITENING
        fitted = load_projection(own) if own is not None and own.is_file() else shipped("image_whitening")
        return ImageEncoder(
            self.models.files(IMAGE), options=ImageOptions(crops=self.settings.channels.image_views), whitening=fitted
        )

    def fit_images(self, paths: Sequence[Path], folder: Path) -> None:
        """Fit the whitening of image vectors on a new library's own images. Before any channel is used."""
        from indexers.encoders.image import ImageEncoder
        from indexers.encoders.projection import save_projection

        save_projection(folder / WHITENING, ImageEncoder(self.models.files(IMAGE)).fit(paths))

    @cached_property
    def _dense(self) -> DenseTextEncoder:
        from indexers.encoders.dense import DenseTextEncoder

        return DenseTextEncoder(self.models.files(DENSE))

    @cached_property
    def _bm25(self) -> dict[Kind, Encoder]:
        from indexers.encoders.bm25 import Bm25Encoder, Bm25Options

        return {kind: Bm25Encoder(options=Bm25Options(mean_terms=terms)) for kind, terms in MEAN_TERMS.items()}

    @cached_property
    def reranker(self) -> CrossEncoderReranker:
        """The cross-encoder, for hits and for sentences."""
        from indexers.encoders.cross import CrossEncoderReranker

        return CrossEncoderReranker(self.models.files(RERANKER))

    def manifest(self) -> Manifest:
        """What a library built with these settings is made of."""
        entries = tuple(
            ChannelEntry(
                channel.kind, channel.name, channel.spec.form, channel.spec.dim, channel.spec.storage,
                channel.encoder.fingerprint,
            )
            for channel in self.channels()
        )  # fmt: skip
        shaping = self.settings.model_dump(mode="json", include={"channels": True, "store": {"kind", "url", "prefix"}})
        return Manifest(self.settings.preset, entries, SOURCES_VERSION, settings=shaping)

    def store(self, folder: Path) -> Store:
        """The store of a library folder."""
        specs: dict[Kind, tuple[VectorSpec, ...]] = {}
        for channel in self.channels():
            specs[channel.kind] = (*specs.get(channel.kind, ()), channel.spec)
        settings = self.settings.store
        match settings.kind:
            case "embedded":
                from indexers.stores.edge import EdgeStore

                return EdgeStore.open(folder / "store", specs, root=folder)
            case "server":
                from indexers.stores.server import ServerStore

                return ServerStore.connect(settings.url, settings.api_key, settings.prefix, specs, folder)
            case "memory":
                from indexers.stores.memory import MemoryStore

                return MemoryStore(specs)
            case _:
                assert_never(settings.kind)

    def engine(self, store: Store, *, rerank: bool) -> SearchEngine:
        """Search over a store."""
        settings = self.settings
        fusion = FusionOptions(
            settings.fusion.depth,
            settings.fusion.constant,
            dict(settings.fusion.weights),
            settings.fusion.candidates,
        )
        ranking = Ranking(
            fusion,
            RuleRouter(),
            self.reranker if rerank else None,
            RerankOptions(settings.rerank.head, settings.rerank.weight, settings.fusion.constant),
        )
        return SearchEngine(store, self.channels(), ranking)

    def steps(self) -> Steps:
        """The steps of an answer: extractive, checked by rules."""
        from pipelines.assistant import Steps
        from pipelines.scoring import CrossEncoderScorer
        from rag.generators.extractive import ExtractiveGenerator, ExtractiveOptions
        from rag.grounding.ground import GroundingPolicy
        from rag.grounding.judge import LexicalJudge
        from rag.selection import FixedK

        answer = self.settings.answer
        return Steps(
            selector=FixedK(answer.k, answer.budget_words),
            generator=ExtractiveGenerator(
                CrossEncoderScorer(self.reranker), ExtractiveOptions(max_claims=answer.max_claims)
            ),
            judge=LexicalJudge(),
            policy=GroundingPolicy(min_confidence=answer.abstain_below),
            k=answer.k,
            per_option=answer.per_option,
        )


MEAN_TERMS: dict[Kind, float] = {"page": 256.0, "figure": 40.0, "case": 40.0, "fact": 8.0}
"""Average lengths for BM25, in terms without stop words: what books, captions, reports and facts have, rounded."""


def channel_spec(kind: Kind, spec: VectorSpec) -> VectorSpec:
    """How a kind stores an encoder's rows: facts are short, one row each, so they need no multivector."""
    return replace(spec, form="dense") if kind == "fact" and spec.form == "multi" else spec


class Parsers:
    """The parser of each kind of source file, for a library folder."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings, self._folder = settings.pages, folder

    def parser(self, path: Path, source: SourceKind) -> Parser:
        """The parser that reads this file."""
        match source:
            case "pages":
                return self._pages(path)
            case "cases":
                from indexers.sources.cases import CaseParser

                return CaseParser()
            case "facts":
                from indexers.sources.facts import FactParser

                return FactParser()
            case _:
                assert_never(source)

    def _pages(self, path: Path) -> Parser:
        limits = PdfLimits(memory_bytes=self._settings.memory_mb << 20, page_seconds=self._settings.page_timeout_s)
        options = PdfOptions(ocr=self._settings.ocr, limits=limits)
        images = self._folder / "images"
        if path.suffix.lower() == ".pdf":
            from indexers.sources.pdf import PdfParser

            return PdfParser(images, options)
        from indexers.sources.page_images import PageImageParser

        return PageImageParser(images, options)
