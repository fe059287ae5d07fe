"""The stages of a build, each a loop for one thread, and the queues between them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from indexers.devices import DeviceEncoder
from indexers.pipeline.crew import Crew, Handover
from indexers.pipeline.encode import Assembly, ChannelGroups, Item, encode_plain, parts_to_prepare, prepare
from indexers.pipeline.forward import DeviceRun
from indexers.pipeline.pool import Pool
from indexers.pipeline.statistics import BuildClock
from indexers.pipeline.work import Encoded, PipelineOptions, Work
from indexers.pipeline.write import WRITE_BATCH_BYTES, WRITE_BATCH_UNITS, Ledger, Writer
from rag.errors import EnvironmentProblem
from rag.types import Document

WRITE_BACKLOG = WRITE_BATCH_UNITS
"""Encoded units that may wait for the writers, for each device: a kill must not cost more batches than one or two."""
WRITE_PATIENCE_S = 2.0
"""So long an encoded unit waits for others before it is written."""
_POLL_S = 0.1
_SHORT_POLL_S = 0.002

_ToPrepare = tuple[Assembly, int, DeviceEncoder]


class Stages:
    """Everything between the parsers and the journal, for one run."""

    def __init__(
        self, groups: ChannelGroups, writer: Writer, crew: Crew, clock: BuildClock, options: PipelineOptions
    ) -> None:
        self._groups, self._writer, self._crew, self._clock = groups, writer, crew, clock
        stopped = crew.stopped
        self._alive = {device for encoder in groups.encoders for device in encoder.devices}
        width = max(len(self._alive), 1)
        self._room = threading.BoundedSemaphore(options.units * width)
        self._to_prepare: Handover[_ToPrepare] = Handover(stopped)
        self._to_encode: Handover[Assembly] = Handover(stopped)
        self._to_write: Handover[Encoded | Document] = Handover(lambda: False)
        self._pool = Pool(groups.encoders, options.prepared * width)
        self._lock = threading.Lock()
        self._preparers = options.preparers() if groups.encoders else 0
        self._writers = options.writers
        self._encoding = 1 + len(self._alive)
        self.ledger = Ledger()
        self.complete_documents = True
        for encoder in groups.encoders:
            if not encoder.devices:
                raise EnvironmentProblem(
                    f"channel {encoder.spec.name!r} has no device to run on; name one in its settings"
                )

    def start(self) -> None:
        """Start every thread behind the parsers. `parsed` must be called when the last unit was taken in."""
        self._crew.start("encode", [self._encode], self._encoded)
        if self._groups.encoders:
            self._crew.start("prepare", [self._prepare] * self._preparers, self._pool.close)
            runs = [DeviceRun(device, self._clock, self._item_done) for device in sorted(self._alive)]
            for run in runs:
                self._crew.start(f"device-{run.device}", [lambda run=run: self._forward(run)], self._encoded)  # type: ignore[misc]
        self._crew.start("write", [self._write] * self._writers, lambda: None, whole=True)

    def queues(self) -> Mapping[str, int]:
        """How many items wait in front of each stage."""
        depths = {"encode": len(self._to_encode), "write": len(self._to_write)}
        if self._groups.encoders:
            depths |= {"prepare": len(self._to_prepare), "device": len(self._pool)}
        return depths

    def take(self, work: Work) -> None:
        """Take in a unit; waits while too many are under way."""
        while not self._room.acquire(timeout=_POLL_S):
            if self._crew.stopped():
                return
        self.ledger.opened(work.document)
        assembly = Assembly(work, self._groups)
        for index, encoder in parts_to_prepare(assembly):
            self._to_prepare.put((assembly, index, encoder))
        self._to_encode.put(assembly)

    def end(self, document: Document) -> None:
        """One stream of units of a document has ended."""
        self._to_write.put(document)

    def parsed(self) -> None:
        """No more units will be taken in."""
        self._to_encode.end(1)
        self._to_prepare.end(self._preparers)

    def _encode(self) -> None:
        for assembly in self._to_encode:
            self._let_writers_catch_up()
            with self._clock.timed("encode_s"):
                encode_plain(assembly)
            self._part_done(assembly)

    def _prepare(self) -> None:
        for assembly, index, encoder in self._to_prepare:
            with self._clock.timed("prepare_s"):
                item = prepare(assembly, index, encoder)
            if item is None:
                self._part_done(assembly)
            else:
                self._pool.put(item, self._crew.stopped)

    def _forward(self, run: DeviceRun) -> None:
        while (batch := self._pool.take(run, self._crew.stopped)) is not None:
            if not batch:
                run.settle()
                continue
            self._let_writers_catch_up()
            left = run.run(batch)
            if run.lost:
                self._lost(run)
                self._pool.give_back(left)
                return

    def _let_writers_catch_up(self) -> None:
        most = WRITE_BACKLOG * max(len(self._alive), 1)
        while len(self._to_write) >= most and not self._crew.stopped():
            time.sleep(_SHORT_POLL_S)

    def _lost(self, run: DeviceRun) -> None:
        with self._lock:
            self._alive.discard(run.device)
            stranded = [encoder for encoder in self._groups.encoders if not self._alive & set(encoder.devices)]
        if stranded:
            names = ", ".join(f"{encoder.spec.name!r}" for encoder in stranded)
            raise EnvironmentProblem(
                f"device {run.device} was lost ({run.lost}) and no other is left for channel {names}; "
                "what was encoded before is kept: bring the device back and run the same command again"
            )

    def _item_done(self, item: Item) -> None:
        self._pool.finished(item)
        self._part_done(item.assembly)

    def _part_done(self, assembly: Assembly) -> None:
        if assembly.part_done():
            self._to_write.put(assembly.encoded())

    def _encoded(self) -> None:
        """The encode thread, or a device, has come to its end."""
        with self._lock:
            self._encoding -= 1
            last = self._encoding == 0
        if last:
            self._to_write.end(self._writers)

    def _write(self) -> None:
        """Gather units into batches and write them; what is whole when the build is stopped is written too."""
        batch = WriteBatch()
        for item in self._to_write.with_pauses(_POLL_S):
            if isinstance(item, Document):
                if self.ledger.ended(item):
                    self._complete(item)
            elif item is not None:
                batch.add(item)
            if batch.is_due():
                self._flush(batch.empty())
        self._flush(batch.empty())

    def _flush(self, units: Sequence[Encoded]) -> None:
        if not units:
            return
        self._writer.write(units)
        for encoded in units:
            self._room.release()
            self._clock.add("units")
            self._clock.add("skipped", len(encoded.unit.skipped))
            if self.ledger.marked(encoded.document):
                self._complete(encoded.document)

    def _complete(self, document: Document) -> None:
        if self.complete_documents:
            self._writer.complete(document)


class WriteBatch:
    """Encoded units that will be written together. For one thread."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._units: list[Encoded] = []
        self._bytes, self._since, self._now = 0, 0.0, now

    def add(self, encoded: Encoded) -> None:
        """Add a unit."""
        if not self._units:
            self._since = self._now()
        self._units.append(encoded)
        self._bytes += encoded.n_bytes

    def is_due(self) -> bool:
        """Whether the batch is large enough, or its first unit has waited for WRITE_PATIENCE_S."""
        return bool(self._units) and (
            len(self._units) >= WRITE_BATCH_UNITS
            or self._bytes >= WRITE_BATCH_BYTES
            or self._now() - self._since >= WRITE_PATIENCE_S
        )

    def empty(self) -> list[Encoded]:
        """The units, taken out."""
        units, self._units, self._bytes = self._units, [], 0
        return units
