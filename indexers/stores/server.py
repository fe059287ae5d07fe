"""The store on a Qdrant server or cluster, through qdrant-client: one collection per passage kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException

from indexers.stores.checks import Specs, batches, channel_spec, check_uuid, checked_query, is_uuid, points_by_kind
from indexers.stores.payload import LAYOUT_FIELD, PassageCodec, checked_filters
from indexers.stores.ties import Scored, best
from rag.errors import IndexMismatch, StoreError
from rag.filters import FILTER_FIELDS
from rag.types import ChannelScore, Hit, Kind, Passage, Point, SparseVector, Vector, VectorForm, VectorSpec

TIMEOUT_SECONDS = 60
PAGE = 1000
BATCH_BYTES = 4 << 20
"""As JSON text about 22 MB; a server refuses requests of more than 32 MB unless told otherwise."""
_DATATYPES = {"f32": models.Datatype.FLOAT32, "f16": models.Datatype.FLOAT16}
_WITHOUT_LAYOUT = models.PayloadSelectorExclude(exclude=[LAYOUT_FIELD])


class ServerStore:
    """Points in the collections `{prefix}-{kind}`, made when missing. Implements `rag.protocols.Store`.

    Every write waits until the server has applied it. Searches are exact, as in the embedded store.
    Works on a client in local mode too (a folder or ":memory:"), which serves for tests.
    """

    def __init__(
        self, client: QdrantClient, prefix: str, specs: Specs, root: Path, where: str = "the Qdrant server"
    ) -> None:
        self._client, self._prefix, self._specs, self._where = client, prefix, dict(specs), where
        self._codec = PassageCodec(root)
        with self._server("open"):
            for kind, group in self._specs.items():
                self._prepare(self._name(kind), group)

    @classmethod
    def connect(cls, url: str, api_key: str | None, prefix: str, specs: Specs, root: Path) -> ServerStore:
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
            return cls(client, prefix, specs, root, url)
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
                structs = [_point(point, forms, self._codec) for point in batch]
                with self._server("write to"):
                    self._client.upsert(self._name(kind), structs, wait=True)

    def search(
        self, kind: Kind, channel: str, vector: Vector, k: int, filters: Mapping[str, tuple[str, ...]]
    ) -> list[Hit]:
        spec = channel_spec(self._specs, kind, channel)
        query = checked_query(spec, vector)
        accepted = checked_filters(filters)
        if k <= 0 or accepted is None or (isinstance(query, SparseVector) and not query.indices):
            return []
        with self._server("search"):
            found = best(partial(self._nearest, kind, spec, query, _filter(accepted)), k)
            records = self._client.retrieve(
                self._name(kind), [passage_id for _, passage_id in found], with_payload=_WITHOUT_LAYOUT
            )
        passages = {str(record.id): self._codec.decode(str(record.id), record.payload or {}) for record in records}
        return [
            Hit(passages[passage_id], score, {channel: ChannelScore(rank, score)})
            for rank, (score, passage_id) in enumerate(found, start=1)
        ]

    def get(self, ids: Sequence[str]) -> list[Passage]:
        missing, found = {name for name in ids if is_uuid(name)}, dict[str, Passage]()
        for kind in self._specs:
            if missing:
                with self._server("read"):
                    records = self._client.retrieve(self._name(kind), sorted(missing), with_payload=True)
                found |= {str(item.id): self._codec.decode(str(item.id), item.payload or {}) for item in records}
                missing -= found.keys()
        return [found[name] for name in ids if name in found]

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
        condition = _filter({"document": (document,)})
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

    def _nearest(
        self, kind: Kind, spec: VectorSpec, query: Vector, condition: models.Filter | None, limit: int
    ) -> list[Scored]:
        response = self._client.query_points(
            self._name(kind),
            query=_vector(query, spec.form),
            using=spec.name,
            limit=limit,
            query_filter=condition,
            search_params=models.SearchParams(exact=True),
            with_payload=False,
        )
        return [(point.score, str(point.id)) for point in response.points]

    def _prepare(self, name: str, specs: Sequence[VectorSpec]) -> None:
        """Make the collection with an index per filter field, or check that it has these channels."""
        arrays = {spec.name: _array_params(spec) for spec in specs if spec.form != "sparse"}
        sparse = {
            spec.name: models.SparseVectorParams(modifier=models.Modifier.IDF)
            for spec in specs
            if spec.form == "sparse"
        }
        if not self._client.collection_exists(name):
            self._client.create_collection(name, vectors_config=arrays, sparse_vectors_config=sparse)
            for field in FILTER_FIELDS:
                self._client.create_payload_index(name, field, models.PayloadSchemaType.KEYWORD)
            return
        stored, wanted = self._client.get_collection(name).config.params, _described(arrays, sparse)
        found = _described(stored.vectors, stored.sparse_vectors or {})
        if found != wanted:
            raise IndexMismatch(f"channels of collection {name}", stored=found, wanted=wanted)

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


def _array_params(spec: VectorSpec) -> models.VectorParams:
    """Multivectors get no graph (m = 0): it would index each of their rows."""
    multi = spec.form == "multi"
    return models.VectorParams(
        size=spec.dim,
        distance=models.Distance.DOT,
        datatype=_DATATYPES[spec.storage],
        multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM) if multi else None,
        hnsw_config=models.HnswConfigDiff(m=0) if multi else None,
    )


def _described(arrays: object, sparse: Mapping[str, object]) -> dict[str, str]:
    """The channels of a collection in words that can be compared."""
    described = {}
    for name, item in (arrays if isinstance(arrays, dict) else {}).items():
        form = "multi" if item.multivector_config else "dense"
        described[name] = f"{form} {item.size} {models.Datatype(item.datatype or 'float32').value}"
    return dict(sorted({**described, **dict.fromkeys(sparse, "sparse")}.items()))


def _point(point: Point, forms: Mapping[str, VectorForm], codec: PassageCodec) -> models.PointStruct:
    vectors = {channel: _vector(vector, forms[channel]) for channel, vector in point.vectors.items()}
    return models.PointStruct(id=point.passage.id, vector=vectors, payload=codec.encode(point.passage))


def _vector(vector: Vector, form: VectorForm) -> Any:  # noqa: ANN401 - the client's own union is wider than needed
    if isinstance(vector, SparseVector):
        return models.SparseVector(indices=list(vector.indices), values=list(vector.values))
    return vector[0].tolist() if form == "dense" else vector.tolist()


def _filter(filters: Mapping[str, tuple[str, ...]]) -> models.Filter | None:
    if not filters:
        return None
    conditions: list[models.Condition] = [
        models.HasIdCondition(has_id=[value for value in values if is_uuid(value)])
        if field == "id"
        else models.FieldCondition(key=field, match=models.MatchAny(any=list(values)))
        for field, values in filters.items()
    ]
    return models.Filter(must=conditions)
