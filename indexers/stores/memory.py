"""The exact store in memory: the reference that the engines are tested against, and a store for small tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from indexers.stores.checks import Specs, channel_spec, points_by_kind
from indexers.stores.searches import Plan, Request, ranked_hits
from indexers.stores.ties import Scored
from rag.filters import filter_values
from rag.types import Hit, Kind, Matrix, Passage, Point, Prefetch, SparseVector, Vector, VectorSpec

Scores = npt.NDArray[np.float32]


class MemoryStore:
    """Holds points in dictionaries and scores every one of them, in float64 rounded to float32 at the end.

    Equal vectors therefore get exactly equal scores, whatever the order in which numpy adds.
    Implements `rag.protocols.Store`; nothing is kept after `close`.
    """

    def __init__(self, specs: Specs) -> None:
        self._specs = dict(specs)
        self._points: dict[Kind, dict[str, Point]] = {kind: {} for kind in specs}

    @property
    def specs(self) -> Mapping[Kind, tuple[VectorSpec, ...]]:
        return self._specs

    def upsert(self, points: Sequence[Point]) -> None:
        for kind, group in points_by_kind(points, self._specs).items():
            self._points[kind].update((point.passage.id, point) for point in group)

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
        points = self._points[kind]
        # Stage after stage, each among what the one before kept: frequencies of terms are those of all points in all.
        kept: set[str] | None = None
        for coarse, depth in plan.stages:
            kept = {name for _, name in self._ranked(plan, coarse, kept)[:depth]}
        found = self._ranked(plan, plan.spec, kept)[:k]
        return ranked_hits(channel, found, {name: replace(points[name].passage, layout=None) for _, name in found})

    def _ranked(self, plan: Plan, spec: VectorSpec, kept: set[str] | None) -> list[Scored]:
        """Every passage of a channel that the filters accept and that is among those kept, best first."""
        holders = [point for point in self._points[plan.kind].values() if spec.name in point.vectors]
        scores = _scores(spec, plan.query, [point.vectors[spec.name] for point in holders]) if holders else ()
        found = [
            (float(score), point.passage.id)
            for score, point in zip(scores, holders, strict=True)
            if score > -np.inf and _matches(point.passage, plan.filters)
        ]
        found.sort(key=lambda item: (-item[0], item[1]))
        return [item for item in found if kept is None or item[1] in kept]

    def get(self, ids: Sequence[str]) -> list[Passage]:
        return [point.passage for point in self._known(ids)]

    def points(self, ids: Sequence[str]) -> list[Point]:
        return [
            Point(point.passage, {name: self._kept(point.passage.kind, name, v) for name, v in point.vectors.items()})
            for point in self._known(ids)
        ]

    def _known(self, ids: Sequence[str]) -> list[Point]:
        known = {passage_id: point for points in self._points.values() for passage_id, point in points.items()}
        return [known[passage_id] for passage_id in ids if passage_id in known]

    def _kept(self, kind: Kind, channel: str, vector: Vector) -> Vector:
        if isinstance(vector, SparseVector):
            return vector
        return _stored(channel_spec(self._specs, kind, channel), vector).astype(np.float32)

    def ids(self, kind: Kind) -> Iterator[str]:
        yield from sorted(self._points.get(kind, {}))

    def count(self, kind: Kind) -> int:
        return len(self._points.get(kind, {}))

    def delete(self, kind: Kind, document: str) -> None:
        points = self._points.get(kind, {})
        for passage_id in [name for name, point in points.items() if point.passage.document == document]:
            del points[passage_id]

    def optimize(self) -> None:
        """Nothing to compact."""

    def close(self) -> None:
        """Nothing to release."""


def _matches(passage: Passage, filters: Mapping[str, tuple[str, ...]]) -> bool:
    values = {"id": passage.id, **filter_values(passage)}
    return all(values.get(field) in accepted for field, accepted in filters.items())


def _scores(spec: VectorSpec, query: Vector, vectors: Sequence[Vector]) -> Scores:
    """One score per vector, float32, shape (n,); -inf where a sparse vector shares no term with the query."""
    if isinstance(query, SparseVector):
        return sparse_scores(query, [vector for vector in vectors if isinstance(vector, SparseVector)])
    rows = [_stored(spec, vector) for vector in vectors if not isinstance(vector, SparseVector)]
    score = dense_scores if spec.form == "dense" else maxsim_scores
    return score(_stored(spec, query), rows)


def _stored(spec: VectorSpec, vector: Matrix) -> npt.NDArray[np.float64]:
    """The numbers as the engine keeps them: half precision rounds both the stored vector and the query."""
    kept = vector.astype(np.float16) if spec.storage == "f16" else vector.astype(np.float32)
    return kept.astype(np.float64)


def dense_scores(query: npt.NDArray[np.float64], vectors: Sequence[npt.NDArray[np.float64]]) -> Scores:
    """Dot product of a query (1, dim) with each vector (1, dim): shape (n,)."""
    scores: Scores = (np.concatenate(vectors) @ query[0]).astype(np.float32)
    return scores


def maxsim_scores(query: npt.NDArray[np.float64], vectors: Sequence[npt.NDArray[np.float64]]) -> Scores:
    """MaxSim of a query (q, dim) with each multivector (n_i, dim): the best row's dot product, summed over query rows.

    The multivectors stand behind one another without padding, so no padded row can win a maximum.
    """
    starts = np.cumsum([0, *(len(vector) for vector in vectors)])[:-1]
    best = np.maximum.reduceat(query @ np.concatenate(vectors).T, starts, axis=1)
    scores: Scores = best.sum(axis=0).astype(np.float32)
    return scores


def sparse_scores(query: SparseVector, vectors: Sequence[SparseVector]) -> Scores:
    """Dot product of term weights, the query's multiplied by ln(1 + (n - df + 0.5) / (df + 0.5)).

    `n` counts the points that have this sparse vector and `df` those that hold the term, before any filter:
    the IDF modifier of Qdrant. A vector that shares no term gets -inf, because it is not found at all.
    """
    frequency = Counter(term for vector in vectors for term in vector.indices)
    weights = {
        term: weight * float(np.log1p((len(vectors) - frequency[term] + 0.5) / (frequency[term] + 0.5)))
        for term, weight in zip(query.indices, query.values, strict=True)
    }
    scores = np.full(len(vectors), -np.inf, dtype=np.float32)
    for row, vector in enumerate(vectors):
        shared = [(t, value) for t, value in zip(vector.indices, vector.values, strict=True) if t in weights]
        if shared:
            scores[row] = sum(weights[term] * value for term, value in shared)
    return scores
