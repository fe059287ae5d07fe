"""Ranks of the right item, with ties in the middle."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from indexers.encoders.aligned.ranking import accepted_ranks, chance_of, figures_of, gold_ranks


def test_ranks_count_what_is_above_and_share_what_is_level():
    scores = np.array([[0.9, 0.5, 0.1], [0.9, 0.5, 0.5], [0.3, 0.3, 0.3]])
    assert gold_ranks(scores, np.array([0, 1, 2])).tolist() == [1.0, 2.5, 2.0]


def test_accepted_ranks_take_the_best_right_item():
    scores = np.array([[0.9, 0.5, 0.1], [0.9, 0.5, 0.4]])
    accepted = np.array([[False, True, True], [False, False, False]])
    assert accepted_ranks(scores, accepted).tolist() == [2.0, np.inf]


def test_figures():
    figures = figures_of(np.array([1.0, 4.0, 10.5, 100.0]))
    assert figures.as_json() == {"r1": 0.25, "r5": 0.5, "r10": 0.5, "median_rank": 7.25}
    assert chance_of(200).as_json() == {"r1": 0.005, "r5": 0.025, "r10": 0.05, "median_rank": 100.5}
    assert chance_of(4).r10 == 1.0
    assert figures_of(np.zeros(0)).median_rank == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 40), st.integers(0, 1000))
def test_without_ties_the_rank_is_the_place_in_the_sorted_list(n, seed):
    rng = np.random.default_rng(seed)
    scores, gold = rng.permuted(np.tile(np.arange(n, dtype=float), (5, 1)), axis=1), rng.integers(0, n, 5)
    expected = [sorted(row, reverse=True).index(row[own]) + 1 for row, own in zip(scores.tolist(), gold, strict=True)]
    assert gold_ranks(scores, gold).tolist() == expected


def test_a_constant_score_reaches_chance_and_no_more():
    ranks = gold_ranks(np.zeros((50, 50)), np.arange(50))
    assert figures_of(ranks).r10 == 0
    assert figures_of(ranks).median_rank == chance_of(50).median_rank
