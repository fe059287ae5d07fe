"""Our nouns in the words of qdrant-client, for a server or a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from qdrant_client import models

from indexers.stores.checks import is_uuid
from indexers.stores.payload import PassageCodec
from indexers.stores.searches import Plan
from rag.types import Point, SparseVector, Storage, Vector, VectorForm, VectorSpec

GRAPH_EDGES, GRAPH_EF = 16, 128
"""Edges per node of a graph, and candidates kept while it is built and, at the least, while it is searched."""
_MULTI = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
_INT8 = models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8))
_BINARY = models.BinaryQuantization(binary=models.BinaryQuantizationConfig())
_STORED: Mapping[Storage, tuple[models.Datatype, models.QuantizationConfig | None]] = {
    "f32": (models.Datatype.FLOAT32, None),
    "f16": (models.Datatype.FLOAT16, None),
    "turbo8": (models.Datatype.TURBO8, None),
    "turbo4": (models.Datatype.TURBO4, None),
    "int8": (models.Datatype.FLOAT16, _INT8),
    "binary": (models.Datatype.TURBO8, _BINARY),
}
"""As in the embedded store: see decision 0008."""


def array_params(spec: VectorSpec) -> models.VectorParams:
    """The parameters of a channel of arrays. Without `graph` it gets none (m = 0)."""
    datatype, codes = _STORED[spec.storage]
    return models.VectorParams(
        size=spec.dim,
        distance=models.Distance.DOT,
        datatype=datatype,
        quantization_config=codes,
        multivector_config=_MULTI if spec.form == "multi" else None,
        hnsw_config=models.HnswConfigDiff(m=GRAPH_EDGES if spec.graph else 0, ef_construct=GRAPH_EF),
    )


def described(arrays: object, sparse: Mapping[str, object]) -> dict[str, str]:
    """The channels of a collection in words that can be compared. Graphs may differ: they change no stored vector."""
    words = {}
    for name, item in (arrays if isinstance(arrays, dict) else {}).items():
        form = "multi" if item.multivector_config else "dense"
        codes = "".join(f" with {kind} codes" for kind in _code_kinds(item.quantization_config))
        words[name] = f"{form} {item.size} {models.Datatype(item.datatype or 'float32').value}{codes}"
    return dict(sorted({**words, **dict.fromkeys(sparse, "sparse")}.items()))


def _code_kinds(codes: models.QuantizationConfig | None) -> list[str]:
    return [] if codes is None else sorted(codes.model_dump(exclude_none=True))


def point_struct(point: Point, forms: Mapping[str, VectorForm], codec: PassageCodec) -> models.PointStruct:
    """A point as the client takes it, given the form of each channel."""
    vectors = {channel: client_vector(vector, forms[channel]) for channel, vector in point.vectors.items()}
    return models.PointStruct(id=point.passage.id, vector=vectors, payload=codec.encode(point.passage))


def client_vector(vector: Vector, form: VectorForm) -> Any:  # noqa: ANN401 - the client's own union is wider than needed
    """A vector as the client takes it."""
    if isinstance(vector, SparseVector):
        return models.SparseVector(indices=list(vector.indices), values=list(vector.values))
    return vector[0].tolist() if form == "dense" else vector.tolist()


def earlier_stages(plan: Plan, condition: models.Filter | None) -> models.Prefetch | None:
    """The stages before the last, which may be approximate: they read a channel's graph and codes where it has them."""
    stage: models.Prefetch | None = None
    for coarse, depth in plan.stages:
        stage = models.Prefetch(
            query=client_vector(plan.query, coarse.form),
            using=coarse.name,
            limit=depth,
            prefetch=stage,
            filter=condition,
            params=models.SearchParams(hnsw_ef=max(depth, GRAPH_EF), exact=False),
        )
    return stage


def stored_vectors(record: models.Record, specs: Sequence[VectorSpec]) -> dict[str, Vector]:
    """The vectors of a record by channel; those it has."""
    stored: Any = record.vector or {}
    return {spec.name: _array(stored[spec.name], spec.form) for spec in specs if spec.name in stored}


def _array(vector: Any, form: VectorForm) -> Vector:  # noqa: ANN401 - the client's own union is wider than needed
    if form == "sparse":
        return SparseVector(tuple(vector.indices), tuple(vector.values))
    return np.asarray(vector, np.float32).reshape(-1, np.shape(vector)[-1])


def client_filter(filters: Mapping[str, tuple[str, ...]]) -> models.Filter | None:
    """A condition per field: one of the accepted values. The field "id" accepts passages by id."""
    if not filters:
        return None
    conditions: list[models.Condition] = [
        models.HasIdCondition(has_id=[value for value in values if is_uuid(value)])
        if field == "id"
        else models.FieldCondition(key=field, match=models.MatchAny(any=list(values)))
        for field, values in filters.items()
    ]
    return models.Filter(must=conditions)
