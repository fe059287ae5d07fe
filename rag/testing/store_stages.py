"""The parts of the store contract about searching in two stages and about vectors read back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from rag.errors import QueryError
from rag.protocols import Store
from rag.testing.points import (
    TOLERANCES,
    WIDE,
    accepted_ids,
    basis,
    case,
    expected_scores,
    number_id,
    page,
    random_pages,
    random_queries,
    ranking,
    sample_passages,
    unit_rows,
)
from rag.types import Point, Prefetch, SparseVector, Storage, Vector

StoreFactory = Callable[[], Store]
Filters = Mapping[str, tuple[str, ...]]
STORED: list[tuple[Storage, float]] = list(TOLERANCES.items())


class StoreFixtures:
    """An open store for each test."""

    @pytest.fixture
    def make_store(self, tmp_path: Path) -> StoreFactory:
        raise NotImplementedError

    @pytest.fixture
    def store(self, make_store: StoreFactory) -> Iterator[Store]:
        store = make_store()
        yield store
        store.close()


class TwoStageContract(StoreFixtures):
    """A first stage keeps the best of a coarse channel; the second scores them exactly."""

    @pytest.mark.parametrize("filters", [{}, {"domain": ("heart", "bone")}])
    @pytest.mark.parametrize("depth", [1, 7, 30, 500])
    def test_two_stages_find_the_best_of_the_first(self, store: Store, depth: int, filters: Filters) -> None:
        rng = np.random.default_rng(21)
        points = random_pages(rng, 100)
        store.upsert(points)
        accepted = accepted_ids(points, filters)
        for _ in range(2):
            for query in random_queries(np.random.default_rng(4), "late"):
                kept = ranking(expected_scores(points, "coarse", query), accepted)[:depth]
                scores = expected_scores(points, "late", query)
                best = ranking(scores, set(kept))[:10]
                hits = store.search("page", "late", query, 10, filters, Prefetch("coarse", depth))
                assert [hit.passage.id for hit in hits] == best
                assert [hit.score for hit in hits] == pytest.approx([scores[name] for name in best], rel=1e-5, abs=1e-5)
            store.optimize()

    def test_three_stages_each_keep_the_best_of_the_one_before(self, store: Store) -> None:
        points = random_pages(np.random.default_rng(22), 100)
        store.upsert(points)
        for query in random_queries(np.random.default_rng(5), "late"):
            fine, coarse = (expected_scores(points, channel, query) for channel in ("late", "coarse"))
            first = ranking(fine, set(fine))[:30]
            second = ranking(coarse, set(first))[:12]
            hits = store.search("page", "late", query, 5, {}, Prefetch("coarse", 12, Prefetch("late", 30)))
            assert [hit.passage.id for hit in hits] == ranking(fine, set(second))[:5]

    def test_a_first_stage_that_keeps_everything_changes_nothing(self, store: Store) -> None:
        points = [
            point for point in random_pages(np.random.default_rng(6), 60) if {"late", "coarse"} <= point.vectors.keys()
        ]
        store.upsert(points)
        for query in random_queries(np.random.default_rng(7), "late"):
            exact = store.search("page", "late", query, 20, {})
            for channel in ("coarse", "late"):
                assert store.search("page", "late", query, 20, {}, Prefetch(channel, 60)) == exact

    def test_ties_after_two_stages_are_ordered_by_id(self, store: Store) -> None:
        same: dict[str, Vector] = {"late": basis(0), "coarse": basis(0)}
        store.upsert([page(number, same) for number in np.random.default_rng(3).permutation(40).tolist()])
        hits = store.search("page", "late", basis(0), 5, {}, Prefetch("coarse", 40))
        assert [hit.passage.id for hit in hits] == [number_id(number) for number in range(5)]

    def test_a_page_without_coarse_rows_is_found_by_a_direct_search_alone(self, store: Store) -> None:
        store.upsert([page(1, {"late": basis(0)}), page(2, {"late": basis(0), "coarse": basis(1)})])
        assert len(store.search("page", "late", basis(0), 5, {})) == 2
        hits = store.search("page", "late", basis(0), 5, {}, Prefetch("coarse", 5))
        assert [(hit.passage.id, hit.score) for hit in hits] == [(number_id(2), 1.0)]

    @pytest.mark.parametrize("prefetch", [Prefetch("nowhere", 5), Prefetch("terms", 5), Prefetch("coarse", 0)])
    def test_a_first_stage_that_makes_no_sense_is_refused(self, store: Store, prefetch: Prefetch) -> None:
        store.upsert([page(0, {"late": basis(0), "coarse": basis(0)})])
        with pytest.raises(QueryError):
            store.search("page", "late", basis(0), 5, {}, prefetch)


class StoredVectorsContract(StoreFixtures):
    """Every storage type keeps its numbers within its rounding, and scores are those of the numbers kept."""

    @pytest.mark.parametrize(("storage", "tolerance"), STORED)
    def test_a_storage_type_keeps_and_scores_within_its_rounding(
        self, store: Store, storage: Storage, tolerance: float
    ) -> None:
        rng = np.random.default_rng(5)
        rows = [unit_rows(rng, 3, WIDE) for _ in range(40)]
        store.upsert([case(number, vector, channel=storage) for number, vector in enumerate(rows)])
        for _ in range(2):
            for number, point in enumerate(store.points([number_id(number) for number in range(40)])):
                vector = point.vectors[storage]
                assert not isinstance(vector, SparseVector)
                assert np.abs(vector - rows[number]).max() <= tolerance
            query = unit_rows(rng, 2, WIDE)
            hits = store.search("case", storage, query, 40, {})
            scores = {
                number_id(number): float((query @ vector.T).max(axis=1).sum()) for number, vector in enumerate(rows)
            }
            assert {hit.passage.id: hit.score for hit in hits} == pytest.approx(scores, abs=1e-5 + 4 * tolerance)
            for number in (0, 17, 39):
                hits = store.search("case", storage, rows[number], 1, {}, Prefetch(storage, 20))
                assert [hit.passage.id for hit in hits] == [number_id(number)]
            store.optimize()

    def test_points_come_back_with_their_vectors_in_the_order_asked_for(self, store: Store, tmp_path: Path) -> None:
        passage = sample_passages(tmp_path)[0]
        points = [Point(passage, {"dense": basis(3)}), *random_pages(np.random.default_rng(8), 12)[2:]]
        store.upsert(points)
        asked = [points[7], points[0], points[3]]
        found = store.points([asked[0].passage.id, "not an id", *(point.passage.id for point in asked[1:])])
        assert [point.passage for point in found] == [point.passage for point in asked]
        for point, given in zip(found, asked, strict=True):
            assert point.vectors.keys() == given.vectors.keys()
            for name, vector in given.vectors.items():
                if isinstance(vector, SparseVector):
                    kept = point.vectors[name]
                    assert isinstance(kept, SparseVector)
                    assert kept.indices == vector.indices
                    assert kept.values == pytest.approx(vector.values, rel=1e-6)
                else:
                    assert np.array_equal(np.asarray(point.vectors[name]), vector)
        assert store.points([]) == []
