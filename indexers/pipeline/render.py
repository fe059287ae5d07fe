"""Several parsers at work at once: on different documents, and on parts of one large book."""

from __future__ import annotations

import queue
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from indexers.pipeline.faults import fault_point
from indexers.pipeline.statistics import BuildClock
from indexers.pipeline.work import Source, Work
from indexers.sources.pdf import unit_key
from rag.errors import SourceError
from rag.protocols import Parser
from rag.types import Document, Skipped, Unit

SPLIT_PAGES = 32
"""A part of a book is at least so many pages: each starts a reader of its own that looks the book over (about 1 s)."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """What one of several parsers of a document leaves out: what is done, and what the other parsers read.

    The first part also takes every unit that belongs to no part.
    """

    done: Collection[str]
    own: frozenset[str]
    others: frozenset[str]
    first: bool

    def __contains__(self, key: object) -> bool:
        if key in self.done or key in self.others:
            return True
        return not self.first and key not in self.own


@dataclass(frozen=True, slots=True)
class Part:
    """What one parser reads without a break: a document, or some pages of it. `limit` is None or a number of units."""

    source: Source
    number: int
    done: Container[str]
    limit: int | None

    def parser(self) -> Parser:
        """The source's own parser for the first part, a fresh one for any other."""
        return self.source.parser if self.number == 0 or self.source.fresh is None else self.source.fresh()


def plan_parts(
    sources: Sequence[Source], done: Mapping[str, Collection[str]], limit: int | None, workers: int
) -> list[Part]:
    """The parts that so many workers share: a book is split in proportion to its share of the missing pages.

    done: keys of the units already marked, by the document's sha256. With one worker, or a limit, nothing is split and
    sources keep their order; else large ones come first.
    """
    if limit is not None or workers <= 1:
        return [
            Part(source, 0, known, None if limit is None else max(limit - len(known), 0))
            for source in sources
            for known in [done[source.document.sha256]]
        ]
    missing = [max(source.document.units - len(done[source.document.sha256]), 0) for source in sources]
    share = max(sum(missing) / workers, SPLIT_PAGES)
    order = sorted(range(len(sources)), key=lambda index: -missing[index])
    return [
        part
        for index in order
        for part in _split(sources[index], done[sources[index].document.sha256], round(missing[index] / share))
    ]


def _split(source: Source, done: Collection[str], n_parts: int) -> Iterator[Part]:
    document = source.document
    if n_parts <= 1 or source.fresh is None or document.source != "pages":
        yield Part(source, 0, done, None)
        return
    keys = [key for page in range(1, document.units + 1) if (key := unit_key(document.sha256, page)) not in done]
    every = frozenset(keys)
    bounds = [len(keys) * number // n_parts for number in range(n_parts + 1)]
    for number in range(n_parts):
        own = frozenset(keys[bounds[number] : bounds[number + 1]])
        yield Part(source, number, Hidden(done, own, every - own, number == 0), None)


class RenderPool:
    """Hands out parts to workers; each worker calls `take` for every unit and `end` when a part is read."""

    def __init__(self, parts: Sequence[Part], clock: BuildClock) -> None:
        self._parts: queue.SimpleQueue[Part] = queue.SimpleQueue()
        for part in parts:
            self._parts.put(part)
        self._clock = clock

    def work(self, take: Callable[[Work], None], end: Callable[[Document], None], stopped: Callable[[], bool]) -> None:
        """Read parts until none is left. For one thread of several."""
        while not stopped():
            try:
                part = self._parts.get_nowait()
            except queue.Empty:
                return
            document = part.source.document
            for unit in read_units(part, self._clock):
                fault_point("after-parse")
                take(Work(document, unit))
                if stopped():
                    return
            end(document)


def read_units(part: Part, clock: BuildClock) -> Iterator[Unit]:
    """The units of a part. What a torn file no longer gives becomes one skipped item of a unit of its own."""
    document = part.source.document
    units = islice(part.parser().parse(document, part.done), part.limit)
    while True:
        try:
            with clock.timed("parse_s"):
                unit = next(units, None)
        except SourceError as error:
            # The iterator is finished now.
            item = Skipped(str(document.path), error.locator, error.stage, error.reason)
            yield Unit(f"{document.sha256[:32]}:broken{part.number or ''}", (), (item,))
            return
        if unit is None:
            return
        yield unit
