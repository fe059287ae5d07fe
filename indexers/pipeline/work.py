"""What flows through a build: sources, parsed units with their document, encoded units; and a build's options."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from indexers.stores.checks import point_bytes
from rag.protocols import Parser
from rag.types import Document, Point, Unit


@dataclass(frozen=True, slots=True)
class Source:
    """One file to index, with the parser that reads it.

    `fresh` makes another parser of the same kind: with it, several workers can read one large book at once.
    """

    document: Document
    parser: Parser
    fresh: Callable[[], Parser] | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """One parsed unit of a document."""

    document: Document
    unit: Unit


@dataclass(frozen=True, slots=True)
class Encoded:
    """A unit with its points. Passages that could not be encoded have become skipped items of the unit."""

    document: Document
    unit: Unit
    points: tuple[Point, ...]

    @property
    def n_bytes(self) -> int:
        """About how many bytes its points take in a request."""
        return sum(map(point_bytes, self.points))


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """How wide each stage is. 0 means: chosen from the cores of this machine.

    render_workers: parsers at work at once. prepare_threads: images decoded and resized at once. writers: batches
    written at once; more than one only helps with a server. units: units under way at once for each device, which
    bounds memory. prepared: pages kept ready for each device; with more, batches hold pages of more similar size, and
    each takes some megabytes. reserve_bytes: a build ends with a clear error before less than this is free on the
    library's disk, because the embedded engine maps its files into memory and the process would die. write_pauses_s:
    waits before a write that the store refused is tried again.
    """

    render_workers: int = 0
    prepare_threads: int = 0
    writers: int = 1
    units: int = 128
    prepared: int = 64
    reserve_bytes: int = 64 << 20
    write_pauses_s: tuple[float, ...] = (0.5, 2.0, 5.0)

    def renderers(self, *, on_device: bool) -> int:
        """Parsers at work at once: one where encoding itself keeps the cores busy, else one per core up to 16."""
        return self.render_workers or (min(cores(), 16) if on_device else 1)

    def preparers(self) -> int:
        """Threads that prepare pages for the devices."""
        return self.prepare_threads or min(cores(), 16)


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
