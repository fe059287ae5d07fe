"""Progress of long work: done of total, rate, time left, failures. Lines for a person, JSON events for a program."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Protocol, TextIO

WINDOW_S = 60.0
"""The rate is that of the last minute: a book of large pages does not spoil the estimate for the next one."""


@dataclass(frozen=True, slots=True)
class Live:
    """What goes on inside a build.

    queues: items waiting in front of each stage. device_idle: share of the time in which the devices had no work.
    padding: share of the patches given to devices that was padding; both in [0, 1], None without devices. recovered:
    faults that were overcome (batches halved, devices lost, writes repeated).
    """

    queues: Mapping[str, int] = field(default_factory=dict)
    device_idle: float | None = None
    padding: float | None = None
    recovered: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a build stands.

    `rate` is units (of books: pages) per second of this run, over the last minute; `eta_s` is None until the rate is
    known. `failures` counts the items left out by this run.
    """

    stage: str
    done: int
    total: int
    rate: float
    eta_s: float | None
    failures: int
    live: Live = field(default_factory=Live)


class ProgressSink(Protocol):
    """Receives progress; must be quick and never raise."""

    def __call__(self, progress: Progress) -> None: ...


def silent(progress: Progress) -> None:
    """Shows nothing."""
    del progress


_NOTHING = Live()


class ProgressMeter:
    """Turns counts into Progress, at most a few times a second. `clock` gives seconds and never goes back."""

    def __init__(
        self, sink: ProgressSink, *, clock: Callable[[], float] = time.monotonic, every_s: float = 0.5
    ) -> None:
        self._sink, self._clock, self._every_s = sink, clock, every_s
        self._seen: deque[tuple[float, int]] = deque([(clock(), 0)])
        self._shown = float("-inf")
        self._ended = False

    def update(self, stage: str, *, done: int, fresh: int, total: int, failures: int, live: Live = _NOTHING) -> None:
        """Report: `done` of `total` units, of which `fresh` were done by this run. The end is reported once."""
        now = self._clock()
        ended = done >= total
        if (now - self._shown < self._every_s and not ended) or (ended and self._ended):
            return
        self._shown, self._ended = now, ended
        rate = self._rate(now, fresh)
        eta_s = max(total - done, 0) / rate if rate else None
        self._sink(Progress(stage, done, total, rate, eta_s, failures, live))

    def _rate(self, now: float, fresh: int) -> float:
        while len(self._seen) > 1 and now - self._seen[1][0] >= WINDOW_S:
            self._seen.popleft()
        since, before = self._seen[0]
        self._seen.append((now, fresh))
        return (fresh - before) / max(now - since, 1e-9)


def line_sink(stream: TextIO) -> ProgressSink:
    """A line that rewrites itself on a terminal; JSON events, one per line, anywhere else."""
    if not stream.isatty():
        return lambda progress: print_event(stream, progress)

    def show(progress: Progress) -> None:
        end = "\n" if progress.done >= progress.total else ""
        stream.write(f"\r\x1b[2K{describe(progress)}{end}")
        stream.flush()

    return show


def describe(progress: Progress) -> str:
    """Progress as one line for a person."""
    live = progress.live
    said = [f"{progress.stage}: {progress.done}/{progress.total} units", f"{progress.rate:.1f}/s"]
    if progress.eta_s is not None:
        said.append(f"{_duration(progress.eta_s)} left")
    if live.device_idle is not None:
        said.append(f"devices idle {live.device_idle:.0%}")
    if live.padding is not None:
        said.append(f"padding {live.padding:.0%}")
    if any(live.queues.values()):
        said.append("waiting " + " ".join(f"{stage} {depth}" for stage, depth in live.queues.items()))
    if progress.failures:
        said.append(f"{progress.failures} skipped")
    if live.recovered:
        said.append(f"{live.recovered} faults overcome")
    return ", ".join(said)


def print_event(stream: TextIO, progress: Progress) -> None:
    """Write one progress event as a JSON line; what goes on inside stands beside the other fields."""
    fields = asdict(progress)
    live = fields.pop("live")
    stream.write(json.dumps({"event": "progress", **fields, **live}) + "\n")
    stream.flush()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
