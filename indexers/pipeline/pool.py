"""Where prepared items wait for a device that is free."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from indexers.devices import DeviceEncoder
from indexers.pipeline.batches import Waiting
from indexers.pipeline.encode import Item
from indexers.pipeline.forward import DeviceRun

PATIENCE_S = 0.5
"""So long an item waits for others of its size while a device is free; then it goes in a smaller batch."""
STARVED_S = 30.0
"""So long full batches of other sizes may overtake an item."""
_POLL_S = 0.1


class Pool:
    """Prepared items of every encoder, at most `capacity` of them. Any thread may put, any device may take.

    A full batch leaves first. A smaller one, around the oldest item, leaves when that has waited for PATIENCE_S, when
    the pool is full, when nothing more can come, or when larger batches have overtaken it for STARVED_S.
    """

    def __init__(
        self, encoders: Sequence[DeviceEncoder], capacity: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._waiting = {id(encoder): (encoder, Waiting()) for encoder in encoders}
        self._capacity, self._now = capacity, now
        self._changed = threading.Condition()
        self._closed = False
        self._taken = 0

    def __len__(self) -> int:
        with self._changed:
            return self._size()

    def put(self, item: Item, stopped: Callable[[], bool]) -> None:
        """Add an item; waits while the pool is full, unless the build is being stopped."""
        with self._changed:
            while self._size() >= self._capacity and not stopped():
                self._changed.wait(_POLL_S)
            self._add(item)

    def give_back(self, items: Sequence[Item]) -> None:
        """Items of a device that was lost wait again, for another one."""
        with self._changed:
            for item in items:
                self._add(item)
            self._taken -= len(items)

    def finished(self, item: Item) -> None:
        """An item that was taken is done."""
        del item
        with self._changed:
            self._taken -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """No new items will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self, run: DeviceRun, stopped: Callable[[], bool]) -> list[Item] | None:
        """The next batch for a device, all of one encoder. None at the end, or when the build is being stopped.

        Returns an empty batch at once when there is none and the device holds pages that did not fit.
        """
        with self._changed:
            while not stopped():
                batch = self._batch(run)
                if batch or run.held:
                    self._taken += len(batch)
                    self._changed.notify_all()
                    return batch
                if self._closed and not self._size() and not self._taken:
                    return None
                self._changed.wait(_POLL_S)
            return None

    def _batch(self, run: DeviceRun) -> list[Item]:
        """The batch of the encoder whose oldest item has waited longest."""
        groups = [pair for pair in self._waiting.values() if run.device in pair[0].devices and len(pair[1])]
        groups.sort(key=lambda pair: pair[1].oldest)
        for encoder, waiting in groups:
            starved = self._now() - waiting.oldest >= STARVED_S
            if batch := waiting.take(run.limit(encoder), full=not starved):
                return batch
        for encoder, waiting in groups:
            if self._closed or self._size() >= self._capacity or self._now() - waiting.oldest >= PATIENCE_S:
                return waiting.take(run.limit(encoder))
        return []

    def _add(self, item: Item) -> None:
        self._waiting[id(item.encoder)][1].add(item, self._now())
        self._changed.notify_all()

    def _size(self) -> int:
        return sum(len(waiting) for _, waiting in self._waiting.values())
