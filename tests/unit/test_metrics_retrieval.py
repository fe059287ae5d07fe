"""Retrieval metrics against hand arithmetic, trec_eval (through pytrec_eval) and ir-measures."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.metrics.retrieval import (
    METRICS,
    dcg_at,
    gains_of,
    ndcg_at,
    rank_by_score,
    recall_at,
    reciprocal_rank_at,
    score_ranking,
    score_run,
    success_at,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import ir_measures
    import pytrec_eval
    from ir_measures import RR, R, Success, nDCG

ORACLE = {
    "ndcg@5": nDCG @ 5, "r@1": Success @ 1, "r@5": Success @ 5, "r@10": Success @ 10, "mrr@10": RR,
    "recall@5": R @ 5, "recall@10": R @ 10,
}  # fmt: skip

documents = st.sampled_from([f"d{number}" for number in range(16)] + ["é", "D1", "zz"])
# Scores that 32-bit floats hold exactly, few enough that ties are common: trec_eval keeps scores in 32 bits.
scores = st.integers(-3, 6).map(lambda number: number / 4)
grades = st.integers(-1, 3)
queries = st.sampled_from([f"q{number}" for number in range(6)])
runs = st.dictionaries(queries, st.dictionaries(documents, scores, min_size=1, max_size=16), min_size=1)
# ir-measures takes RR@10 from another provider, which breaks ties otherwise; over ten documents RR needs no cut.
short_runs = st.dictionaries(queries, st.dictionaries(documents, scores, min_size=1, max_size=10), min_size=1)
judgements = st.dictionaries(queries, st.dictionaries(documents, grades, min_size=1, max_size=12), min_size=1)


@given(qrels=judgements, run=runs)
@settings(max_examples=100, deadline=None)
def test_every_query_scores_as_trec_eval_scores_it(qrels, run):
    measures = {"ndcg_cut_5", "success_1,5,10", "recall_5,10", "recip_rank"}
    theirs = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)
    ours = score_run(qrels, run)
    names = {"ndcg@5": "ndcg_cut_5", "r@1": "success_1", "r@5": "success_5", "r@10": "success_10",
             "recall@5": "recall_5", "recall@10": "recall_10"}  # fmt: skip
    for query, row in zip(ours.queries, ours.table, strict=True):
        for metric, name in names.items():
            expected = theirs[query][name] if query in theirs else 0.0
            assert row[METRICS.index(metric)] == pytest.approx(expected, abs=1e-9), (query, metric)
        reciprocal = theirs[query]["recip_rank"] if query in theirs else 0.0
        assert row[METRICS.index("mrr@10")] == pytest.approx(reciprocal if reciprocal >= 0.1 else 0.0), query


@given(qrels=judgements, run=short_runs)
@settings(max_examples=40, deadline=None)
def test_means_are_those_of_ir_measures_with_missing_queries_as_zero(qrels, run):
    judged = {query: found for query, found in qrels.items() if any(grade > 0 for grade in found.values())}
    if not judged:
        assert score_run(qrels, run).means() == dict.fromkeys(METRICS, 0.0)
        return
    theirs = ir_measures.calc_aggregate(ORACLE.values(), judged, run)
    means = score_run(qrels, run).means()
    for metric, measure in ORACLE.items():
        assert means[metric] == pytest.approx(theirs[measure], abs=1e-9), metric


def test_the_classical_graded_example():
    # Grades 3, 2, 3, 0, 1, 2 by rank: evaluation.md 1.4, and trec_eval.
    ranked = list("abcdef")
    given_grades = dict(zip(ranked, [3, 2, 3, 0, 1, 2], strict=True))
    gains = gains_of(ranked, given_grades)
    assert dcg_at(gains, 6) == pytest.approx(6.861127, abs=1e-6)
    assert ndcg_at(gains, list(given_grades.values()), 6) == pytest.approx(0.960808, abs=1e-6)
    assert ndcg_at(gains, list(given_grades.values()), 3) == pytest.approx(0.9778, abs=1e-4)
    assert recall_at(gains, 5, 3) == pytest.approx(0.6)
    assert reciprocal_rank_at(gains, 10) == 1.0


def test_binary_scores_by_hand():
    # Right at ranks 2 and 4, three right in all: DCG@5 = 1/log2(3) + 1/log2(5), ideal = 1 + 1/log2(3) + 1/2.
    row = dict(zip(METRICS, score_ranking(list("abcdef"), {"b": 1, "d": 1, "z": 1}), strict=True))
    assert row["ndcg@5"] == pytest.approx((1 / np.log2(3) + 1 / np.log2(5)) / (1.5 + 1 / np.log2(3)))
    assert (row["r@1"], row["r@5"], row["r@10"], row["mrr@10"]) == (0, 1, 1, 0.5)
    assert row["recall@5"] == row["recall@10"] == pytest.approx(2 / 3)


def test_more_right_documents_than_ranks_still_allow_a_perfect_score():
    right = {f"p{number}": 1.0 for number in range(20)}
    row = dict(zip(METRICS, score_ranking(list(right)[:5], right), strict=True))
    assert row["ndcg@5"] == pytest.approx(1)
    assert row["recall@5"] == pytest.approx(5 / 20)


@pytest.mark.parametrize(("right", "reciprocal"), [("b", 1.0), ("a", 0.5)])
def test_ties_break_by_id_descending(right, reciprocal):
    run = {"q": {"a": 1.0, "b": 1.0, "c": 0.5}}
    assert rank_by_score(run["q"]) == ["b", "a", "c"]
    assert score_run({"q": {right: 1}}, run).means()["mrr@10"] == reciprocal


def test_a_missing_query_scores_zero_and_is_counted():
    scored = score_run(
        {"q1": {"a": 1}, "q2": {"a": 1}, "q3": {"a": 1}}, {"q1": {"a": 1.0}, "q3": {}, "other": {"a": 1.0}}
    )
    assert scored.missing == 2
    assert scored.means()["r@1"] == pytest.approx(1 / 3)


def test_queries_without_a_right_document_are_left_out_and_counted():
    scored = score_run({"q1": {"a": 1}, "q2": {"a": 0}, "q3": {"a": -1}}, {"q1": {"a": 1.0}, "q2": {"a": 1.0}})
    assert (scored.queries, scored.unjudged, scored.missing) == (("q1",), 2, 0)


def test_nothing_to_judge_is_zero_without_a_division():
    assert score_run({}, {}).means() == dict.fromkeys(METRICS, 0.0)
    assert not score_ranking([], {"a": 1}).any()
    assert not score_ranking(["a"], {}).any()
    assert not score_ranking(["a"], {"a": -2}).any()


def test_ranks_beyond_k_do_not_count():
    gains = gains_of([f"d{number}" for number in range(12)], {"d10": 1})
    assert success_at(gains, 10) == reciprocal_rank_at(gains, 10) == 0
    assert success_at(gains, 11) == 1


def test_a_document_ranked_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        score_ranking(["a", "a"], {"a": 1})


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="'b'"):
        rank_by_score({"a": 1.0, "b": float("nan")})
