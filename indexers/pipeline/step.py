"""The encode step by itself: parsed units in, encoded units out. What an actor on another machine runs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from indexers.pipeline.batches import Waiting
from indexers.pipeline.encode import Assembly, ChannelGroups, Item, encode_plain, parts_to_prepare, prepare
from indexers.pipeline.forward import DeviceRun
from indexers.pipeline.statistics import BuildClock
from indexers.pipeline.work import Encoded, Work
from rag.errors import EnvironmentProblem
from rag.retrievers import Channel


class EncodeStep:
    """Encodes units on one device, or on none. Keep one per process: it remembers what fits into the device's memory.

    Its threads prepare pages; everything else runs in the calling thread. `clock` counts what was done.
    """

    def __init__(self, channels: Sequence[Channel], device: str | None = None, threads: int = 1) -> None:
        """`device`: a name out of the encoders' `devices`; None: the first one of each encoder."""
        self.clock = BuildClock()
        self._groups = ChannelGroups.of(channels)
        self._device, self._threads = device, threads
        self._runs: dict[str, DeviceRun] = {}

    def __call__(self, works: Sequence[Work]) -> list[Encoded]:
        """The points of some units, in their order. A passage that cannot be encoded becomes a skipped item.

        The more units, the fewer patches are padding. Raises EnvironmentProblem when the device is lost; nothing of
        these units is encoded then, and they can be given to another device.
        """
        assemblies = [Assembly(work, self._groups) for work in works]
        wanted = [(assembly, *part) for assembly in assemblies for part in parts_to_prepare(assembly)]
        with ThreadPoolExecutor(max_workers=max(self._threads, 1)) as pool:
            prepared = pool.map(lambda part: prepare(*part), wanted)
            with self.clock.timed("encode_s"):
                for assembly in assemblies:
                    encode_plain(assembly)
            items = [item for item in prepared if item is not None]
        for encoder in self._groups.encoders:
            self._forward([item for item in items if item.encoder is encoder])
        encoded = [assembly.encoded() for assembly in assemblies]
        self.clock.add("units", len(encoded))
        self.clock.add("skipped", sum(len(each.unit.skipped) for each in encoded))
        return encoded

    def _forward(self, items: Sequence[Item]) -> None:
        if not items:
            return
        encoder = items[0].encoder
        device = self._device or encoder.devices[0]
        if device not in self._runs:
            self._runs[device] = DeviceRun(device, self.clock, _nothing_more)
        run = self._runs[device]
        waiting = Waiting(items)
        while batch := waiting.take(run.limit(encoder)):
            run.run(batch)
            if run.lost:
                del self._runs[device]
                raise EnvironmentProblem(f"device {device} was lost ({run.lost}); bring it back, or use another one")
        run.settle()


def _nothing_more(item: Item) -> None:
    """The units are gathered when every item is done."""
    del item
