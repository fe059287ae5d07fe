"""Ingest: files to a library. Finds the sources, keeps one build at a time, runs the build loop, and reports."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from indexers.build import BuildClock, Builder, PipelineOptions, Source
from indexers.devices import runs_on_devices
from indexers.journal import Journal
from indexers.pipeline.faults import fault_point
from indexers.pipeline.write import check_room, disk_full_explained
from indexers.progress import ProgressMeter, ProgressSink, silent
from indexers.sources.discovery import discover
from pipelines.compose import WHITENING, Parsers
from pipelines.fitted import FITTED, GRAPH
from rag.errors import SourceError, StoreError, UsageError
from rag.protocols import Store
from rag.retrievers import Channel
from rag.types import KINDS, Document, Kind, Skipped, SourceKind


@dataclass(frozen=True, slots=True)
class Sources:
    """What a build is asked to index: files or folders of each kind."""

    pages: tuple[Path, ...] = ()
    cases: tuple[Path, ...] = ()
    facts: tuple[Path, ...] = ()

    def by_kind(self) -> tuple[tuple[SourceKind, tuple[Path, ...]], ...]:
        """The paths of each kind, books first."""
        return (("pages", self.pages), ("cases", self.cases), ("facts", self.facts))


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How a build runs.

    fresh: delete what the library holds first. limit: at most this many units (pages, 16 cases, 256 facts) of each
    file; such a library stays partial. sink: where progress goes. pipeline: how wide the stages are. ray: encode on
    Ray instead of in this process.
    """

    fresh: bool = False
    limit: int | None = None
    sink: ProgressSink = silent
    pipeline: PipelineOptions = field(default_factory=PipelineOptions)
    ray: bool = False


class Engine(Protocol):
    """Runs a build: `indexers.build.Builder` in this process, or `indexers.ray_engine.RayBuilder`."""

    clock: BuildClock

    def run(self, sources: Sequence[Source], limit: int | None = None) -> None:
        """Index every unit that the journal does not know, or each source's first `limit` units."""
        ...


