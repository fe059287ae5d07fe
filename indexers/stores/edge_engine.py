"""Our nouns in the words of the embedded engine (qdrant-edge-py), and its errors in ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as engine

from indexers.stores.checks import is_uuid
from indexers.stores.folder import in_use
from indexers.stores.payload import LAYOUT_FIELD, PassageCodec
from indexers.stores.searches import Plan
from indexers.stores.ties import Scored
from rag.errors import StoreError
from rag.filters import FILTER_FIELDS
from rag.types import Passage, Point, SparseVector, Storage, Vector, VectorForm, VectorSpec

NEVER_KB = 1_000_000_000
"""A segment size in kilobytes that no library reaches: 1 TB."""
WITHOUT_LAYOUT = engine.PayloadSelector.Exclude([LAYOUT_FIELD])
GRAPH_EDGES, GRAPH_EF = 16, 128
"""Edges per node of a graph, and candidates kept while it is built and, at the least, while it is searched."""
_STORED: Mapping[Storage, tuple[engine.VectorStorageDatatype, engine.QuantizationConfigType | None]] = {
    "f32": (engine.VectorStorageDatatype.Float32, None),
    "f16": (engine.VectorStorageDatatype.Float16, None),
    "turbo8": (engine.VectorStorageDatatype.Turbo8, None),
    "turbo4": (engine.VectorStorageDatatype.Turbo4, None),  # type: ignore[attr-defined] # missing in the stub alone
    "int8": (engine.VectorStorageDatatype.Float16, engine.ScalarQuantizationConfig(engine.ScalarType.Int8)),
    "binary": (engine.VectorStorageDatatype.Turbo8, engine.BinaryQuantizationConfig()),
}
"""The numbers kept of each storage type, and the codes beside them that a first stage reads: see decision 0008."""


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


def shard_config(specs: Sequence[VectorSpec], *, graph: bool = False) -> engine.EdgeConfig:
    """The engine's configuration for the channels of one kind; with `graph`, optimising builds the graphs they ask for.

    Optimising merges everything into one segment and drops deleted points. Without a graph and without int8 codes it
    builds nothing else: exact search over some hundred thousand single vectors takes milliseconds.
    """
    builds = any(spec.storage == "int8" or (graph and spec.graph) for spec in specs)
    return engine.EdgeConfig(
        vectors={spec.name: _array_params(spec, graph=graph) for spec in specs if spec.form != "sparse"},
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
            indexing_threshold=1 if builds else NEVER_KB,
        ),
    )


def _array_params(spec: VectorSpec, *, graph: bool) -> engine.EdgeVectorParams:
    datatype, codes = _STORED[spec.storage]
    return engine.EdgeVectorParams(
        size=spec.dim,
        distance=engine.Distance.Dot,
        datatype=datatype,
        multivector_config=engine.MultiVectorConfig(engine.MultiVectorComparator.MaxSim)
        if spec.form == "multi"
        else None,
        quantization_config=codes,
        # m = 0: no graph. The threshold below which the engine scans instead of walking the graph is left to us.
        hnsw_config=engine.HnswIndexConfig(GRAPH_EDGES if graph and spec.graph else 0, GRAPH_EF, full_scan_threshold=1),
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


def stored_vectors(record: engine.Record, specs: Sequence[VectorSpec]) -> dict[str, Vector]:
    """The vectors of a point as the engine returned it, by channel; those it has."""
    stored: Any = record.vector or {}
    return {spec.name: _array(stored[spec.name], spec.form) for spec in specs if spec.name in stored}


def _array(vector: Any, form: VectorForm) -> Vector:  # noqa: ANN401 - a union of the engine's types
    if form == "sparse":
        return SparseVector(tuple(vector.indices), tuple(vector.values))
    return np.asarray(vector, np.float32).reshape(-1, np.shape(vector)[-1])


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


def engine_search(shard: engine.EdgeShard, plan: Plan) -> Callable[[int], list[Scored]]:
    """What finds so many points with the best exact scores, best first, with their ids.

    A first stage may be approximate: it reads the channel's graph and its codes where it has them.
    """
    condition = engine_filter(plan.filters)
    stages: list[engine.Prefetch] = []
    for coarse, depth in plan.stages:
        stages = [_stage(plan, (coarse, depth), condition, stages)]

    def nearest(limit: int) -> list[Scored]:
        request = engine.QueryRequest(
            limit=limit,
            query=_query(plan.query, plan.spec),
            prefetches=stages,
            filter=condition,
            with_payload=False,
            params=engine.SearchParams(exact=True),
        )
        return [(point.score, str(point.id)) for point in shard.query(request)]

    return nearest


def _stage(
    plan: Plan, stage: tuple[VectorSpec, int], condition: engine.Filter | None, before: list[engine.Prefetch]
) -> engine.Prefetch:
    coarse, depth = stage
    params = engine.SearchParams(hnsw_ef=max(depth, GRAPH_EF), exact=False)
    query = _query(plan.query, coarse)
    return engine.Prefetch(limit=depth, query=query, prefetches=before, params=params, filter=condition)


def _query(vector: Vector, spec: VectorSpec) -> engine.Query:
    return engine.Query.Nearest(engine_vector(vector, spec.form), using=spec.name)
