"""Batches through a device: halved when they do not fit, given back when the device is lost, never losing an item."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from indexers.devices import DeviceEncoder, DeviceLost, OutOfDeviceMemory
from indexers.pipeline.batches import Budget, Limit
from indexers.pipeline.encode import Item, deliver
from indexers.pipeline.statistics import BuildClock
from rag.errors import QueryError, SourceError

PAUSE_S = 2.0
"""Wait before a single page that did not fit is tried again: what else used the memory may have let go of it."""
MOST_UNFIT = 8
"""Single pages in a row that may not fit: then it is not the pages, and the device is given up."""


class DeviceRun:
    """Runs the batches of one device, with what it has learned of its memory. For one thread.

    Every item given to `run` is finished (delivered, or skipped with a reason), held (a single page that did not fit,
    until the next batch tells whether the page or the device is at fault), or returned when the device is lost.
    """

    def __init__(
        self,
        device: str,
        clock: BuildClock,
        finished: Callable[[Item], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.device, self.lost = device, ""
        self._clock, self._finished, self._sleep = clock, finished, sleep
        self._budgets: dict[int, Budget] = {}
        self._tried_alone: Item | None = None
        self.held: list[Item] = []

    def limit(self, encoder: DeviceEncoder) -> Limit:
        """The largest batch that this device should be given for an encoder."""
        return self._budget(encoder).limit

    def run(self, batch: Sequence[Item]) -> list[Item]:
        """Encode items of one encoder. Returns those not done when the device is lost; `lost` then says why."""
        parts = deque([list(batch)])
        while parts and not self.lost:
            part = parts.popleft()
            try:
                self._forward(part)
            except OutOfDeviceMemory:
                self._clock.add("halved")
                self._budget(part[0].encoder).too_much(part)
                parts.extendleft(reversed(_halves(part) if len(part) > 1 else self._unfit(part)))
            except (SourceError, QueryError) as error:
                if len(part) > 1:
                    parts.extendleft(reversed(_halves(part)))
                else:
                    self._skip(part[0], str(error))
            except DeviceLost as error:
                self.lost = str(error) or "it stopped answering"
                parts.appendleft(part)
        if not self.lost:
            return []
        self._clock.add("lost")
        left = [*self.held, *(item for part in parts for item in part)]
        self.held = []
        return left

    def settle(self) -> None:
        """Skip the pages held: they did not fit."""
        held, self.held = self.held, []
        for item in held:
            self._skip(
                item,
                f"its {item.patches:,} patches do not fit into the memory of {self.device}, even alone; "
                "lower visual.max_patches, or free memory there",
            )

    def _forward(self, part: Sequence[Item]) -> None:
        encoder = part[0].encoder
        with self._clock.busy(self.device):
            made = encoder.forward(self.device, [item.prepared for item in part])
        self._clock.forwarded([item.patches for item in part])
        self._budget(encoder).fitted()
        for item, vectors in zip(part, made, strict=True):
            deliver(item, vectors)
            self._finished(item)
        self.settle()

    def _unfit(self, part: list[Item]) -> list[list[Item]]:
        """A single page that did not fit: once again after a pause, then it is held."""
        [item] = part
        if self._tried_alone is not item:
            self._tried_alone = item
            self._sleep(PAUSE_S)
            return [part]
        self.held.append(item)
        if len(self.held) >= MOST_UNFIT:
            self.lost = f"it has no memory left for even one page of {item.patches:,} patches; what else runs on it?"
        return []

    def _skip(self, item: Item, reason: str) -> None:
        item.assembly.fail(item.index, reason)
        self._finished(item)

    def _budget(self, encoder: DeviceEncoder) -> Budget:
        if id(encoder) not in self._budgets:
            self._budgets[id(encoder)] = Budget(encoder, self.device)
        return self._budgets[id(encoder)]


def _halves(part: list[Item]) -> list[list[Item]]:
    middle = len(part) // 2
    return [part[:middle], part[middle:]]
