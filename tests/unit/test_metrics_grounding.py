"""Citations, claims, abstention, calibration, reliance and costs: the published toys and worked values."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.metrics.abstention import abstention_gain, abstention_scores, cost_score, risk_coverage
from eval.metrics.calibration import brier_score, calibration_error, calibration_interval, reliability_bins
from eval.metrics.citations import CitedSentence, citation_scores, entails_by, split_cited, summarise_citations
from eval.metrics.claims import Entailments, claim_scores, entailments
from eval.metrics.costs import Prices, cost_of, summarise
from eval.metrics.reliance import copy_reference, retrieval_effect
from eval.metrics.scores import Score
from eval.statistics import BootstrapOptions
from rag.grounding.judge import LexicalJudge

CONFIDENCE = [0.95, 0.9, 0.8, 0.7, 0.6, 0.55]
RIGHT = [1, 1, 0, 1, 0, 1]


def holds(premise, claim):
    return claim in premise


def test_the_published_toy_of_alce():
    sentences = [CitedSentence("one", (1,)), CitedSentence("two", (1, 2)), CitedSentence("three")]
    found = citation_scores(sentences, {1: "one two", 2: "other"}, holds)
    assert (found.recall.value, found.recall.n) == (pytest.approx(2 / 3), 3)
    assert (found.precision.value, found.precision.n) == (pytest.approx(2 / 3), 3)
    assert (found.invalid.value, found.uncited.value) == (0.0, pytest.approx(1 / 3))


def test_a_number_that_was_not_shown_costs_recall_and_is_counted():
    found = citation_scores([CitedSentence("one", (1, 7))], {1: "one"}, holds)
    assert (found.recall, found.precision, found.invalid) == (Score(0.0, 1), Score(None, 0), Score(0.5, 2))


def test_both_needed_citations_are_precise():
    def together(premise, _):
        return "half" in premise and "other" in premise

    found = citation_scores([CitedSentence("whole", (1, 2))], {1: "half", 2: "other"}, together)
    assert found.precision == Score(1.0, 2)


def test_citations_are_averaged_over_answers():
    good = citation_scores([CitedSentence("one", (1,))], {1: "one"}, holds)
    none = citation_scores([CitedSentence("one")], {1: "one"}, holds)
    empty = citation_scores([], {}, holds)
    found = summarise_citations([good, none, empty])
    assert (found.recall, found.precision) == (Score(0.5, 2, 1), Score(0.5, 2, 1))
    assert found.invalid == Score(0.0, 1)


def test_markers_before_and_after_the_stop():
    found = split_cited("The lungs are clear [1][2]. The heart is large.[3] It has grown since May [1, 4].")
    assert [one.citations for one in found] == [(1, 2), (3,), (1, 4)]
    assert found[0].text == "The lungs are clear."
    assert split_cited("") == ()


def test_a_judge_becomes_a_yes_or_no():
    entails = entails_by(LexicalJudge())
    assert entails("A small left pleural effusion is seen.", "There is a left pleural effusion.")
    assert not entails("A small right pleural effusion is seen.", "There is a left pleural effusion.")


TOY = Entailments(
    right=np.array([1, 1, 0, 0], bool),
    covered=np.array([1, 1, 0], bool),
    gold_by_passage=np.array([[1, 0], [0, 0], [1, 0]], bool),
    claim_by_passage=np.array([[1, 0], [0, 0], [1, 0], [0, 1]], bool),
)


def test_the_published_toy_of_ragchecker():
    found = claim_scores(TOY)
    expected = {
        "precision": 0.5, "recall": 0.667, "f1": 0.571, "claim_recall": 0.667, "context_precision": 0.5,
        "context_utilisation": 0.5, "noise_relevant": 0.25, "noise_irrelevant": 0.25, "hallucination": 0.0,
        "self_knowledge": 0.25, "faithfulness": 0.75,
    }  # fmt: skip
    assert {name: getattr(found, name).value for name in expected} == pytest.approx(expected, abs=5e-4)
    assert (found.precision.n, found.recall.n, found.context_precision.n) == (4, 3, 2)


def test_the_tables_come_from_the_judge():
    found = entailments(["a", "x"], ["a", "b"], ["a b", "c"], holds)
    assert found.right.tolist() == [True, False]
    assert found.covered.tolist() == [True, False]
    assert found.gold_by_passage.tolist() == [[True, False], [True, False]]
    assert found.claim_by_passage.tolist() == [[True, False], [False, False]]


def test_claims_of_nothing_are_undefined():
    found = claim_scores(entailments([], [], [], holds))
    assert {found.precision.value, found.f1.value, found.context_precision.value} == {None}
    with pytest.raises(ValueError, match="one row per claim"):
        Entailments(TOY.right, TOY.covered, TOY.gold_by_passage, TOY.claim_by_passage[:2])


def test_published_values_of_risk_and_coverage():
    found = risk_coverage(CONFIDENCE, RIGHT)
    assert found.risk == pytest.approx([0, 0, 1 / 3, 0.25, 0.4, 1 / 3])
    assert found.aurc == pytest.approx(0.2194, abs=5e-5)
    assert found.optimal_aurc == pytest.approx(0.0889, abs=5e-5)
    assert found.excess_aurc == pytest.approx(0.1306, abs=5e-5)
    assert found.risk_at(0.8) == pytest.approx(0.4)
    assert found.coverage_at(0.05) == pytest.approx(2 / 6)
    assert found.coverage_at(-1) == 0.0


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6))
def test_ties_in_confidence_are_the_mean_over_all_orders(rows):
    trust, right = (list(column) for column in zip(*rows, strict=True))
    areas = []
    for order in itertools.permutations(range(len(rows))):
        if all(trust[a] >= trust[b] for a, b in itertools.pairwise(order)):
            wrong = np.cumsum([not right[i] for i in order])
            areas.append(np.mean(wrong / np.arange(1, len(rows) + 1)))
    found = risk_coverage(trust, right)
    assert found.aurc == pytest.approx(np.mean(areas))
    assert found.excess_aurc >= -1e-12


def test_risk_of_nothing_and_of_no_number():
    assert risk_coverage([], []).aurc is None
    assert risk_coverage([], []).risk_at(0.5) is None
    with pytest.raises(ValueError, match="one number as confidence"):
        risk_coverage([float("nan")], [1])


def test_abstention_by_hand():
    found = abstention_scores(
        abstained=[True, True, False, False, False],
        right=[False, False, True, False, True],
        answerable=[False, True, True, True, False],
    )
    assert found.coverage == Score(0.6, 5)
    assert found.selective_accuracy == Score(pytest.approx(1 / 3), 3)
    assert (found.precision, found.recall, found.f1) == (Score(0.5, 2), Score(0.5, 2), Score(0.5, 2))
    assert found.false_answers == Score(0.5, 2)
    assert found.over_refusals == Score(pytest.approx(1 / 3), 3)
    assert abstention_scores([True], [False]).selective_accuracy.value is None
    assert abstention_scores([False], [True]).f1.value is None


@pytest.mark.parametrize(("cost", "expected"), [(0, 1 / 3), (1, 0), (4, -1)])
def test_wrong_answers_cost(cost, expected):
    assert cost_score([False, False, True], [True, False, False], cost).value == pytest.approx(expected)


def test_abstention_gain_is_one_for_the_best_order_and_less_for_others():
    score = np.arange(10) / 10
    assert abstention_gain(score, score) == pytest.approx(1.0)
    assert abstention_gain(-score, score) < 0
    assert abstention_gain(score, np.ones(10)) is None


def test_published_values_of_calibration():
    assert calibration_error(CONFIDENCE, RIGHT, 5) == pytest.approx(0.1333, abs=5e-5)
    assert calibration_error(CONFIDENCE, RIGHT, 10) == pytest.approx(0.2333, abs=5e-5)
    assert brier_score(CONFIDENCE, RIGHT) == pytest.approx(0.2175)


def test_bins_of_equal_mass_keep_equal_confidences_together():
    bins = reliability_bins([0.2, 0.5, 0.5, 0.5, 0.9, 1.0], [0, 1, 0, 1, 1, 1], 3, "equal_mass")
    assert [one.n for one in bins] == [4, 2]
    assert calibration_error([0.5] * 4, [1, 0, 1, 0], 2, "equal_mass") == pytest.approx(0.0)


def test_the_edges_of_bins_are_their_upper_ends():
    [one] = reliability_bins([0.7], [1], 10)
    assert (one.low, one.high) == (pytest.approx(0.6), pytest.approx(0.7))
    [zero] = reliability_bins([0.0], [1], 10)
    assert (zero.low, zero.high) == (0.0, 0.1)


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=30), st.integers(1, 12))
def test_bins_hold_every_answer_once(rows, bins):
    trust, right = np.array([row[0] / 20 for row in rows]), [row[1] for row in rows]
    for binning in ("equal_width", "equal_mass"):
        made = reliability_bins(trust, right, bins, binning)
        assert sum(one.n for one in made) == len(rows)
        assert sum(one.n * one.confidence for one in made) == pytest.approx(trust.sum())


def test_the_interval_of_the_calibration_error_holds_it():
    rng = np.random.default_rng(0)
    trust = rng.random(200)
    found = calibration_interval(trust, rng.random(200) < trust / 2, BootstrapOptions(resamples=300))
    assert found.value == pytest.approx(calibration_error(trust, rng.random(200) < 2, 10), abs=1)
    assert found.low < found.value < found.high
    assert calibration_interval([], []).value is None


@pytest.mark.parametrize("confidence", [[1.2], [float("nan")], [0.1, 0.2]])
def test_impossible_confidences_are_refused(confidence):
    with pytest.raises(ValueError, match="one confidence from 0 to 1"):
        calibration_error(confidence, [1])


def test_calibration_of_nothing():
    assert calibration_error([], []) is None
    assert brier_score([], []) is None
    with pytest.raises(ValueError, match="at least one bin"):
        reliability_bins([0.5], [1], 0)


def test_what_retrieval_mends_and_breaks():
    found = retrieval_effect([True, True, False, False, True], [True, False, True, False, False])
    assert (found.both_right, found.mended, found.broken, found.both_wrong) == (1, 1, 2, 1)
    assert found.over_reliance == Score(pytest.approx(2 / 3), 3)
    assert found.gain == Score(pytest.approx(-0.2), 5)


def test_copied_references():
    assert copy_reference([True, True, False, True], [True, False, True, True]) == Score(pytest.approx(2 / 3), 3)
    assert copy_reference([False], [True]) == Score(None, 0)
    with pytest.raises(ValueError, match="shorter"):
        copy_reference([True, True], [True])


def test_latency_tokens_and_cost():
    found = summarise([1.0, 2.0, None, 3.0])
    assert (found.n, found.missing, found.total, found.mean, found.p50) == (3, 1, 6.0, 2.0, 2.0)
    assert (found.p95, found.greatest) == (pytest.approx(2.9), 3.0)
    assert summarise([None]).mean is None
    with pytest.raises(ValueError, match="cannot be negative"):
        summarise([-1.0])
    assert cost_of(2_000_000, 500_000, Prices(1.5, 6.0)) == pytest.approx(6.0)
    assert cost_of(1, 1, None) is None
    assert cost_of(None, 1, Prices(1, 1)) is None
