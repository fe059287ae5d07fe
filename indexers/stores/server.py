"""The store on a Qdrant server or cluster, through qdrant-client: one collection per passage kind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException

from indexers.stores.checks import Specs, batches, check_uuid, is_uuid, points_by_kind
from indexers.stores.payload import LAYOUT_FIELD, PassageCodec
from indexers.stores.searches import Plan, Request, in_order, ranked_hits
from indexers.stores.server_engine import (
    array_params,
    client_filter,
    client_vector,
    described,
    earlier_stages,
    point_struct,
    stored_vectors,
)
from indexers.stores.ties import Scored, best
from rag.errors import IndexMismatch, StoreError
from rag.filters import FILTER_FIELDS
from rag.types import Hit, Kind, Passage, Point, Prefetch, Vector, VectorSpec

TIMEOUT_SECONDS = 60
PAGE = 1000
BATCH_BYTES = 4 << 20
"""Some twelve pages of 700 x 128 numbers; as JSON text about 22 MB, and a server refuses more than 32 MB a request."""
_DROPPED = (ApiException, httpx.HTTPError, OSError)
_WITHOUT_LAYOUT = models.PayloadSelectorExclude(exclude=[LAYOUT_FIELD])


@dataclass(frozen=True, slots=True)
class Cluster:
    """How new collections are spread: `shards` parts each, and `replicas` copies of every part on different nodes.

    Shards as a multiple of the nodes share the work evenly. A collection that exists keeps what it was made with.
    """

    shards: int = 1
    replicas: int = 1


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a write is tried when the connection drops, and the seconds before the second try; they double."""

    tries: int = 5
    seconds: float = 0.5


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a store uses its server."""

    cluster: Cluster = Cluster()
    retry: Retry = Retry()


_DEFAULT = ServerOptions()
_REFUSED = frozenset(range(400, 500)) - {408, 429}
"""HTTP answers that another try would get again; a timeout and "too many requests" are not among them."""


class ServerStore:
    """Points in the collections `{prefix}-{kind}`, made when missing. Implements `rag.protocols.Store`.

    Every write waits until the server has applied it; one whose connection drops is tried again, which changes
    nothing that was already written. Searches are exact, as in the embedded store; a first stage may be approximate.
    Works on a client in local mode too (a folder or ":memory:"), which serves for tests.
    """

    def __init__(
        self,
        client: QdrantClient,
        prefix: str,
        specs: Specs,
        root: Path,
        where: str = "the Qdrant server",
        options: ServerOptions = _DEFAULT,
    ) -> None:
        self._client, self._prefix, self._specs, self._where = client, prefix, dict(specs), where
        self._options = options
        self._codec = PassageCodec(root)
        with self._server("open"):
            for kind, group in self._specs.items():
                self._prepare(self._name(kind), group)

    @classmethod
    def connect(
        cls,
        url: str,
        api_key: str | None,
        prefix: str,
        specs: Specs,
        root: Path,
        options: ServerOptions = _DEFAULT,
    ) -> ServerStore:
        """Open the collections on the server at `url`. Images inside `root` are kept relative to it.

        Raises:
            StoreError: the server does not answer or refuses the key.
            IndexMismatch: a collection of this name has other channels.
        """
        try:
            client = QdrantClient(url=url, api_key=api_key, timeout=TIMEOUT_SECONDS, check_compatibility=False)
        except ValueError as error:
            raise StoreError(f"{url} is no address of a Qdrant server: {error}; write http://HOST:6333") from error
        try:
            return cls(client, prefix, specs, root, url, options)
        except BaseException:
            client.close()
            raise

    @property
    def specs(self) -> Mapping[Kind, tuple[VectorSpec, ...]]:
        return self._specs

    def upsert(self, points: Sequence[Point]) -> None:
        groups = points_by_kind(points, self._specs)
        for point in points:
            check_uuid(point.passage.id)
        for kind, group in groups.items():
            forms = {spec.name: spec.form for spec in self._specs[kind]}
            for batch in batches(group, BATCH_BYTES):
                structs = [point_struct(point, forms, self._codec) for point in batch]
                with self._server("write to"):
                    self._again(partial(self._client.upsert, self._name(kind), structs, wait=True))

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
        if plan is None:
            return []
        with self._server("search"):
            found = best(partial(self._nearest, plan), k)
            records = self._client.retrieve(
                self._name(kind), [passage_id for _, passage_id in found], with_payload=_WITHOUT_LAYOUT
            )
        return ranked_hits(channel, found, {str(record.id): self._passage(record) for record in records})

    def get(self, ids: Sequence[str]) -> list[Passage]:
        return in_order(ids, (self._passage(record) for _, record in self._records(ids, vectors=False)))

    def points(self, ids: Sequence[str]) -> list[Point]:
        found = {
            str(record.id): Point(self._passage(record), stored_vectors(record, self._specs[kind]))
            for kind, record in self._records(ids, vectors=True)
        }
        return [found[name] for name in ids if name in found]

    def _records(self, ids: Sequence[str], *, vectors: bool) -> Iterator[tuple[Kind, models.Record]]:
        """The records with these ids, in no order."""
        missing = {name for name in ids if is_uuid(name)}
        for kind in self._specs if missing else ():
            with self._server("read"):
                records = self._client.retrieve(
                    self._name(kind), sorted(missing), with_payload=True, with_vectors=vectors
                )
            yield from ((kind, record) for record in records)

    def _passage(self, record: models.Record) -> Passage:
        return self._codec.decode(str(record.id), record.payload or {})

    def ids(self, kind: Kind) -> Iterator[str]:
        offset: Any = None
        while kind in self._specs:
            with self._server("read"):
                records, offset = self._client.scroll(
                    self._name(kind), limit=PAGE, offset=offset, with_payload=False, with_vectors=False
                )
            yield from (str(record.id) for record in records)
            if offset is None:
                return

    def count(self, kind: Kind) -> int:
        if kind not in self._specs:
            return 0
        with self._server("count"):
            return self._client.count(self._name(kind), exact=True).count

    def delete(self, kind: Kind, document: str) -> None:
        condition = client_filter({"document": (document,)})
        while kind in self._specs:
            with self._server("delete from"):
                records, _ = self._client.scroll(
                    self._name(kind), scroll_filter=condition, limit=PAGE, with_payload=True, with_vectors=False
                )
                if not records:
                    return
                # A server keeps deleted points in its document frequencies until it compacts; points without
                # vectors are not counted. The payload stays, so that a stop in between leaves what a repeat finds.
                blank = [models.PointStruct(id=record.id, vector={}, payload=record.payload) for record in records]
                self._client.upsert(self._name(kind), blank, wait=True)
                self._client.delete(self._name(kind), [record.id for record in records], wait=True)

    def optimize(self) -> None:
        """Nothing to do: a server compacts by itself."""

    def close(self) -> None:
        with self._server("close"):
            self._client.close()

    def _name(self, kind: Kind) -> str:
        return f"{self._prefix}-{kind}"

    def _nearest(self, plan: Plan, limit: int) -> list[Scored]:
        condition = client_filter(plan.filters)
        response = self._client.query_points(
            self._name(plan.kind),
            prefetch=earlier_stages(plan, condition),
            query=client_vector(plan.query, plan.spec.form),
            using=plan.spec.name,
            limit=limit,
            query_filter=condition,
            search_params=models.SearchParams(exact=True),
            with_payload=False,
        )
        return [(point.score, str(point.id)) for point in response.points]

    def _prepare(self, name: str, specs: Sequence[VectorSpec]) -> None:
        """Make the collection with an index per filter field, or check that it has these channels."""
        arrays = {spec.name: array_params(spec) for spec in specs if spec.form != "sparse"}
        sparse = {
            spec.name: models.SparseVectorParams(modifier=models.Modifier.IDF)
            for spec in specs
            if spec.form == "sparse"
        }
        if not self._client.collection_exists(name):
            cluster = self._options.cluster
            self._client.create_collection(
                name,
                vectors_config=arrays,
                sparse_vectors_config=sparse,
                shard_number=cluster.shards,
                replication_factor=cluster.replicas,
            )
            for field in FILTER_FIELDS:
                self._client.create_payload_index(name, field, models.PayloadSchemaType.KEYWORD)
            return
        stored, wanted = self._client.get_collection(name).config.params, described(arrays, sparse)
        found = described(stored.vectors, stored.sparse_vectors or {})
        if found != wanted:
            raise IndexMismatch(f"channels of collection {name}", stored=found, wanted=wanted)

    def _again(self, write: Callable[[], object]) -> None:
        """Write, and once more after a pause when the connection drops: the same points again change nothing."""
        retry = self._options.retry
        for attempt in range(retry.tries):
            try:
                write()
            except _DROPPED as error:
                if attempt + 1 == retry.tries or getattr(error, "status_code", None) in _REFUSED:
                    raise
                time.sleep(retry.seconds * 2**attempt)
            else:
                return

    @contextmanager
    def _server(self, action: str) -> Iterator[None]:
        """Turn what the client raises into a StoreError that names the server."""
        try:
            yield
        except (ApiException, httpx.HTTPError, OSError, ValueError, RuntimeError) as error:
            raise StoreError(
                f"cannot {action} the collections {self._prefix}-* at {self._where}: {str(error)[:300]}; "
                f"check that the server runs there and accepts the API key"
            ) from error
