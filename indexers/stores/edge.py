"""The embedded store: the Qdrant engine in this process, one shard folder per passage kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import qdrant_edge as engine

from indexers.stores.checks import (
    Specs,
    batches,
    check_uuid,
    is_uuid,
    point_bytes,
    points_by_kind,
)
from indexers.stores.edge_engine import (
    WITHOUT_LAYOUT,
    create_shard,
    engine_errors,
    engine_filter,
    engine_point,
    engine_search,
    index_new_fields,
    shard_config,
    stored_passage,
    stored_vectors,
)
from indexers.stores.folder import Catalogue, check_whole, locked
from indexers.stores.payload import PassageCodec
from indexers.stores.searches import Request, in_order, ranked_hits
from indexers.stores.ties import best
from rag.errors import StoreError
from rag.types import Hit, Kind, Passage, Point, Prefetch, Vector, VectorSpec

PAGE = 4096
DELETE_PAGE = 256
BATCH_BYTES = 8 << 20
MOST_READ = 20_000
"""Passages kept decoded for later searches: some 60 MB of text at a book page each."""
GRAPH_POINTS = 5000
"""Fewer passages than this are scanned: that takes milliseconds, misses nothing, and needs no minutes of building."""
FLUSH_BYTES = 64 << 20
"""After so many bytes the log is worked into the segments, which bounds what a load after a crash repeats."""


class EdgeStore:
    """Points in the shards of one folder; a shard is loaded when its kind is first used.

    A point is durable when `upsert` returns: it stands in the engine's write-ahead log, which outlives the process
    (SIGKILL); a power cut can lose what was not yet flushed, up to FLUSH_BYTES. One process at a time holds a folder.
    Implements `rag.protocols.Store`.
    """

    def __init__(self, folder: Path, specs: Specs, codec: PassageCodec, lock: IO[str]) -> None:
        self._folder, self._specs, self._codec, self._lock = folder, dict(specs), codec, lock
        self._shards: dict[Kind, engine.EdgeShard] = {}
        self._read: dict[str, Passage] = {}
        self._unflushed: dict[Kind, int] = {}
        self._catalogue = Catalogue(folder)
        self._catalogue.check(specs)

    @classmethod
    def open(cls, folder: Path, specs: Specs, root: Path | None = None) -> EdgeStore:
        """Open or make the store of a folder. Images inside `root` (default: the folder) are kept relative to it.

        Raises:
            StoreError: another process has the folder open, or it is damaged.
            IndexMismatch: a kind was stored with other channels.
        """
        lock = locked(folder)
        try:
            return cls(folder, specs, PassageCodec(root or folder), lock)
        except BaseException:
            lock.close()
            raise

    @property
    def specs(self) -> Mapping[Kind, tuple[VectorSpec, ...]]:
        return self._specs

    def upsert(self, points: Sequence[Point]) -> None:
        self._read.clear()
        groups = points_by_kind(points, self._specs)
        for point in points:
            check_uuid(point.passage.id)
        for kind, group in groups.items():
            shard = self._shard(kind) or self._create(kind)
            for batch in batches(group, BATCH_BYTES):
                self._write(kind, shard, batch)

    def search(
        self,
        kind: Kind,
        channel: str,
        vector: Vector,
        k: int,
        filters: Mapping[str, tuple[str, ...]],
        prefetch: Prefetch | None = None,
    ) -> list[Hit]:
        plan = Request(kind, channel, vector, k, filters, prefetch).plan(self._specs)
        shard = self._shard(kind)
        if shard is None or plan is None:
            return []
        with engine_errors(self._folder / kind, "search"):
            found = best(engine_search(shard, plan), k)
            passages = self._passages(shard, [passage_id for _, passage_id in found])
        return ranked_hits(channel, found, passages)

    def _passages(self, shard: engine.EdgeShard, ids: Sequence[str]) -> dict[str, Passage]:
        """Passages without layout. Reading and decoding them takes longer than finding them, so they are kept."""
        unread = [passage_id for passage_id in ids if passage_id not in self._read]
        if len(self._read) + len(unread) > MOST_READ:
            self._read.clear()
            unread = list(ids)
        records = shard.retrieve([*unread], WITHOUT_LAYOUT, False) if unread else []
        self._read |= {str(record.id): stored_passage(record, self._codec) for record in records}
        return {passage_id: self._read[passage_id] for passage_id in ids}

    def get(self, ids: Sequence[str]) -> list[Passage]:
        return in_order(ids, (stored_passage(record, self._codec) for _, record in self._records(ids, vectors=False)))

    def points(self, ids: Sequence[str]) -> list[Point]:
        found = {
            str(record.id): Point(stored_passage(record, self._codec), stored_vectors(record, self._specs[kind]))
            for kind, record in self._records(ids, vectors=True)
        }
        return [found[name] for name in ids if name in found]

    def _records(self, ids: Sequence[str], *, vectors: bool) -> Iterator[tuple[Kind, engine.Record]]:
        """The records with these ids, in no order."""
        missing = {name for name in ids if is_uuid(name)}
        # Kinds already loaded come first: looking up what a search returned then loads no other shard.
        for kind in sorted(self._catalogue.kinds, key=lambda kind: kind not in self._shards):
            shard = self._shard(kind) if missing else None
            if shard is not None:
                with engine_errors(self._folder / kind, "read"):
                    records = shard.retrieve(sorted(missing), True, vectors)
                missing -= {str(record.id) for record in records}
                yield from ((kind, record) for record in records)

    def ids(self, kind: Kind) -> Iterator[str]:
        shard = self._shard(kind)
        offset: engine.PointId | None = None
        while shard is not None:
            with engine_errors(self._folder / kind, "read"):
                records, offset = shard.scroll(
                    engine.ScrollRequest(offset=offset, limit=PAGE, with_payload=False, with_vector=False)
                )
            yield from (str(record.id) for record in records)
            if offset is None:
                return

    def count(self, kind: Kind) -> int:
        shard = self._shard(kind)
        if shard is None:
            return 0
        with engine_errors(self._folder / kind, "count"):
            return int(shard.count(engine.CountRequest(exact=True)))

    def delete(self, kind: Kind, document: str) -> None:
        self._read.clear()
        shard = self._shard(kind)
        condition = engine_filter({"document": (document,)})
        while shard is not None:
            with engine_errors(self._folder / kind, "delete from"):
                records, _ = shard.scroll(
                    engine.ScrollRequest(limit=DELETE_PAGE, filter=condition, with_payload=True, with_vector=False)
                )
                if not records:
                    return
                if any(spec.form == "sparse" for spec in self._specs.get(kind, ())):
                    # The engine forgets a deleted point in its document frequencies only when it compacts. Taking
                    # the vectors away first makes the frequencies right at once; the payload stays so that a stop
                    # between the two steps leaves passages that the next delete finds.
                    blank = [engine.Point(record.id, {}, record.payload) for record in records]
                    shard.update(engine.UpdateOperation.upsert_points(blank))
                shard.update(engine.UpdateOperation.delete_points([record.id for record in records]))
                self._unflushed.setdefault(kind, 0)

    def optimize(self) -> None:
        # A kind that was not used since the store was opened has nothing to compact; loading it would cost seconds.
        for kind in self._shards:
            with engine_errors(self._folder / kind, "optimise"):
                shard = self._configured(kind)
                shard.optimize()
                shard.flush()
            self._unflushed.pop(kind, None)

    def close(self) -> None:
        shards, self._shards = self._shards, {}
        try:
            for kind, shard in shards.items():
                with engine_errors(self._folder / kind, "close"):
                    if kind in self._unflushed:
                        shard.flush()
                    shard.close()
        finally:
            self._lock.close()

    def _configured(self, kind: Kind) -> engine.EdgeShard:
        """The shard, set to build graphs if it is large enough to gain by them and not to if it is not."""
        shard, specs = self._shards[kind], self._specs[kind]
        if any(spec.graph for spec in specs):
            graph = int(shard.count(engine.CountRequest(exact=True))) >= GRAPH_POINTS
            shard.flush()
            shard.close()
            self._shards[kind] = engine.EdgeShard.load(str(self._folder / kind), shard_config(specs, graph=graph))
        return self._shards[kind]

    def _write(self, kind: Kind, shard: engine.EdgeShard, batch: list[Point]) -> None:
        forms = {spec.name: spec.form for spec in self._specs[kind]}
        with engine_errors(self._folder / kind, "write to"):
            points = [engine_point(point, forms, self._codec) for point in batch]
            index_new_fields(shard, points)
            shard.update(engine.UpdateOperation.upsert_points(points))
            self._unflushed[kind] = self._unflushed.get(kind, 0) + sum(map(point_bytes, batch))
            if self._unflushed[kind] > FLUSH_BYTES:
                shard.flush()
                self._unflushed[kind] = 0

    def _shard(self, kind: Kind) -> engine.EdgeShard | None:
        """The shard of a kind, loaded on first use; None when nothing of it was ever written."""
        if self._lock.closed:
            raise StoreError(f"the store in {self._folder} has been closed; open it again")
        if kind not in self._shards and kind in self._catalogue.kinds:
            folder = self._folder / kind
            check_whole(folder)
            with engine_errors(folder, "open"):
                self._shards[kind] = engine.EdgeShard.load(str(folder))
        return self._shards.get(kind)

    def _create(self, kind: Kind) -> engine.EdgeShard:
        folder = self._folder / kind
        with engine_errors(folder, "create"), self._catalogue.adding(kind, self._specs[kind]):
            self._shards[kind] = create_shard(folder, self._specs[kind])
        return self._shards[kind]
