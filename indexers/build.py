"""The build loop: parse, encode, write, mark. The stages overlap, and the journal makes every step repeatable.

The stages are those of `indexers.pipeline`. Without a device there is one parser and one thread that encodes unit by
unit; with devices, several parsers, threads that prepare pages, and a thread for each device.
"""

from __future__ import annotations

from collections.abc import Sequence

from indexers.journal import Journal
from indexers.pipeline.crew import Crew
from indexers.pipeline.encode import ChannelGroups
from indexers.pipeline.render import RenderPool, plan_parts
from indexers.pipeline.stages import Stages
from indexers.pipeline.statistics import BuildClock
from indexers.pipeline.work import Encoded, PipelineOptions, Source, Work
from indexers.pipeline.write import Writer, disk_full_explained
from indexers.progress import Live, ProgressMeter
from rag.protocols import Store
from rag.retrievers import Channel

__all__ = ["BuildClock", "Builder", "Encoded", "PipelineOptions", "Source", "Work"]

_DEFAULT = PipelineOptions()


class Builder:
    """Indexes sources into one library. `channels` are those of all passage kinds; `clock` counts what was done."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        channels: Sequence[Channel],
        meter: ProgressMeter,
        options: PipelineOptions = _DEFAULT,
    ) -> None:
        self._journal, self._meter, self._options = journal, meter, options
        self._groups = ChannelGroups.of(channels)
        self.clock = BuildClock()
        self._writer = Writer(store, journal, options, self.clock)

    def run(self, sources: Sequence[Source], limit: int | None = None) -> None:
        """Index every unit that the journal does not know, or each source's first `limit` units.

        Whatever raises, nothing written is lost: the next run goes on where this one stopped.

        Raises:
            StoreError: the store refused a batch several times.
            EnvironmentProblem: the disk is full, or no device is left.
        """
        done = {source.document.sha256: self._journal.done(source.document) for source in sources}
        wanted = {
            source.document.sha256: min(source.document.units, limit or source.document.units) for source in sources
        }
        known = sum(min(len(done[sha256]), units) for sha256, units in wanted.items())
        workers = self._options.renderers(on_device=bool(self._groups.encoders))
        parts = plan_parts(sources, done, limit, workers)
        crew = Crew()
        stages = Stages(self._groups, self._writer, crew, self.clock, self._options)
        stages.complete_documents = limit is None
        for part in parts:
            stages.ledger.expect(part.source.document)
        pool = RenderPool(parts, self.clock)

        def watch() -> None:
            self._report(known, sum(wanted.values()), stages)

        with disk_full_explained():
            stages.start()
            renderers = [lambda: pool.work(stages.take, stages.end, crew.stopped)] * min(workers, max(len(parts), 1))
            crew.start("render", renderers, stages.parsed)
            try:
                crew.wait(watch)
            finally:
                watch()

    def _report(self, known: int, total: int, stages: Stages) -> None:
        clock = self.clock
        live = Live(
            stages.queues(), clock.device_idle(live=True), clock.padding, clock.halved + clock.lost + clock.rewritten
        )
        self._meter.update(
            "index", done=known + clock.units, fresh=clock.units, total=total, failures=clock.skipped, live=live
        )
