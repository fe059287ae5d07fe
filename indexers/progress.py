"""Progress of long work: done of total, rate, time left, failures. Lines for a person, JSON events for a program."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Protocol, TextIO


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a build stands. `rate` is units per second of this run; `eta_s` is None until the rate is known."""

    stage: str
    done: int
    total: int
    rate: float
    eta_s: float | None
    failures: int


class ProgressSink(Protocol):
    """Receives progress; must be quick and never raise."""

    def __call__(self, progress: Progress) -> None: ...


def silent(progress: Progress) -> None:
    """Shows nothing."""
    del progress


class ProgressMeter:
    """Turns counts into Progress, at most a few times a second."""

    def __init__(
        self, sink: ProgressSink, *, clock: Callable[[], float] = time.monotonic, every_s: float = 0.5
    ) -> None:
        self._sink, self._clock, self._every_s = sink, clock, every_s
        self._started = clock()
        self._shown = float("-inf")

    def update(self, stage: str, *, done: int, fresh: int, total: int, failures: int) -> None:
        """Report: `done` of `total` units, of which `fresh` were done by this run."""
        now = self._clock()
        if now - self._shown < self._every_s and done < total:
            return
        self._shown = now
        rate = fresh / max(now - self._started, 1e-9)
        eta_s = (total - done) / rate if fresh else None
        self._sink(Progress(stage, done, total, rate, eta_s, failures))


def line_sink(stream: TextIO) -> ProgressSink:
    """A line that rewrites itself on a terminal; JSON events, one per line, anywhere else."""
    if not stream.isatty():
        return lambda progress: print_event(stream, progress)

    def show(progress: Progress) -> None:
        left = "" if progress.eta_s is None else f", {_duration(progress.eta_s)} left"
        failed = f", {progress.failures} skipped" if progress.failures else ""
        text = f"{progress.stage}: {progress.done}/{progress.total} units, {progress.rate:.1f}/s{left}{failed}"
        end = "\n" if progress.done >= progress.total else ""
        stream.write(f"\r\x1b[2K{text}{end}")
        stream.flush()

    return show


def print_event(stream: TextIO, progress: Progress) -> None:
    """Write one progress event as a JSON line."""
    stream.write(json.dumps({"event": "progress", **asdict(progress)}) + "\n")
    stream.flush()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
