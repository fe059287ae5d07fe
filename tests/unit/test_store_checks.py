"""Batches, ties and the numbers that no engine should see."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexers.stores.checks import MULTI_LIMIT, batches, check_uuid, point_bytes
from indexers.stores.memory import MemoryStore, maxsim_scores, sparse_scores
from indexers.stores.ties import LIMIT, MARGIN, best
from rag.errors import StoreError
from rag.testing.points import basis, number_id, page
from rag.types import SparseVector, VectorSpec


@given(st.lists(st.integers(0, 5), max_size=60), st.integers(1, 40))
def test_the_best_are_ordered_by_score_then_id_whatever_the_engine_does_with_ties(scores, k):
    shuffled = [(float(score), number_id((7 * row) % 61)) for row, score in enumerate(scores)]
    by_score = sorted(shuffled, key=lambda item: -item[0])
    assert best(lambda limit: by_score[:limit], k) == sorted(shuffled, key=lambda item: (-item[0], item[1]))[:k]


def test_endless_ties_end():
    asked = []

    def fetch(limit):
        asked.append(limit)
        return [(1.0, number_id(row)) for row in range(limit)]

    assert len(best(fetch, 5)) == 5
    assert asked[0] == 5 + MARGIN
    assert asked[-1] == 5 + LIMIT


@given(st.lists(st.integers(1, 30), max_size=20), st.integers(1, 6000))
def test_batches_keep_order_and_stay_within_bounds(rows, most_bytes):
    points = [page(number, {"late": np.ones((count, 8), np.float32)}) for number, count in enumerate(rows)]
    parts = list(batches(points, most_bytes))
    assert [point for part in parts for point in part] == points
    assert all(len(part) == 1 or sum(map(point_bytes, part)) <= most_bytes for part in parts)


def test_a_multivector_beyond_the_engines_limit_is_named_before_anything_is_written():
    store = MemoryStore({"page": (VectorSpec("late", "multi", 8),)})
    largest = np.ones((MULTI_LIMIT // 8, 8), np.float32)
    store.upsert([page(1, {"late": largest})])
    with pytest.raises(StoreError, match=f"{number_id(2)}.*1048584 numbers.*pool"):
        store.upsert([page(2, {"late": np.concatenate([largest, basis(0)])})])


@pytest.mark.parametrize(
    "name", ["p1", "", "00000000000000000000000000000001", "{00000000-0000-0000-0000-000000000001}"]
)
def test_an_id_that_qdrant_would_change_is_refused(name):
    with pytest.raises(StoreError, match="not a UUID"):
        check_uuid(name)


def test_maxsim_of_wholly_negative_rows_is_negative_and_independent_of_its_neighbours():
    query = np.eye(1, 8)
    alone = [-query]
    assert maxsim_scores(query, alone)[0] == -1.0
    assert maxsim_scores(query, [*alone, np.ones((9, 8))])[0] == -1.0


def test_inverse_document_frequency_counts_points_that_have_the_vector():
    vectors = [SparseVector((1, 2), (1.0, 1.0)), SparseVector((1,), (2.0,)), SparseVector((9,), (1.0,))]
    scores = sparse_scores(SparseVector((1,), (3.0,)), vectors)
    idf = np.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    assert scores[:2] == pytest.approx([3 * idf, 6 * idf])
    assert scores[2] == -np.inf
