"""The composition root: settings in, wired objects out. The only place that knows concrete classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from indexers.manifest import ChannelEntry, Manifest
from indexers.sources.pdf import PdfOptions
from indexers.sources.pdf_process import PdfLimits
from pipelines.channels import DENSE, IMAGE, LATE, RERANKER, WHITENING, Encoders
from pipelines.config import Settings
from pipelines.domain_encoders import encoder_assignment
from pipelines.routing import open_router
from pipelines.search import Ranking, SearchEngine
from rag.errors import ConfigError
from rag.protocols import Parser, Reranker, Selector, Store
from rag.reranking import RerankOptions
from rag.retrievers import Channel, FusionOptions
from rag.routing import BoostOptions
from rag.types import Kind, SourceKind, VectorSpec

if TYPE_CHECKING:
    from indexers.encoders.cross import CrossEncoderReranker
    from pipelines.assistant import Steps
    from pipelines.graph_search import FactWalker
    from rag.selectors import Calibration

__all__ = ["DENSE", "IMAGE", "LATE", "RERANKER", "SOURCES_VERSION", "WHITENING", "Parsers", "Parts"]

SOURCES_VERSION = "pdf-2 cases-3 dicom-2 facts-2"
"""Part of every fingerprint; raised when a parser starts to make other passages from the same file."""

MEASURED_DEPTH = 30
"""Hits that a selector which chooses how many reads, unless it was calibrated on other lists: as it was measured."""


class Parts:
    """Encoders, models and steps for some settings, made when first needed and shared between channels."""

    def __init__(self, settings: Settings, folder: Path | None = None) -> None:
        """`folder` is the library's: what was fitted on its own images is read from there."""
        self.settings, self.encoders = settings, Encoders(settings, folder)
        self.cache, self.models = self.encoders.cache, self.encoders.models

    def model_names(self) -> list[str]:
        """The models of the lock file that these settings need, each once."""
        return self.encoders.model_names()

    def require_models(self) -> None:
        """Raise MissingModel unless every model file is in the cache: before work begins, not in the middle."""
        self.encoders.require_models()

    def channels(self) -> tuple[Channel, ...]:
        """Every channel of every kind, with its encoder."""
        return self.encoders.channels

    def image_sources(self) -> frozenset[SourceKind]:
        """The kinds of source whose images get a vector of the channel "image"."""
        # Read from the settings: making the encoder here would fix its whitening before it is fitted.
        by_source: dict[SourceKind, tuple[str, ...]] = {
            "pages": self.settings.channels.figures,
            "cases": self.settings.channels.cases,
        }
        return frozenset(source for source, names in by_source.items() if "image" in names)

    def fit_images(self, paths: Sequence[Path], folder: Path) -> None:
        """Fit the whitening of image vectors on a new library's own images. Before any channel is used."""
        self.encoders.fit_images(paths, folder)

    def keep_head(self, folder: Path) -> None:
        """Copy the head of channel "aligned" into a new library, if it has that channel."""
        self.encoders.keep_head(folder)

    @cached_property
    def reranker(self) -> CrossEncoderReranker:
        """The cross-encoder, for hits and for sentences."""
        from indexers.encoders.cross import CrossEncoderReranker

        return CrossEncoderReranker(self.models.files(RERANKER))

    def manifest(self) -> Manifest:
        """What a library built with these settings is made of."""
        entries = tuple(
            ChannelEntry(channel.kind, spec.name, spec.form, spec.dim, spec.storage, channel.encoder.fingerprint)
            for channel in self.channels()
            for spec in channel.specs
        )
        shaping = self.settings.model_dump(mode="json", include={"channels": True, "store": {"kind", "url", "prefix"}})
        for name in {"late", "visual", "clip"} & self.encoders.channel_names:
            # Where it runs is this machine's business; what it is belongs to the library.
            shaping[name] = getattr(self.settings, name).model_dump(mode="json", exclude={"devices"})
        if self.settings.clips:
            shaping["clips"] = {
                name: clip.model_dump(mode="json", exclude={"devices"}) for name, clip in self.settings.clips.items()
            }
        if self.settings.pages.glossary:
            shaping["pages"] = {"glossary": True}
        shaping["cases"] = self.settings.cases.model_dump(mode="json")
        return Manifest(self.settings.preset, entries, SOURCES_VERSION, settings=shaping)

    def store(self, folder: Path) -> Store:
        """The store of a library folder."""
        specs: dict[Kind, tuple[VectorSpec, ...]] = {}
        for channel in self.channels():
            specs[channel.kind] = (*specs.get(channel.kind, ()), *channel.specs)
        settings = self.settings.store
        match settings.kind:
            case "embedded":
                from indexers.stores.edge import EdgeStore

                return EdgeStore.open(folder / "store", specs, root=folder)
            case "server":
                from indexers.stores.server import Cluster, ServerOptions, ServerStore

                options = ServerOptions(Cluster(settings.shards, settings.replicas))
                return ServerStore.connect(settings.url, settings.api_key, settings.prefix, specs, folder, options)
            case "memory":
                from indexers.stores.memory import MemoryStore

                return MemoryStore(specs)
            case _:
                assert_never(settings.kind)

    def engine(self, store: Store, *, rerank: bool, routed: bool = True) -> SearchEngine:
        """Search over a store; not `routed`, it is blind to domains whatever the settings say."""
        settings = self.settings
        ranking = Ranking(
            self.fusion(),
            open_router(self.encoders.folder, self.channels(), sure=settings.routing.sure),
            BoostOptions(settings.routing.strength, settings.routing.constant)
            if routed and settings.routing.enabled
            else None,
            self._reranker(store) if rerank else None,
            RerankOptions(settings.rerank.head, settings.rerank.weight, settings.fusion.constant),
            encoder_assignment(settings),
            self.walker(store),
        )
        return SearchEngine(store, self.channels(), ranking)

    def fusion(self) -> FusionOptions:
        """How the lists of a search become one."""
        settings = self.settings.fusion
        weights = {"fact.graph": self.settings.graph.weight, **settings.weights}
        return FusionOptions(settings.depth, settings.constant, weights, settings.candidates, settings.union)

    def walker(self, store: Store) -> FactWalker | None:
        """The walker of the library's graph; None when it has none, or it is switched off."""
        settings, folder = self.settings.graph, self.encoders.folder
        if not settings.enabled or folder is None:
            return None
        from knowledge.walking import WalkOptions
        from pipelines.graph_library import open_graph
        from pipelines.graph_search import FactWalker, FactWalkOptions

        graph = open_graph(folder)
        if graph is None:
            return None
        walk = WalkOptions(restart=settings.restart, concepts=settings.concepts)
        return FactWalker(graph, store, FactWalkOptions(walk, nearest=settings.nearest, cases=settings.cases))

    def _reranker(self, store: Store) -> Reranker:
        if self.settings.rerank.kind == "cross-encoder":
            return self.reranker
        from rag.late_reranking import TokenFusionReranker

        pages = {channel.name: channel for channel in self.channels() if channel.kind == "page"}
        channel = pages.get("visual") or pages.get("late")
        if channel is None:
            raise ConfigError("rerank.kind = token-fusion reads the pages' visual or late channel; they have neither")
        return TokenFusionReranker(store, channel.name, channel.encoder)

    def _calibration(self) -> Calibration | None:
        """What was fitted for this library, read when the selector needs it."""
        from pipelines.calibration import load_calibration

        select, folder = self.settings.select, self.encoders.folder
        if select.kind not in {"log-ratio", "top-ratio", "conformal", "risk"} or select.value is not None:
            return None
        return None if folder is None else load_calibration(folder, self.manifest().fingerprint)

    def _selector(self, calibration: Calibration | None) -> Selector:
        """How many hits become evidence."""
        from rag.selectors import SelectionOptions, make_selector

        answer, select = self.settings.answer, self.settings.select
        options = SelectionOptions(
            **select.model_dump(exclude={"kind", "most"}),
            most=answer.k if select.kind == "fixed" else select.most,
            budget_words=answer.budget_words,
        )
        return make_selector(select.kind, options, calibration)

    def steps(self) -> Steps:
        """The steps of an answer: quotes, or a model's words where the settings say so; checked by rules."""
        from pipelines.answering import generator_for
        from pipelines.assistant import Steps
        from pipelines.checking import judge_for, policy_for
        from pipelines.gathering import GatherOptions
        from pipelines.scoring import CrossEncoderScorer
        from pipelines.strategies import query_vectors, strategy_options
        from rag.generators.extractive import ExtractiveGenerator, ExtractiveOptions

        answer, kind = self.settings.answer, self.settings.select.kind
        calibration = self._calibration()
        depth = 0 if kind == "fixed" else MEASURED_DEPTH if calibration is None else calibration.depth
        scorer = CrossEncoderScorer(self.reranker)
        extractive = ExtractiveGenerator(scorer, ExtractiveOptions(max_claims=answer.max_claims))
        return Steps(
            selector=self._selector(calibration),
            generator=generator_for(self.settings, extractive),
            judge=judge_for(self.settings),
            policy=policy_for(self.settings, self.encoders.folder, self.manifest().fingerprint),
            gather=GatherOptions(answer.k, answer.per_option, depth, selector=kind),
            strategy=strategy_options(self.settings, scorer, query_vectors(self.channels)),
        )


