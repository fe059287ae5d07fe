"""The writing half of a build: points into the store, then units into the journal. Repeating it changes nothing."""

from __future__ import annotations

import errno
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from indexers.journal import Journal
from indexers.pipeline.faults import fault_point
from indexers.pipeline.statistics import BuildClock
from indexers.pipeline.work import Encoded, PipelineOptions
from rag.errors import EnvironmentProblem, StoreError
from rag.protocols import Store
from rag.types import Document, Point, Unit

WRITE_BATCH_UNITS = 16
"""Units written and marked together: a kill repeats little work, and the cost of a sync is shared."""
WRITE_BATCH_BYTES = 8 << 20
"""A larger batch costs memory and time to repeat, and makes the engine no faster."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_WORDS = ("no space left", "disk is full", "quota exceeded", "file too large", "os error 28")


_DEFAULT = PipelineOptions()


class Writer:
    """Writes encoded units and marks them. Several threads may write; the journal is used by one at a time."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        options: PipelineOptions = _DEFAULT,
        clock: BuildClock | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store, self._journal, self._clock = store, journal, clock or BuildClock()
        self._options, self._sleep = options, sleep
        self._lock = threading.Lock()

    def write(self, batch: Sequence[Encoded]) -> None:
        """Write the points of some units, then mark the units; units are durable and marked when this returns.

        Raises StoreError when the store goes on refusing, EnvironmentProblem when the disk is full. What was marked
        before stays; what was written and not marked is written again by the next build, with the same ids.
        """
        points = [point for encoded in batch for point in encoded.points]
        with self._clock.timed("write_s"), disk_full_explained():
            check_room(self._journal.path.parent, self._options.reserve_bytes)
            fault_point("before-upsert")
            if points:
                self._upsert(points)
            fault_point("after-upsert")
            with self._lock:
                for document, units in _by_document(batch):
                    self._journal.mark(document, units)
            fault_point("after-mark")

    def complete(self, document: Document) -> None:
        """Record that every unit of a document is marked."""
        fault_point("before-complete")
        with self._lock, disk_full_explained():
            self._journal.complete(document)

    def _upsert(self, points: list[Point]) -> None:
        for pause in self._options.write_pauses_s:
            try:
                self._store.upsert(points)
            except StoreError as error:
                if is_disk_full(error):
                    raise
                self._clock.add("rewritten")
                self._sleep(pause)
            else:
                return
        self._store.upsert(points)


def _by_document(batch: Sequence[Encoded]) -> list[tuple[Document, list[Unit]]]:
    found: dict[tuple[str, str], tuple[Document, list[Unit]]] = {}
    for encoded in batch:
        document = encoded.document
        found.setdefault((document.sha256, document.source), (document, []))[1].append(encoded.unit)
    return list(found.values())


def check_room(folder: Path, reserve_bytes: int) -> None:
    """Raise EnvironmentProblem when fewer bytes than the reserve are free on the folder's disk."""
    free = shutil.disk_usage(folder).free
    if free < reserve_bytes:
        raise EnvironmentProblem(
            f"the disk of {folder} is nearly full ({free >> 20} MiB are free, {reserve_bytes >> 20} MiB are kept in "
            "reserve); free some space and run the same command again, it goes on where it stopped"
        )


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that nothing more fits on the disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if isinstance(error, OSError | StoreError) and any(words in str(error).lower() for words in _FULL_WORDS):
            return True
        error = error.__cause__
    return False


@contextmanager
def disk_full_explained() -> Iterator[None]:
    """Turn any error that means a full disk into one clear EnvironmentProblem."""
    try:
        yield
    except (OSError, StoreError) as error:
        if not is_disk_full(error):
            raise
        where = f" ({error.filename})" if isinstance(error, OSError) and error.filename else f" ({error})"
        raise EnvironmentProblem(
            f"the disk is full{where}; free some space and run the same command again, it goes on where it stopped"
        ) from error


class Ledger:
    """Knows when every unit of a document is marked. For several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: dict[tuple[str, str], int] = {}
        self._open: dict[tuple[str, str], int] = {}

    def expect(self, document: Document) -> None:
        """One more stream of units of this document will come."""
        self._change(self._streams, document, 1)

    def opened(self, document: Document) -> None:
        """A unit of the document is under way."""
        self._change(self._open, document, 1)

    def ended(self, document: Document) -> bool:
        """One of its streams has ended. True when the document is whole now."""
        return self._change(self._streams, document, -1)

    def marked(self, document: Document) -> bool:
        """A unit of the document is marked. True when the document is whole now."""
        return self._change(self._open, document, -1)

    def _change(self, counts: dict[tuple[str, str], int], document: Document, by: int) -> bool:
        key = (document.sha256, document.source)
        with self._lock:
            counts[key] = counts.get(key, 0) + by
            return by < 0 and not self._streams.get(key) and not self._open.get(key)
