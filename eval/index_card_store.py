"""A scratch store for each way of keeping rows: how much it holds, how fast it answers, what it finds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from eval.index_card_queries import Asked, CardPages
from indexers.encoders.pooling import Grouping, coarse_rows, hierarchical_means
from rag.protocols import Store
from rag.types import Hit, Matrix, Point, Prefetch, Storage, VectorSpec

FULL, COARSE = "full", "coarse"
"""Channels of a scratch store."""
FOUND = 10
"""Hits asked for: as deep as any figure of a card looks."""
_WARM_UP = 5
_BATCH = 32


@dataclass(frozen=True, slots=True)
class Setup:
    """A way of keeping and searching rows.

    `pool` rows become about one (hierarchical token pooling); with `coarse` rows per page as a first stage, means of
    similar or consecutive rows, only the `depth` best pages by those are scored. A `depth` without coarse rows reads
    the codes of all rows first, which int8 and binary keep beside their numbers.
    """

    storage: Storage
    pool: int = 1
    coarse: int = 0
    grouping: Grouping = "similar"
    depth: int = 0

    @property
    def name(self) -> str:
        """The setup in a few words."""
        pooled = "" if self.pool == 1 else f", pool {self.pool}"
        first = f"{self.coarse} {self.grouping} rows" if self.coarse else "its codes"
        staged = f", {first}, depth {self.depth}" if self.depth else ""
        return f"{self.storage}{pooled}{staged}"


@dataclass(frozen=True, slots=True, eq=False)
class Searched:
    """What the queries found in one setup, in their order, and what it cost.

    `disk` is bytes per page of vectors on disk, first stage and codes included, text and payload not. `memory` is bytes
    by which the process grew while the store was open and every query ran, mapped files included; None where that
    cannot be read. `seconds` holds one time per query.
    """

    setup: Setup
    hits: tuple[tuple[Hit, ...], ...]
    seconds: tuple[float, ...]
    disk: float
    memory: int | None

    @property
    def p50_ms(self) -> float:
        """Median milliseconds per query."""
        return float(np.median(self.seconds)) * 1000


@dataclass(slots=True)
class Scratch:
    """Makes scratch stores of some pages in a folder and runs queries in them; pooled rows are made once."""

    pages: CardPages
    asked: Sequence[Asked]
    folder: Path
    _pooled: dict[int, tuple[Matrix, ...]] = field(default_factory=dict)

    def search(self, setups: Sequence[Setup]) -> Iterator[Searched]:
        """Each setup's outcome; neighbours that differ in depth alone share a store."""
        kept: Callable[[Setup], Setup] = lambda setup: replace(setup, depth=0)  # noqa: E731 - a key, used twice
        for key in dict.fromkeys(map(kept, setups)):
            with TemporaryDirectory(dir=self.folder) as place:
                self._fill(Path(place), key)
                disk = vector_bytes(Path(place)) / len(self.pages.rows)
                for setup in setups:
                    if kept(setup) == key:
                        yield self._run(Path(place), setup, disk)

    def _rows(self, pool: int) -> tuple[Matrix, ...]:
        if pool == 1:
            return self.pages.rows
        if pool not in self._pooled:
            self._pooled[pool] = tuple(hierarchical_means(rows, pool) for rows in self.pages.rows)
        return self._pooled[pool]

    def _specs(self, setup: Setup) -> dict[str, VectorSpec]:
        specs = {FULL: VectorSpec(FULL, "multi", self.pages.dim, setup.storage)}
        if setup.coarse:
            specs[COARSE] = VectorSpec(COARSE, "multi", self.pages.dim, graph=True)
        return specs

    def _fill(self, place: Path, setup: Setup) -> None:
        with self._opened(place, setup) as store:
            points = []
            for passage, rows in zip(self.pages.passages, self._rows(setup.pool), strict=True):
                vectors = {FULL: rows}
                if setup.coarse:
                    vectors[COARSE] = coarse_rows(rows, setup.coarse, setup.grouping)
                points.append(Point(replace(passage, text="page", images=(), meta={}, layout=None), vectors))
                if len(points) == _BATCH:
                    store.upsert(points)
                    points = []
            store.upsert(points)
            store.optimize()

    def _run(self, place: Path, setup: Setup, disk: float) -> Searched:
        prefetch = Prefetch(COARSE if setup.coarse else FULL, setup.depth) if setup.depth else None
        before = resident_bytes()
        with self._opened(place, setup) as store:
            for asked in self.asked[:_WARM_UP]:
                store.search("page", FULL, asked.vector, FOUND, asked.item.query.filters, prefetch)
            hits, seconds = [], []
            for asked in self.asked:
                started = time.perf_counter()
                found = store.search("page", FULL, asked.vector, FOUND, asked.item.query.filters, prefetch)
                seconds.append(time.perf_counter() - started)
                hits.append(tuple(found))
            after = resident_bytes()
        grown = None if before is None or after is None else max(0, after - before)
        return Searched(setup, tuple(hits), tuple(seconds), disk, grown)

    @contextmanager
    def _opened(self, place: Path, setup: Setup) -> Iterator[Store]:
        from indexers.stores.edge import EdgeStore

        store = EdgeStore.open(place, {"page": tuple(self._specs(setup).values())})
        try:
            yield store
        finally:
            store.close()


def vector_bytes(folder: Path) -> int:
    """Bytes that the vectors of an embedded store take on disk, with their graphs and codes.

    The engine keeps them in folders named after the channel inside each segment. Files are sparse, so blocks are
    counted, not lengths.
    """
    files = (
        file
        for channel in (FULL, COARSE)
        for part in folder.glob(f"page/segments/*/*-{channel}")
        for file in part.rglob("*")
    )
    return sum(_blocks(file) for file in files if file.is_file())


def _blocks(file: Path) -> int:
    stat = file.stat()
    return getattr(stat, "st_blocks", -(-stat.st_size // 512)) * 512


def resident_bytes(status: Path = Path("/proc/self/status")) -> int | None:
    """Memory that this process holds now, mapped files included; None where the system does not tell."""
    try:
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    fields: Mapping[str, str] = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(fields["VmRSS"].split()[0]) * 1024 if "VmRSS" in fields else None