class Parsers:
    """The parser of each kind of source file, for a library folder."""

    def __init__(self, settings: Settings, folder: Path, *, salt_of: Path | None = None) -> None:
        """`salt_of`: a library whose secret names patients, when `folder` is not it; it is read, never made."""
        self._settings, self._folder, self._salt_of = settings, folder, salt_of

    def parser(self, path: Path, source: SourceKind) -> Parser:
        """The parser that reads this file."""
        match source:
            case "pages":
                return self._pages(path)
            case "cases":
                return self._cases(path)
            case "facts":
                from indexers.sources.facts import FactParser

                return FactParser()
            case _:
                assert_never(source)

    def _cases(self, path: Path) -> Parser:
        from indexers.sources.cases import CaseParser
        from indexers.sources.dicom_files import is_dicom_file

        cases = self._settings.cases
        if not path.is_dir() and not is_dicom_file(path):
            return CaseParser(cases.identifiers)
        from indexers.sources.dicom import DicomOptions, DicomParser
        from indexers.sources.dicom_privacy import library_salt, read_salt

        options = DicomOptions(frames=cases.frames, identifiers=cases.identifiers, burned_in=cases.burned_in)
        salt = read_salt(self._salt_of) if self._salt_of is not None else library_salt(self._folder)
        return DicomParser(self._folder / "images", salt, options)

    @property
    def glossary(self) -> bool:
        """Whether books also give facts."""
        return self._settings.pages.glossary

    def _pages(self, path: Path) -> Parser:
        from indexers.sources.fact_definitions import GlossaryParser

        parser = self._book(path)
        return GlossaryParser(parser) if self.glossary else parser

    def _book(self, path: Path) -> Parser:
        pages = self._settings.pages
        limits = PdfLimits(memory_bytes=pages.memory_mb << 20, page_seconds=pages.page_timeout_s)
        options = PdfOptions(ocr=pages.ocr, limits=limits)
        images = self._folder / "images"
        if path.suffix.lower() == ".pdf":
            from indexers.sources.pdf import PdfParser

            return PdfParser(images, options)
        from indexers.sources.page_images import PageImageParser

        return PageImageParser(images, options)
