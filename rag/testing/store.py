"""What every vector store must do, whichever engine stands behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rag.errors import QueryError, StoreError
from rag.protocols import Store
from rag.testing.points import (
    DIM,
    SPECS,
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
from rag.testing.store_stages import Filters, StoredVectorsContract, StoreFactory, TwoStageContract
from rag.types import ChannelScore, Kind, Point, SparseVector, Vector

NOTHING: Filters = {}


def found(store: Store, channel: str, vector: Vector, k: int = 10, filters: Filters = NOTHING) -> list[str]:
    """The ids that a page search returns, best first."""
    return [hit.passage.id for hit in store.search("page", channel, vector, k, filters)]


def numbers(*values: int) -> list[str]:
    """The ids of these numbers."""
    return [number_id(value) for value in values]


class StoreContract(TwoStageContract, StoredVectorsContract):
    """Run by a subclass per store.

    The subclass gives the fixture `make_store`: a factory over `rag.testing.points.SPECS` with root `tmp_path` that
    opens the same store each time it is called. It sets `persistent` when points outlive `close`.
    """

    persistent = False

    def test_plays_the_protocol(self, store: Store) -> None:
        assert isinstance(store, Store)
        assert store.specs == SPECS

    def test_an_empty_store_answers(self, store: Store) -> None:
        assert store.search("page", "dense", basis(0), 5, NOTHING) == []
        assert store.search("page", "terms", SparseVector((1,), (1.0,)), 5, NOTHING) == []
        assert store.get([number_id(1)]) == []
        assert list(store.ids("page")) == []
        assert store.count("page") == 0
        store.delete("page", "atlas")
        store.optimize()

    def test_upsert_twice_keeps_one(self, store: Store) -> None:
        points = [page(number, {"dense": basis(number)}) for number in range(3)]
        store.upsert(points)
        store.upsert(points)
        assert store.count("page") == 3
        assert found(store, "dense", basis(1)) == numbers(1, 0, 2)

    def test_the_last_of_one_id_wins(self, store: Store) -> None:
        store.upsert([page(1, {"dense": basis(1)}, "old"), page(1, {"dense": basis(2)}, "new")])
        assert [(hit.passage.document, hit.score) for hit in store.search("page", "dense", basis(2), 5, NOTHING)] == [
            ("new", 1.0)
        ]
        store.upsert([page(1, {"late": basis(3)}, "newer")])
        assert store.search("page", "dense", basis(2), 5, NOTHING) == []
        assert [passage.document for passage in store.get([number_id(1)])] == ["newer"]

    @pytest.mark.parametrize("k", [0, 1, 3, 4, 1000])
    def test_k_up_to_and_beyond_the_size(self, store: Store, k: int) -> None:
        store.upsert([page(number, {"dense": basis(number)}) for number in range(4)])
        assert len(found(store, "dense", basis(0), k)) == min(k, 4)

    def test_hits_say_rank_and_score_of_their_channel(self, store: Store) -> None:
        store.upsert([page(number, {"dense": basis(number)}) for number in range(2)])
        first, second = store.search("page", "dense", basis(1), 5, NOTHING)
        assert first.channels == {"dense": ChannelScore(1, 1.0)}
        assert second.channels == {"dense": ChannelScore(2, 0.0)}

    @pytest.mark.parametrize("channel", ["dense", "late", "terms"])
    def test_ties_are_ordered_by_id(self, store: Store, channel: str) -> None:
        same: dict[str, Vector] = {"dense": basis(0), "late": basis(0), "terms": SparseVector((5,), (1.0,))}
        order = np.random.default_rng(3).permutation(80).tolist()
        store.upsert([page(number, same) for number in order])
        query: Vector = same[channel]
        assert found(store, channel, query, 7) == numbers(*range(7))
        assert found(store, channel, query, 80) == numbers(*range(80))

    def test_filters(self, store: Store) -> None:
        rows = [("a", "heart"), ("a", "lung"), ("b", "heart"), ("b", "bone"), ("b", "")]
        store.upsert(
            [page(n, {"dense": basis(0)}, doc, **({"domain": dom} if dom else {})) for n, (doc, dom) in enumerate(rows)]
        )

        def ids(**filters: tuple[str, ...]) -> list[str]:
            return found(store, "dense", basis(0), 10, filters)

        assert ids(document=("a",)) == numbers(0, 1)
        assert ids(domain=("heart", "bone")) == numbers(0, 2, 3)
        assert ids(document=("b",), domain=("heart", "lung")) == numbers(2)
        assert ids(page=("2", "5")) == numbers(1, 4)
        assert ids(domain=("liver",)) == []
        assert ids(domain=()) == []
        assert ids(id=tuple(numbers(0, 3))) == numbers(0, 3)
        assert ids(id=tuple(numbers(0, 3)), document=("b",)) == numbers(3)
        assert ids(id=("no such id",)) == []
        assert ids(patient=("p1",)) == []

    @pytest.mark.parametrize(
        ("kind", "channel", "vector", "filters"),
        [
            ("page", "dense", basis(0), {"colour": ("red",)}),
            ("page", "dense", basis(0), {"document": "atlas"}),
            ("page", "nowhere", basis(0), {}),
            ("figure", "dense", basis(0), {}),
            ("page", "dense", basis(0)[:, :3], {}),
            ("page", "dense", basis(0) * np.nan, {}),
            ("page", "terms", basis(0), {}),
            ("page", "late", SparseVector((1,), (1.0,)), {}),
            ("page", "terms", SparseVector((2, 1), (1.0, 1.0)), {}),
        ],
    )
    def test_a_search_that_makes_no_sense_is_refused(
        self, store: Store, kind: Kind, channel: str, vector: Vector, filters: Filters
    ) -> None:
        store.upsert([page(0, {"dense": basis(0)})])
        with pytest.raises(QueryError):
            store.search(kind, channel, vector, 5, filters)

    @pytest.mark.parametrize(
        "vectors",
        [
            {"nowhere": basis(0)},
            {"dense": np.ones((2, DIM), np.float32)},
            {"dense": np.full((1, DIM), np.inf, np.float32)},
            {"late": np.ones((0, DIM), np.float32)},
            {"late": np.ones((1_048_576 // DIM + 1, DIM), np.float32)},
            {"terms": SparseVector((3, 3), (1.0, 1.0))},
            {"terms": SparseVector((3,), (1.0, 1.0))},
            {"terms": SparseVector((2**32,), (1.0,))},
        ],
    )
    def test_a_point_that_cannot_be_stored_is_named_and_nothing_is_written(
        self, store: Store, vectors: Mapping[str, Vector]
    ) -> None:
        with pytest.raises(StoreError, match=number_id(7)):
            store.upsert([page(1, {"dense": basis(0)}), page(7, vectors)])
        assert store.count("page") == 0

    @pytest.mark.parametrize("filters", [{}, {"domain": ("heart", "bone")}, {"document": ("anatomy",), "page": ("3",)}])
    @pytest.mark.parametrize("channel", ["dense", "late", "terms"])
    def test_scores_are_exact(self, store: Store, channel: str, filters: Filters) -> None:
        rng = np.random.default_rng(11)
        points = random_pages(rng, 120)
        store.upsert(points)
        accepted = accepted_ids(points, filters)
        for query in random_queries(rng, channel):
            scores = expected_scores(points, channel, query)
            ranked = ranking(scores, accepted)
            for k in (1, 10, 300):
                hits = store.search("page", channel, query, k, filters)
                assert [hit.passage.id for hit in hits] == ranked[:k]
                assert [hit.score for hit in hits] == pytest.approx(
                    [scores[name] for name in ranked[:k]], rel=1e-5, abs=1e-5
                )

    def test_half_precision_scores_within_its_rounding(self, store: Store) -> None:
        rng = np.random.default_rng(5)
        vectors = [unit_rows(rng) for _ in range(30)]
        store.upsert([case(number, vector) for number, vector in enumerate(vectors)])
        query = unit_rows(rng)
        expected = {number_id(number): float(query[0] @ vector[0]) for number, vector in enumerate(vectors)}
        hits = store.search("case", "image", query, 30, NOTHING)
        assert len(hits) == 30
        assert {hit.passage.id: hit.score for hit in hits} == pytest.approx(expected, abs=2e-3)

    def test_document_frequencies_follow_deletion_and_replacement(self, store: Store) -> None:
        rng = np.random.default_rng(2)
        points = random_pages(rng, 60)
        store.upsert(points)
        store.delete("page", "anatomy")
        kept = [point for point in points if point.passage.document != "anatomy"]
        kept[0] = replace(kept[0], vectors={"terms": SparseVector((1, 2), (1.0, 2.0))})
        kept[1] = replace(kept[1], vectors={"terms": SparseVector((), ())})
        store.upsert(kept[:2])
        query = SparseVector(tuple(range(60)), (1.0,) * 60)
        expected = expected_scores([kept[0], *kept[2:]], "terms", query)
        for _ in range(2):
            scores = {hit.passage.id: hit.score for hit in store.search("page", "terms", query, 100, NOTHING)}
            assert scores == pytest.approx(expected, rel=1e-5)
            store.optimize()

    def test_get_keeps_the_order_asked_for_and_leaves_out_the_unknown(self, store: Store) -> None:
        store.upsert([*(page(number, {"dense": basis(0)}) for number in range(3)), case(9, basis(0))])
        asked = [number_id(2), "not an id", number_id(9), number_id(77), number_id(0), number_id(2)]
        assert [passage.id for passage in store.get(asked)] == numbers(2, 9, 0, 2)
        assert store.get([]) == []

    def test_ids_ascend_and_are_of_one_kind(self, store: Store) -> None:
        store.upsert([*(page(number, {"dense": basis(0)}) for number in (5, 1, 3)), case(2, basis(0))])
        assert list(store.ids("page")) == numbers(1, 3, 5)
        assert list(store.ids("case")) == numbers(2)
        assert list(store.ids("fact")) == []
        assert (store.count("page"), store.count("case"), store.count("fact")) == (3, 1, 0)

    def test_delete_takes_one_document_of_one_kind(self, store: Store) -> None:
        store.upsert([page(number, {"dense": basis(0)}, ("a", "b")[number % 2]) for number in range(6)])
        store.upsert([case(9, basis(0), document="a")])
        store.delete("page", "a")
        store.delete("page", "unknown")
        assert list(store.ids("page")) == numbers(1, 3, 5)
        assert found(store, "dense", basis(0)) == numbers(1, 3, 5)
        assert list(store.ids("case")) == numbers(9)

    def test_passages_come_back_whole_and_searches_leave_the_layout_out(self, store: Store, tmp_path: Path) -> None:
        whole = sample_passages(tmp_path)
        channels = {"page": "dense", "case": "image", "fact": "dense"}
        store.upsert([Point(passage, {channels[passage.kind]: basis(0)}) for passage in whole])
        assert store.get([passage.id for passage in whole]) == whole
        hits = store.search("page", "dense", basis(0), 1, NOTHING)
        assert [hit.passage for hit in hits] == [replace(whole[0], layout=None)]

    def test_points_survive_closing(self, make_store: StoreFactory) -> None:
        if not self.persistent:
            pytest.skip("this store keeps nothing")
        points = random_pages(np.random.default_rng(8), 50)
        first = make_store()
        first.upsert(points)
        query = unit_rows(np.random.default_rng(9), 4)
        before = first.search("page", "late", query, 10, NOTHING)
        first.optimize()
        first.close()
        second = make_store()
        assert second.count("page") == 50
        assert second.search("page", "late", query, 10, NOTHING) == before
        second.close()

    def test_closing_twice_is_harmless(self, make_store: StoreFactory) -> None:
        store = make_store()
        store.upsert([page(1, {"dense": basis(0)})])
        store.close()
        store.close()
