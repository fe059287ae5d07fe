"""Precision, average precision and exponential gains against the classical example and trec_eval."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.metrics.ranking import average_precision, capped_recall_at, exponential_ndcg_at, precision_at, r_precision
from eval.metrics.retrieval import gains_of, ndcg_at, rank_by_score, recall_at, reciprocal_rank_at

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pytrec_eval

CLASSICAL = np.array([3.0, 2, 3, 0, 1, 2])


def test_the_published_values_of_the_classical_example():
    grades = [3, 2, 3, 0, 1, 2]
    assert ndcg_at(CLASSICAL, grades, 3) == pytest.approx(0.9778, abs=5e-5)
    assert exponential_ndcg_at(CLASSICAL, grades, 6) == pytest.approx(0.948811, abs=5e-7)
    assert recall_at(CLASSICAL, 5, 3) == pytest.approx(0.6)
    assert average_precision(CLASSICAL, 5) == pytest.approx(0.9267, abs=5e-5)
    assert reciprocal_rank_at(CLASSICAL, 10) == 1.0


def test_small_cases_by_hand():
    gains = np.array([0.0, 1, 1])
    assert precision_at(gains, 10) == pytest.approx(0.2)
    assert r_precision(gains, 2) == pytest.approx(0.5)
    assert capped_recall_at(gains, 5, 3) == pytest.approx(2 / 3)
    assert capped_recall_at(np.array([0.0, 1]), 1, 3) == 1.0
    assert {r_precision(gains, 0), average_precision(gains, 0), capped_recall_at(gains, 0, 3)} == {0.0}


DOCUMENTS = [f"d{number}" for number in range(20)]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_each_is_what_trec_eval_says(data):
    grades = data.draw(st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(-1, 3), min_size=1))
    run = data.draw(st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(-8, 8).map(float), min_size=1))
    theirs = pytrec_eval.RelevanceEvaluator({"q": grades}, {"map", "P_5,10", "Rprec"}).evaluate({"q": run})["q"]
    gains = gains_of(rank_by_score(run), grades)
    n_right = sum(grade > 0 for grade in grades.values())
    assert average_precision(gains, n_right) == pytest.approx(theirs["map"], abs=1e-9)
    assert precision_at(gains, 5) == pytest.approx(theirs["P_5"], abs=1e-9)
    assert precision_at(gains, 10) == pytest.approx(theirs["P_10"], abs=1e-9)
    assert r_precision(gains, n_right) == pytest.approx(theirs["Rprec"], abs=1e-9)
