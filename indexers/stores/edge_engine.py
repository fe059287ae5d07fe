"""Our nouns in the words of the embedded engine (qdrant-edge-py), and its errors in ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import qdrant_edge as engine

from indexers.stores.checks import is_uuid
from indexers.stores.folder import in_use
from indexers.stores.payload import LAYOUT_FIELD, PassageCodec
from indexers.stores.ties import Scored
from rag.errors import StoreError
from rag.filters import FILTER_FIELDS
from rag.types import Passage, Point, SparseVector, Vector, VectorForm, VectorSpec

NEVER_KB = 1_000_000_000
"""A segment size in kilobytes that no library reaches: 1 TB."""
WITHOUT_LAYOUT = engine.PayloadSelector.Exclude([LAYOUT_FIELD])
_DATATYPES = {"f32": engine.VectorStorageDatatype.Float32, "f16": engine.VectorStorageDatatype.Float16}


@contextmanager
def engine_errors(folder: Path, action: str) -> Iterator[None]:
    """Turn whatever the engine raises into a StoreError that names the folder and the remedy."""
    try:
        yield
    except Exception as error:  # the engine raises plain Exception for everything
        raise StoreError(_message(folder, action, str(error))) from error
    except BaseException as error:
        # A panic of the engine's Rust code is a BaseException of a type that cannot be imported.
        if type(error).__name__ != "PanicException":
            raise
        raise StoreError(_message(folder, action, str(error))) from error


def _message(folder: Path, action: str, detail: str) -> str:
    if "WouldBlock" in detail:
        return in_use(folder)
    return (
        f"cannot {action} the store in {folder}: {detail[:300]}; "
        f"if the folder is damaged, rebuild the library with `vesalius index build --fresh`"
    )


def shard_config(specs: Sequence[VectorSpec]) -> engine.EdgeConfig:
    """The engine's configuration for the channels of one kind.

    No vector graph (HNSW) is ever built: exact search over some hundred thousand vectors takes milliseconds, and a
    graph would make results approximate. Optimising merges everything into one segment and drops deleted points.
    """
    return engine.EdgeConfig(
        vectors={spec.name: _array_params(spec) for spec in specs if spec.form != "sparse"},
        sparse_vectors={
            spec.name: engine.EdgeSparseVectorParams(modifier=engine.Modifier.Idf)
            for spec in specs
            if spec.form == "sparse"
        },
        optimizers=engine.EdgeOptimizersConfig(
            deleted_threshold=1e-6,
            vacuum_min_vector_number=1,
            default_segment_number=1,
            max_segment_size=NEVER_KB,
            indexing_threshold=NEVER_KB,
        ),
    )


def _array_params(spec: VectorSpec) -> engine.EdgeVectorParams:
    multi = engine.MultiVectorConfig(engine.MultiVectorComparator.MaxSim) if spec.form == "multi" else None
    return engine.EdgeVectorParams(
        size=spec.dim, distance=engine.Distance.Dot, datatype=_DATATYPES[spec.storage], multivector_config=multi
    )


def create_shard(folder: Path, specs: Sequence[VectorSpec]) -> engine.EdgeShard:
    """A new empty shard."""
    folder.mkdir(parents=True)
    return engine.EdgeShard.create(str(folder), shard_config(specs))


def index_new_fields(shard: engine.EdgeShard, points: Sequence[engine.Point]) -> None:
    """Index every filter field of these points that has no index yet: a kind uses only some of them."""
    keys = {key for point in points for key in point.payload or ()}
    for key in sorted(keys & set(FILTER_FIELDS) - shard.info().payload_schema.keys()):
        shard.update(engine.UpdateOperation.create_field_index(key, engine.PayloadSchemaType.Keyword))


def engine_point(point: Point, forms: Mapping[str, VectorForm], codec: PassageCodec) -> engine.Point:
    """A point as the engine takes it, given the form of each channel."""
    vectors = {channel: engine_vector(vector, forms[channel]) for channel, vector in point.vectors.items()}
    return engine.Point(point.passage.id, vectors, codec.encode(point.passage))


def stored_passage(record: engine.Record, codec: PassageCodec) -> Passage:
    """The passage of a point as the engine returned it."""
    return codec.decode(str(record.id), record.payload or {})


def engine_vector(vector: Vector, form: VectorForm) -> engine.SparseVector | list[float] | list[list[float]]:
    """A vector as the engine takes it; lists, because it reads them faster than arrays."""
    if isinstance(vector, SparseVector):
        return engine.SparseVector(list(vector.indices), list(vector.values))
    rows: list[list[float]] = vector.tolist()
    return rows[0] if form == "dense" else rows


def engine_filter(filters: Mapping[str, tuple[str, ...]]) -> engine.Filter | None:
    """A condition per field: one of the accepted values. The field "id" accepts passages by id."""
    if not filters:
        return None
    conditions: list[engine.ConditionType] = [
        engine.HasIdCondition({value for value in values if is_uuid(value)})
        if field == "id"
        else engine.FieldCondition(key=field, match=engine.MatchAny(list(values)))
        for field, values in filters.items()
    ]
    return engine.Filter(must=conditions)


def nearest(shard: engine.EdgeShard, query: engine.Query, condition: engine.Filter | None, limit: int) -> list[Scored]:
    """Scores and ids of the points with the best exact scores, best first."""
    request = engine.QueryRequest(
        limit=limit,
        query=query,
        filter=condition,
        with_payload=False,
        params=engine.SearchParams(exact=True),
    )
    return [(point.score, str(point.id)) for point in shard.query(request)]
