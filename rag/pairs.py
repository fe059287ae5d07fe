"""Pairs of a patient's images over time, found by a current and a prior image together.

TemMed-Bench (2025, https://arxiv.org/abs/2509.25143) scores a pair (prior, current) of another patient by the sum of
two similarities, current to current and prior to prior. A pair is no point of a store: both images are passages
already, so both are searched and joined by patient. The join is exact. It stops by the threshold algorithm of Fagin,
Lotem and Naor (2003, https://doi.org/10.1016/S0022-0000(03)00026-6): when k pairs score more than any pair could of
which neither image has been seen, deeper ranks cannot change them.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from rag.errors import ConfigError, QueryError
from rag.leakage import Guard, same_key, stored_keys
from rag.protocols import Encoder, Store
from rag.timeline import consecutive, studies_of
from rag.types import CaseLocator, Hit, Kind, Passage, Query, Vector

_ROUNDING = 1e-5
"""By how much scores of one passage may differ between two searches of one engine."""
_CASE: Kind = "case"


@dataclass(frozen=True, slots=True)
class PairOptions:
    """How pairs are found.

    weight: share of the similarity of current images in a pair's score, in [0, 1]; 0.5 is half of TemMed's sum, 1 is
    the search by current image alone. depth: ranks of each list read at first. deepest: ranks after which the search
    gives up being exact; None for never.

    Raises:
        ConfigError: a value out of range.
    """

    weight: float = 0.5
    depth: int = 64
    deepest: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ConfigError(f"pairs: weight is {self.weight}; it must be in [0, 1]")
        if self.depth < 1:
            raise ConfigError(f"pairs: depth is {self.depth}; it must be at least 1")


@dataclass(frozen=True, slots=True)
class CasePair:
    """Two passages of one patient on consecutive days, with the similarities that found them.

    `score` is the weighted sum of `prior_score` and `current_score`.
    """

    prior: Passage
    current: Passage
    score: float
    prior_score: float
    current_score: float


@dataclass(slots=True)
class _Side:
    """The scores of one query image: of passages by id, and the least score of the ranks read."""

    vector: Vector
    scores: dict[str, float] = field(default_factory=dict)
    bound: float = float("inf")
    ended: bool = False


class PairRetriever:
    """Finds pairs (prior, current) of other patients among the case passages of a store.

    `encoder` is the one whose channel holds the images. A pair is made of two passages of one patient and document that
    have a vector in it and whose days follow each other; of several passages on a day each makes its own pair.
    """

    def __init__(self, store: Store, encoder: Encoder, options: PairOptions | None = None) -> None:
        self._store, self._encoder = store, encoder
        self._options = options or PairOptions()

    def retrieve(
        self, query: Query, k: int, *, without_patients: Collection[str] = (), images: Collection[str] = ()
    ) -> list[CasePair]:
        """The k best pairs, best first, ties by passage id; the query's own patient is left out.

        `images` are the keys of the query's images (rag.leakage): who has one of them is that patient, too.
        `query.filters` hold for both passages, and days follow each other among those that they accept.

        Raises:
            QueryError: the query lacks a current or a prior image.
        """
        if not query.images or not query.prior_images:
            raise QueryError(f"query {query.id}: a search for pairs needs a current image and a prior image")
        prior, current = self._encoder.encode_queries(
            [replace(query, images=query.prior_images, prior_images=()), query]
        )
        if prior is None or current is None:
            raise QueryError(f"query {query.id}: channel {self._encoder.spec.name!r} reads no images")
        barred = {*without_patients, *([query.patient] if query.patient else [])}
        while True:
            found = self.by_vectors(prior, current, k, filters=query.filters, without_patients=barred)
            own = {name for pair in found if _shows(pair, images) and (name := _patient(pair.current))}
            if not own:
                return found
            barred |= own

    def by_vectors(
        self,
        prior: Vector,
        current: Vector,
        k: int,
        *,
        filters: Mapping[str, tuple[str, ...]] | None = None,
        without_patients: Collection[str] = (),
    ) -> list[CasePair]:
        """As `retrieve`, for vectors at hand."""
        accepted = dict(filters or {})
        sides = (_Side(prior), _Side(current))
        patients: set[str] = set()
        pairs: list[CasePair] = []
        depth = max(self._options.depth, k)
        while k > 0:
            fresh = {name for side in sides for name in self._read(side, depth, accepted)}
            fresh -= {*patients, *without_patients}
            pairs += self._pairs(sides, fresh, accepted)
            patients |= fresh
            pairs = heapq.nsmallest(k, pairs, key=_best_first)
            if self._settled(sides, pairs, k, depth):
                break
            depth *= 2
        return pairs

    def _read(self, side: _Side, depth: int, filters: Mapping[str, tuple[str, ...]]) -> set[str]:
        """The patients of the first ranks of one list; notes the least score there."""
        if side.ended:
            return set()
        hits = self._search(side.vector, depth, filters)
        side.ended = len(hits) < depth
        side.bound = hits[-1].score if hits else float("-inf")
        return {name for hit in hits if (name := _patient(hit.passage))}

    def _pairs(
        self, sides: tuple[_Side, _Side], patients: Collection[str], filters: Mapping[str, tuple[str, ...]]
    ) -> list[CasePair]:
        """Every pair of these patients, with both exact similarities."""
        wanted = tuple(sorted(set(patients) & set(filters["patient"]) if "patient" in filters else patients))
        if not wanted:
            return []
        every = self._store.count(_CASE)
        passages: dict[str, Passage] = {}
        for side in sides:
            for hit in self._search(side.vector, every, {**filters, "patient": wanted}):
                passages[hit.passage.id] = hit.passage
                side.scores[hit.passage.id] = hit.score
        return [
            self._pair(sides, earlier, later)
            for prior, current in consecutive(studies_of(passages.values()))
            for earlier, later in product(prior.passages, current.passages)
        ]

    def _pair(self, sides: tuple[_Side, _Side], prior: Passage, current: Passage) -> CasePair:
        before, now = sides[0].scores[prior.id], sides[1].scores[current.id]
        return CasePair(prior, current, self._weighted(before, now), before, now)

    def _weighted(self, prior: float, current: float) -> float:
        weight = self._options.weight
        # A weight of 0 leaves its list out, also when that list's bound is infinite.
        return (weight * current if weight else 0.0) + ((1 - weight) * prior if weight < 1 else 0.0)

    def _settled(self, sides: tuple[_Side, _Side], pairs: Sequence[CasePair], k: int, depth: int) -> bool:
        """Whether no pair of which neither image was seen can come among the k best."""
        # Once a list was read to its end, every patient with an image in it has been seen.
        if any(side.ended for side in sides) or (self._options.deepest or depth + 1) <= depth:
            return True
        unseen = self._weighted(sides[0].bound, sides[1].bound)
        return len(pairs) >= k and pairs[-1].score > unseen + _ROUNDING

    def _search(self, vector: Vector, k: int, filters: Mapping[str, tuple[str, ...]]) -> list[Hit]:
        return self._store.search(_CASE, self._encoder.spec.name, vector, k, filters)


def _best_first(pair: CasePair) -> tuple[float, str, str]:
    return (-pair.score, pair.current.id, pair.prior.id)


def _shows(pair: CasePair, images: Collection[str]) -> bool:
    """Whether a pair has one of these images."""
    keys = (*stored_keys(pair.prior), *stored_keys(pair.current))
    return any(same_key(key, own, Guard().radius) for key in keys for own in images)


def _patient(passage: Passage) -> str | None:
    return passage.locator.patient if isinstance(passage.locator, CaseLocator) else None
