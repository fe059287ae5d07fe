"""What a build counts while it runs: seconds of work in each stage, how busy the devices are, what was overcome."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

Counter = Literal["parse_s", "encode_s", "prepare_s", "write_s", "units", "skipped", "halved", "lost", "rewritten"]


@dataclass(slots=True)
class DeviceUse:
    """One device: when its first batch began and its last one ended, and the seconds in between that it worked."""

    first: float | None = None
    last: float = 0.0
    busy_s: float = 0.0
    since: float | None = None


@dataclass(slots=True)
class BuildClock:
    """Counts of one run; every method may be called from any thread. Waiting is not counted as work.

    parse_s, prepare_s and write_s add up over threads. units: done by this run. skipped: items it left out.
    halved: batches that did not fit into a device's memory. lost: devices. rewritten: writes that had to be repeated.
    items, batches: what the devices were given. patches: real ones; padded: those of the batches as they were.
    """

    now: Callable[[], float] = time.perf_counter
    parse_s: float = 0.0
    encode_s: float = 0.0
    prepare_s: float = 0.0
    write_s: float = 0.0
    units: int = 0
    skipped: int = 0
    halved: int = 0
    lost: int = 0
    rewritten: int = 0
    items: int = 0
    batches: int = 0
    patches: int = 0
    padded: int = 0
    devices: dict[str, DeviceUse] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, counter: Counter, amount: float = 1) -> None:
        """Raise one counter."""
        with self._lock:
            setattr(self, counter, getattr(self, counter) + amount)

    @contextmanager
    def timed(self, counter: Counter) -> Iterator[None]:
        """Add the seconds of a block to a counter."""
        started = self.now()
        try:
            yield
        finally:
            self.add(counter, self.now() - started)

    @contextmanager
    def busy(self, device: str) -> Iterator[None]:
        """The device works during this block."""
        started = self.now()
        with self._lock:
            use = self.devices.setdefault(device, DeviceUse())
            use.first = started if use.first is None else use.first
            use.since = started
        try:
            yield
        finally:
            with self._lock:
                use.since, use.last = None, self.now()
                use.busy_s += use.last - started

    def forwarded(self, sizes: Sequence[int]) -> None:
        """A batch of items of so many patches each went through a device."""
        with self._lock:
            self.items += len(sizes)
            self.batches += 1
            self.patches += sum(sizes)
            self.padded += len(sizes) * max(sizes)

    @property
    def forward_s(self) -> float:
        """Seconds that the devices worked, added up."""
        with self._lock:
            return sum(use.busy_s for use in self.devices.values())

    def device_idle(self, *, live: bool = False) -> float | None:
        """Share of the time between a device's first and last batch in which it had no work, in [0, 1].

        The mean over devices; None when nothing ran on one. With `live` the time reaches until now.
        """
        now = self.now()
        with self._lock:
            shares = []
            for use in self.devices.values():
                if use.first is not None:
                    end = now if live or use.since is not None else use.last
                    working = 0.0 if use.since is None else now - use.since
                    shares.append(1 - (use.busy_s + working) / max(end - use.first, 1e-9))
        return max(sum(shares) / len(shares), 0.0) if shares else None

    @property
    def padding(self) -> float | None:
        """Share of the patches given to devices that was padding, in [0, 1]; None when nothing ran on one."""
        with self._lock:
            return 1 - self.patches / self.padded if self.padded else None

    def figures(self) -> dict[str, float]:
        """How the devices were used, for a report; empty when nothing ran on one."""
        idle, padding = self.device_idle(), self.padding
        if idle is None or padding is None:
            return {}
        return {
            "device_idle": idle,
            "padding": padding,
            "items_per_batch": self.items / max(self.batches, 1),
            "halved_batches": self.halved,
            "lost_devices": self.lost,
            "repeated_writes": self.rewritten,
        }
