"""What every store checks before it writes or searches, so that an engine never sees bad numbers."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from rag.errors import QueryError, StoreError
from rag.types import Kind, Point, SparseVector, Vector, VectorSpec

MULTI_LIMIT = 1_048_576
"""Most numbers in one multivector: the limit of the Qdrant engine."""
TERM_LIMIT = 2**32
BATCH_POINTS = 1000

Specs = Mapping[Kind, tuple[VectorSpec, ...]]


def channel_spec(specs: Specs, kind: Kind, channel: str) -> VectorSpec:
    """The spec of a channel. Raises QueryError when the kind or the channel is not one of the store's."""
    if kind not in specs:
        raise QueryError(f"this library holds no passages of kind {kind!r}; it holds: {', '.join(specs) or 'none'}")
    for spec in specs[kind]:
        if spec.name == channel:
            return spec
    known = ", ".join(spec.name for spec in specs[kind])
    raise QueryError(f"kind {kind!r} has no channel {channel!r}; its channels are: {known or 'none'}")


def checked_query(spec: VectorSpec, vector: Vector) -> Vector:
    """The query vector, ready to be scored. Raises QueryError when it does not fit the channel."""
    fault = _fault(spec, vector)
    if fault:
        raise QueryError(f"the query vector does not fit channel {spec.name!r}: {fault}")
    return vector


def points_by_kind(points: Sequence[Point], specs: Specs) -> dict[Kind, list[Point]]:
    """The points of each kind, checked, with the last one of those that share an id.

    A sparse vector without terms is left out: it can never be found. Nothing is written when this raises.

    Raises:
        StoreError: a kind, channel, shape or number that cannot be stored; it names the passage.
    """
    named = {kind: {spec.name: spec for spec in group} for kind, group in specs.items()}
    groups: dict[Kind, dict[str, Point]] = {}
    for point in points:
        kind = point.passage.kind
        if kind not in named:
            raise StoreError(f"passage {point.passage.id} is of kind {kind!r}, which this store does not hold")
        groups.setdefault(kind, {})[point.passage.id] = _checked_point(point, named[kind])
    return {kind: list(group.values()) for kind, group in groups.items()}


def is_uuid(passage_id: str) -> bool:
    """Whether the id is a UUID in its usual form, the only text that Qdrant takes as an id."""
    try:
        return str(uuid.UUID(passage_id)) == passage_id
    except ValueError:
        return False


def check_uuid(passage_id: str) -> None:
    """Raises StoreError unless the id is a UUID."""
    if not is_uuid(passage_id):
        raise StoreError(f"passage id {passage_id!r} is not a UUID; make ids with rag.fingerprint.passage_id")


def batches(points: Sequence[Point], most_bytes: int) -> Iterator[list[Point]]:
    """The points in order, in batches of at most so many bytes (a larger point stands alone) and BATCH_POINTS."""
    batch: list[Point] = []
    size = 0
    for point in points:
        more = point_bytes(point)
        if batch and (size + more > most_bytes or len(batch) == BATCH_POINTS):
            yield batch
            batch, size = [], 0
        batch.append(point)
        size += more
    if batch:
        yield batch


def point_bytes(point: Point) -> int:
    """About how many bytes a point takes in a request."""
    passage = point.passage
    layout = 0 if passage.layout is None else len(passage.layout.packed)
    vectors = sum(
        8 * len(vector.indices) if isinstance(vector, SparseVector) else 4 * vector.size
        for vector in point.vectors.values()
    )
    return 2 * len(passage.text) + 2 * layout + vectors + 500


def _checked_point(point: Point, specs: Mapping[str, VectorSpec]) -> Point:
    kept: dict[str, Vector] = {}
    for channel, vector in point.vectors.items():
        if channel not in specs:
            raise StoreError(
                f"passage {point.passage.id} has a vector for channel {channel!r}; "
                f"kind {point.passage.kind!r} has: {', '.join(specs) or 'none'}"
            )
        if isinstance(vector, SparseVector) and not vector.indices and not vector.values:
            continue
        fault = _fault(specs[channel], vector)
        if fault:
            raise StoreError(f"passage {point.passage.id}, channel {channel!r}: {fault}")
        kept[channel] = vector
    return Point(point.passage, kept)


def _fault(spec: VectorSpec, vector: Vector) -> str:
    """What is wrong with a vector, or an empty text."""
    if isinstance(vector, SparseVector):
        return _sparse_fault(vector) if spec.form == "sparse" else f"a sparse vector where a {spec.form} one belongs"
    if spec.form == "sparse":
        return "an array where a sparse vector belongs"
    rows = "1" if spec.form == "dense" else "n"
    if vector.ndim != 2 or vector.shape[1] != spec.dim or not len(vector) or (rows == "1" and len(vector) != 1):
        return f"shape {vector.shape} where ({rows}, {spec.dim}) belongs"
    if vector.size > MULTI_LIMIT:
        return f"{vector.size} numbers, the engine's limit is {MULTI_LIMIT}; pool it to fewer rows"
    return "" if np.isfinite(vector).all() else "it holds numbers that are not finite"


def _sparse_fault(vector: SparseVector) -> str:
    indices = vector.indices
    if len(indices) != len(vector.values):
        return f"{len(indices)} term ids with {len(vector.values)} weights"
    if any(second <= first for first, second in pairwise(indices)):
        return "term ids must be ascending and unique"
    if indices and (indices[0] < 0 or indices[-1] >= TERM_LIMIT):
        return "term ids must fit 32 bits without sign"
    return "" if np.isfinite(vector.values).all() else "it holds weights that are not finite"
