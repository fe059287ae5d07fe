"""The build loop: parse, encode, write, mark. The stages overlap, and the journal makes every step repeatable.

    read-ahead thread: parser -> units | this thread: units -> points | write-behind thread: upsert, then mark

One unit is never mixed with another while encoding, so a resumed build makes the same vectors as an unbroken one.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from indexers.journal import Journal
from indexers.overlap import WriteBehind, read_ahead
from indexers.progress import ProgressMeter
from indexers.stores.checks import MULTI_LIMIT
from rag.errors import QueryError, SourceError
from rag.protocols import Parser, Store
from rag.retrievers import Channel
from rag.types import Document, Kind, Passage, Point, Skipped, SparseVector, Unit, Vector

WRITE_BATCH_UNITS = 16
"""Units written and marked together: a kill repeats little work, and the cost of a sync is shared."""
READ_AHEAD_UNITS = 64
"""Units parsed ahead of the encoders: bounds memory when parsing is the faster stage."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file to index, with the parser that reads it."""

    document: Document
    parser: Parser


@dataclass(frozen=True, slots=True)
class Work:
    """One parsed unit of a document; no unit stands for the document's end."""

    document: Document
    unit: Unit | None


@dataclass(frozen=True, slots=True)
class Encoded:
    """A unit with its points. Passages that could not be encoded have become skipped items of the unit."""

    unit: Unit
    points: tuple[Point, ...]


@dataclass(slots=True)
class BuildClock:
    """Seconds of work in each stage (waiting not counted), and how many units this run did and skipped items it met."""

    parse_s: float = 0.0
    encode_s: float = 0.0
    write_s: float = 0.0
    units: int = 0
    skipped: int = 0


class Builder:
    """Indexes sources into one library. `channels` are those of all passage kinds."""

    def __init__(self, store: Store, journal: Journal, channels: Sequence[Channel], meter: ProgressMeter) -> None:
        self._store, self._journal, self._meter = store, journal, meter
        self._channels: Mapping[Kind, tuple[Channel, ...]] = {
            kind: tuple(channel for channel in channels if channel.kind == kind)
            for kind in {channel.kind for channel in channels}
        }
        self.clock = BuildClock()

    def run(self, sources: Sequence[Source], limit: int | None = None) -> None:
        """Index every unit that the journal does not know, or each source's first `limit` units.

        Whatever raises, nothing written is lost.
        """
        done = {source.document.sha256: self._journal.done(source.document) for source in sources}
        total = sum(min(source.document.units, limit or source.document.units) for source in sources)
        known = sum(len(keys) for keys in done.values())
        waiting: list[Encoded] = []
        with read_ahead(self._parse(sources, done, limit), READ_AHEAD_UNITS) as stream, WriteBehind() as writer:
            for work in stream:
                if work.unit is not None:
                    waiting.append(self._encode(work.unit))
                if waiting and (work.unit is None or len(waiting) >= WRITE_BATCH_UNITS):
                    self._submit(writer, work.document, tuple(waiting))
                    waiting.clear()
                if work.unit is None and limit is None:
                    document = work.document
                    writer.submit(lambda document=document: self._journal.complete(document))  # type: ignore[misc]
                self._meter.update(
                    "index", done=known + self.clock.units, fresh=self.clock.units, total=total,
                    failures=self.clock.skipped,
                )  # fmt: skip
            writer.drain()

    def _parse(
        self, sources: Sequence[Source], done: Mapping[str, Collection[str]], limit: int | None
    ) -> Iterator[Work]:
        for source in sources:
            known = done[source.document.sha256]
            left = None if limit is None else max(limit - len(known), 0)
            units = islice(source.parser.parse(source.document, known), left)
            while (unit := self._next(source.document, units)) is not None:
                yield Work(source.document, unit)
            yield Work(source.document, None)

    def _next(self, document: Document, units: Iterator[Unit]) -> Unit | None:
        started = time.perf_counter()
        try:
            return next(units, None)
        except SourceError as error:
            # The iterator is finished now; what could not be read becomes one skipped item of a unit of its own.
            item = Skipped(str(document.path), error.locator, error.stage, error.reason)
            return Unit(f"{document.sha256[:32]}:broken", (), (item,))
        finally:
            self.clock.parse_s += time.perf_counter() - started

    def _encode(self, unit: Unit) -> Encoded:
        started = time.perf_counter()
        points: list[Point] = []
        skipped = list(unit.skipped)
        for kind, channels in self._channels.items():
            passages = [passage for passage in unit.passages if passage.kind == kind]
            if passages:
                made, failed = encode_passages(passages, channels)
                points.extend(made)
                skipped.extend(failed)
        self.clock.encode_s += time.perf_counter() - started
        self.clock.units += 1
        self.clock.skipped += len(skipped)
        kept = tuple(point.passage for point in points)
        return Encoded(replace(unit, passages=kept, skipped=tuple(skipped)), tuple(points))

    def _submit(self, writer: WriteBehind, document: Document, batch: tuple[Encoded, ...]) -> None:
        def write() -> None:
            started = time.perf_counter()
            self._store.upsert([point for encoded in batch for point in encoded.points])
            self._journal.mark(document, [encoded.unit for encoded in batch])
            self.clock.write_s += time.perf_counter() - started

        writer.submit(write)


def encode_passages(passages: Sequence[Passage], channels: Sequence[Channel]) -> tuple[list[Point], list[Skipped]]:
    """Points of some passages of one kind. A passage that an encoder cannot read is skipped, alone."""
    try:
        return _encode_together(passages, channels), []
    except (SourceError, QueryError) as error:
        if len(passages) == 1:
            passage = passages[0]
            where = passage.record or (f"page {passage.page}" if passage.page else passage.id)
            return [], [Skipped(passage.document, where, "encode", str(error))]
    points: list[Point] = []
    skipped: list[Skipped] = []
    for passage in passages:
        made, failed = encode_passages([passage], channels)
        points += made
        skipped += failed
    return points, skipped


def _encode_together(passages: Sequence[Passage], channels: Sequence[Channel]) -> list[Point]:
    vectors: list[dict[str, Vector]] = [{} for _ in passages]
    for channel in channels:
        for found, vector in zip(vectors, channel.encoder.encode_passages(passages), strict=True):
            if vector is not None:
                found[channel.name] = _storable(channel, vector)
    return [Point(passage, found) for passage, found in zip(passages, vectors, strict=True)]


def _storable(channel: Channel, vector: Vector) -> Vector:
    """The vector as this kind stores it, if the engine can hold it.

    A kind with one row per passage (facts) keeps the first window of a long text; BM25 reads all of it. A page of far
    too many words is skipped: it must not end the build.
    """
    if isinstance(vector, SparseVector):
        return vector
    if channel.spec.form == "dense":
        return vector[:1]
    if vector.size > MULTI_LIMIT:
        raise SourceError(
            f"its {channel.name} vector has {vector.size:,} numbers; Qdrant holds {MULTI_LIMIT:,}; split the page",
            stage="encode",
        )
    return vector