MakeEngine = Callable[[Store, Journal, ProgressMeter], Engine]


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did. `resumed` tells that an earlier build had already done some of the work.

    seconds: wall; and parse, prepare, encode, forward and write, added up over threads, waiting not counted. devices:
    `BuildClock.figures`, the shares of idle time and of padding among them; empty when nothing ran on a device.
    """

    counts: dict[str, int]
    skipped: tuple[Skipped, ...]
    resumed: bool
    seconds: dict[str, float]
    documents: tuple[str, ...] = ()
    devices: Mapping[str, float] = field(default_factory=dict)


KEPT_OPEN = 8
"""Documents that stay open between finding them and reading them, which saves the start of a reader each."""


@dataclass(slots=True)
class _Found:
    sources: list[Source] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def find_sources(wanted: Sources, parsers: Parsers) -> tuple[list[Source], list[Skipped]]:
    """The files to index, opened and identified, and those that cannot be used. Raises UsageError for a wrong path.

    The same content twice is one source; two different files of one kind with the same name are an error of the second,
    because citations name documents.
    """
    found = _Found()
    names: dict[tuple[str, str], Document] = {}
    for kind, paths in wanted.by_kind():
        files, unusable = discover(paths, kind)
        found.skipped += unusable
        for path in files:
            _add(found, names, path, kind, parsers)
    if not found.sources and not found.skipped:
        raise UsageError("nothing to index: name files with --pages, --cases or --facts")
    return found.sources, found.skipped


def _add(found: _Found, names: dict[tuple[str, str], Document], path: Path, kind: SourceKind, parsers: Parsers) -> None:
    parser = parsers.parser(path, kind)
    try:
        document = parser.open(path)
    except SourceError as error:
        found.skipped.append(Skipped(str(path), error.locator, error.stage, error.reason))
        return
    if any(source.document.sha256 == document.sha256 for source in found.sources if source.document.source == kind):
        return
    # A book that also gives facts and a fact file of its name could not be told apart again.
    shared = "facts" if parsers.glossary and kind == "pages" else kind
    known = names.setdefault((shared, document.name), document)
    if known is document:
        # A parser keeps the process that opened its document; a build of many books must not keep one for each.
        kept = parser if len(found.sources) < KEPT_OPEN else parsers.parser(path, kind)
        found.sources.append(Source(document, kept, lambda: parsers.parser(path, kind)))
    else:
        reason = f"another document of this build is called {document.name!r} ({known.path}); rename one of the files"
        found.skipped.append(Skipped(str(path), "", "open", reason))


FIT_FROM = 100
"""Images a first build must bring for its own whitening; with fewer the one that ships is the better one."""
FIT_MOST = 128
"""Images the whitening is fitted on: twice as many gained nothing on the development cases."""


def sample_images(sources: Sequence[Source]) -> list[Path]:
    """Images of the first units of every source, about the same number of each, FIT_MOST in all or fewer."""
    holding = [source for source in sources if source.document.source != "facts"]
    share = -(-FIT_MOST // max(1, len(holding)))
    found: list[Path] = []
    for source in holding:
        own: list[Path] = []
        units = source.parser.parse(source.document, ())
        with suppress(SourceError):  # the build meets the same error again, and reports it
            while len(own) < share and (unit := next(units, None)) is not None:
                own += [image for passage in unit.passages if passage.kind != "page" for image in passage.images]
        found += own[:share]
    return found[:FIT_MOST]


def ingest(
    folder: Path,
    store: Store,
    channels: Sequence[Channel],
    found: tuple[Sequence[Source], Sequence[Skipped]],
    options: BuildOptions,
    engine: MakeEngine | None = None,
) -> BuildReport:
    """Index the sources into the library in `folder`; what is already there is not done again.

    Encodes in this process unless `engine` makes another one.
    """
    started = time.perf_counter()
    sources, unusable = found
    journal = Journal(folder / "journal.sqlite")
    try:
        for source in sources:
            _replace_older(folder, source.document, store, journal)
            journal.begin(source.document)
        resumed = any(journal.done(source.document) for source in sources)
        meter = ProgressMeter(options.sink)
        builder: Engine = (
            engine(store, journal, meter) if engine else Builder(store, journal, channels, meter, options.pipeline)
        )
        builder.run(sources, options.limit)
        if builder.clock.units:
            fault_point("before-optimize")
            check_room(folder, options.pipeline.reserve_bytes)
            with disk_full_explained():
                store.optimize()
        skipped = [*unusable, *(item for source in sources for item in journal.skipped(source.document))]
        return BuildReport(
            counts={kind: store.count(kind) for kind in KINDS},
            skipped=tuple(skipped),
            resumed=resumed,
            seconds=_seconds(builder.clock, channels, time.perf_counter() - started),
            documents=tuple(source.document.name for source in sources),
            devices=builder.clock.figures(),
        )
    finally:
        journal.close()


def _replace_older(folder: Path, document: Document, store: Store, journal: Journal) -> None:
    """A document whose file has changed gives way to its new content."""
    older = [
        (sha256, source)
        for sha256, source in journal.named(document.name)
        if source == document.source and sha256 != document.sha256
    ]
    if older:
        kept = {source for _, source in journal.named(document.name)} - {document.source}
        remove_passages(document.name, [source for _, source in older], store, kept)
        for sha256, _ in older:
            shutil.rmtree(folder / "images" / sha256[:16], ignore_errors=True)
        journal.forget(older, document.name)


def remove_passages(name: str, sources: Sequence[str], store: Store, kept: Collection[str] = ()) -> None:
    """Delete what documents of this name and these source kinds put into the store.

    `kept` are the kinds of source of other documents of the name: what they may have put there stays.
    """
    staying = {kind for source in kept for kind in KINDS_OF_SOURCE[source]}
    for kind in {kind for source in sources for kind in KINDS_OF_SOURCE[source]} - staying:
        store.delete(kind, name)


KINDS_OF_SOURCE: Mapping[str, tuple[Kind, ...]] = {
    "pages": ("page", "figure", "fact"), "cases": ("case",), "facts": ("fact",)
}  # fmt: skip
"""What the files of each kind become; books give facts only with pages.glossary."""


def _seconds(clock: BuildClock, channels: Sequence[Channel], wall: float) -> dict[str, float]:
    forward = {
        id(channel.encoder): getattr(channel.encoder, "forward_seconds", 0.0)
        for channel in channels
        if not runs_on_devices(channel.encoder)
    }
    return {
        "wall": wall,
        "parse": clock.parse_s,
        "prepare": clock.prepare_s,
        "encode": clock.encode_s,
        "forward": sum(forward.values()) + clock.forward_s,
        "write": clock.write_s,
    }


@contextmanager
def build_lock(folder: Path) -> Iterator[None]:
    """Let one build at a time change a library. Raises StoreError naming the process that holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "build.lock").open("a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            stream.seek(0)
            holder = stream.read().strip() or "unknown"
            raise StoreError(
                f"the library {folder} is being changed by process {holder}; wait for it to end and try again"
            ) from error
        if os.fstat(stream.fileno()).st_ino != (folder / "build.lock").stat().st_ino:
            # A rebuild put another folder in this one's place between opening and locking.
            raise StoreError(f"the library {folder} has just been replaced by a rebuild; run the command again")
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def clear(folder: Path) -> None:
    """Delete what a build put into a library folder, and nothing else that may lie there."""
    for name in ("store", "images", GRAPH):
        shutil.rmtree(folder / name, ignore_errors=True)
    for path in folder.glob("journal.sqlite*"):
        path.unlink()
    for name in ("manifest.json", WHITENING, *FITTED):
        (folder / name).unlink(missing_ok=True)
