"""A small build with real stages, store and journal, and encoders that cost nothing: what kill and fault tests break.

Every parsed and every encoded passage is noted in a log file, so repeated work can be counted over many processes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.simulated import SimulatedEncoder, no_fault
from indexers.build import PipelineOptions, Source
from indexers.devices import Prepared
from indexers.encoders.hashing import HashEncoder
from indexers.journal import Journal, passage_checksum
from indexers.sources.pdf import unit_key
from pipelines.ingest import BuildOptions, BuildReport, ingest
from rag.fingerprint import passage_id, sha256_bytes
from rag.protocols import Store
from rag.retrievers import Channel
from rag.types import Document, Kind, PageLocator, Passage, Point, Unit

SIZES = (22, 23, 24, 36, 36, 37)
"""Patches of the pages, in turn."""

_OPTIONS = PipelineOptions(render_workers=3, prepare_threads=2, units=32, prepared=16, write_pauses_s=(0.01, 0.05, 0.2))


@dataclass(frozen=True, slots=True)
class Small:
    """A small library: so many documents of so many pages, on so many devices that take so long for a page."""

    folder: Path
    documents: int = 4
    pages: int = 100
    devices: int = 2
    seconds: float = 0.0
    before: Callable[[str, Sequence[Prepared]], None] = no_fault
    wrap: Callable[[Store], Any] = lambda store: store
    options: PipelineOptions = _OPTIONS

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def expected(self) -> dict[str, str]:
        """The checksum of every passage that the finished library must hold, by id."""
        return {
            page.id: passage_checksum(page)
            for number in range(self.documents)
            for page in (made_page(document(number, self.pages), n) for n in range(1, self.pages + 1))
        }


class Log:
    """Notes events of every process in one file; a line is written by one call, so none is torn."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)

    def note(self, what: str, names: Sequence[str]) -> None:
        """One line for each name."""
        os.write(self._file, "".join(f"{what} {name}\n" for name in names).encode())

    def close(self) -> None:
        """Release the file."""
        os.close(self._file)


class MadePages:
    """Parses nothing: pages are made up from their number."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def open(self, path: Path) -> Document:
        """Never called: the documents are made up."""
        raise NotImplementedError(path)

    def parse(self, document: Document, done: Container[str]) -> Iterator[Unit]:
        """One unit for each page."""
        for number in range(1, document.units + 1):
            key = unit_key(document.sha256, number)
            if key not in done:
                page = made_page(document, number)
                self._log.note("parsed", [page.id])
                yield Unit(key, (page,))


class LoggedStore:
    """A store for a build, which notes the passages that were written. It cannot be searched."""

    def __init__(self, store: Store, log: Log) -> None:
        self._store, self._log = store, log

    def count(self, kind: Kind) -> int:
        """As the store says."""
        return self._store.count(kind)

    def optimize(self) -> None:
        """As the store does."""
        self._store.optimize()

    def upsert(self, points: Sequence[Point]) -> None:
        """Write, then note."""
        self._store.upsert(points)
        self._log.note("written", [point.passage.id for point in points])


def document(number: int, pages: int) -> Document:
    """The document of a number, from 0."""
    name = f"book{number}"
    return Document(name, Path(f"{name}.pdf"), sha256_bytes(name.encode()), "pages", pages)


def made_page(document: Document, number: int) -> Passage:
    """The page of a number, from 1."""
    return Passage(
        id=passage_id(document.sha256, "page", f"p{number}"),
        kind="page",
        document=document.name,
        text=f"page {number} of {document.name} tells of alveoli and goblet cells",
        locator=PageLocator(number),
        meta={"patches": str(SIZES[number % len(SIZES)])},
    )


def build(small: Small) -> BuildReport:
    """Build, or go on building, in this process."""
    from indexers.stores.edge import EdgeStore

    log = Log(small.folder / "events.log")

    def before(device: str, batch: Sequence[Prepared]) -> None:
        small.before(device, batch)
        log.note("encoded", [item.passage_id for item in batch])

    visual = SimulatedEncoder(small.seconds, [f"simulated:{n}" for n in range(small.devices)], before, 16, 2000)
    words = HashEncoder("dense", 32)
    channels = [visual.channel(), Channel("page", words.spec, words)]
    specs: Mapping[Kind, Any] = {"page": (words.spec, *visual.specs)}
    sources = [Source(document(n, small.pages), MadePages(log), lambda: MadePages(log)) for n in range(small.documents)]
    store = EdgeStore.open(small.folder / "store", specs, root=small.folder)
    try:
        wrapped: Any = LoggedStore(small.wrap(store), log)
        return ingest(small.folder, wrapped, channels, (sources, []), BuildOptions(pipeline=small.options))
    finally:
        store.close()
        log.close()


def differences(small: Small) -> dict[str, int]:
    """What is wrong with the finished library: all zero when nothing was lost and nothing is there twice."""
    from indexers.stores.edge import EdgeStore

    words, visual = HashEncoder("dense", 32), SimulatedEncoder(dim=16)
    store = EdgeStore.open(small.folder / "store", {"page": (words.spec, *visual.specs)}, root=small.folder)
    journal = Journal(small.folder / "journal.sqlite")
    try:
        ids = list(store.ids("page"))
        stored = {page.id: passage_checksum(page) for page in store.get(ids)}
        expected, marked = small.expected(), dict(journal.checksums("page"))
        documents = journal.documents()
    finally:
        journal.close()
        store.close()
    return {
        "lost": len(expected.keys() - stored.keys()),
        "twice": len(ids) - len(set(ids)),
        "foreign": len(stored.keys() - expected.keys()),
        "altered": sum(stored[name] != checksum for name, checksum in expected.items() if name in stored),
        "unmarked": len(expected.keys() - marked.keys()),
        "incomplete": sum(not row["complete"] for row in documents) + small.documents - len(documents),
    }


def repeated(folder: Path) -> dict[str, tuple[int, int]]:
    """How often passages were parsed, encoded and written more than once, and how often in all, by step."""
    counts = Counter(tuple(line.split()) for line in (folder / "events.log").read_text().splitlines())
    steps = ("parsed", "encoded", "written")
    return {
        step: (
            sum(n - 1 for (what, _), n in counts.items() if what == step),
            sum(n for (what, _), n in counts.items() if what == step),
        )
        for step in steps
    }
