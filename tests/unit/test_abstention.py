"""Thresholds of confidence: fitted, stored beside the selectors, read back, and the curve they stand on."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.calibration import (
    FILE,
    CalibrationMismatch,
    load_abstention,
    load_calibration,
    save_abstention,
    save_calibration,
)
from pipelines.checking import policy_for
from pipelines.settings import Settings
from rag.errors import ConfigError, StoreError
from rag.grounding.abstention import (
    AnswerRow,
    FitAbstention,
    area_under_risk,
    figures_at,
    fit_threshold,
    folds,
    risk_coverage,
    summary,
)
from rag.selectors import Calibration


def row(confidence: float, answerable: bool = True, right: bool | None = None, arm: str = "a") -> AnswerRow:
    return AnswerRow(f"{arm}-{confidence}", arm, answerable, answerable if right is None else right, confidence)


def drawn(n: int, seed: int = 0) -> list[AnswerRow]:
    """Answerable questions around 0.75 and others around 0.3; nine of ten answers to the first are right."""
    rng = np.random.default_rng(seed)
    have = [AnswerRow(f"h{i}", "known", True, bool(rng.random() < 0.95), float(rng.beta(6, 2))) for i in range(n)]
    return [*have, *(AnswerRow(f"l{i}", "none", False, False, float(rng.beta(2, 5))) for i in range(n))]


def test_the_area_under_the_curve_is_that_of_the_worked_example() -> None:
    confidence = (0.95, 0.9, 0.8, 0.7, 0.6, 0.55)
    rows = [row(value, right=bool(right)) for value, right in zip(confidence, (1, 1, 0, 1, 0, 1), strict=True)]
    area, excess = area_under_risk(rows)
    assert area == pytest.approx(0.2194, abs=1e-4)
    assert excess == pytest.approx(0.1306, abs=1e-4)


def test_equal_confidence_is_answered_together_and_its_order_does_not_matter() -> None:
    rows = [row(0.9, right=True), row(0.5, right=False), row(0.5, right=True), row(0.5, right=True)]
    assert area_under_risk(rows) == area_under_risk(rows[::-1])
    assert [point.coverage for point in risk_coverage(rows, [0.25, 0.5, 1.0])] == [0.25, 1.0, 1.0]


def test_balanced_separates_what_can_be_separated() -> None:
    rows = [row(value) for value in (0.7, 0.8, 0.9)] + [row(value, False) for value in (0.1, 0.2, 0.4)]
    fitted = fit_threshold(rows, FitAbstention("balanced"))
    assert 0.4 < fitted.value < 0.7
    assert (fitted.answered, fitted.wrong) == (0.5, 0.0)
    figures = figures_at(rows, fitted.value)
    assert figures["abstained_unanswerable"] == 1.0
    assert figures["false_abstention"] == 0.0


def test_conformal_answers_a_further_question_as_often_as_promised() -> None:
    kept = []
    for seed in range(60):
        threshold = fit_threshold(drawn(60, seed), FitAbstention("conformal", 0.9)).value
        later = [row for row in drawn(200, 1000 + seed) if row.answerable]
        kept.append(np.mean([row.confidence >= threshold for row in later]))
    assert np.mean(kept) >= 0.9 - 0.01
    assert np.mean(kept) <= 0.95


def test_precision_keeps_the_share_of_wrong_answers_below_the_target() -> None:
    broken = 0
    for seed in range(40):
        fitted = fit_threshold(drawn(150, seed), FitAbstention("precision", 0.8))
        later = [row for row in drawn(400, 1000 + seed) if row.confidence >= fitted.value]
        broken += bool(later) and np.mean([not row.right for row in later]) > 0.2
    assert broken <= 4


def test_a_precision_out_of_reach_withholds_everything_and_one_without_errors_nothing() -> None:
    assert fit_threshold([row(0.5, right=False)] * 50, FitAbstention("precision")).value == 1.0
    assert fit_threshold([row(0.5)] * 100, FitAbstention("precision", 0.9)).value == 0.5


def test_too_few_questions_for_a_conformal_threshold_withhold_nothing() -> None:
    assert fit_threshold([row(0.5), row(0.6)], FitAbstention("conformal", 0.9)).value == 0.0


@pytest.mark.parametrize("rows", [[], [row(0.1, False)]])
def test_without_answerable_questions_nothing_is_fitted(rows: list[AnswerRow]) -> None:
    with pytest.raises(ConfigError, match="no question with a known answer"):
        fit_threshold(rows, FitAbstention())


def test_what_a_method_needs_is_said() -> None:
    with pytest.raises(ConfigError, match="without an answer"):
        fit_threshold([row(0.5)], FitAbstention("balanced"))
    with pytest.raises(ConfigError, match=r"target is 1\.5"):
        FitAbstention(target=1.5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_coverage_grows_along_the_curve_and_risk_ends_at_the_share_of_errors(
    made: list[tuple[float, bool, bool]],
) -> None:
    rows = [AnswerRow(str(i), "x", a, a and r, c) for i, (c, a, r) in enumerate(made)]
    points = risk_coverage(rows, [0.1 * i for i in range(1, 11)])
    assert [point.coverage for point in points] == sorted(point.coverage for point in points)
    assert points[-1].risk == pytest.approx(sum(not one.right for one in rows) / len(rows))
    assert 0 <= summary(rows)["aurc"] <= 1


def test_variants_of_a_question_share_a_fold() -> None:
    rows = [AnswerRow(f"{i}/{arm}", arm, True, True, 0.5, str(i)) for i in range(10) for arm in ("a", "b")]
    for train, test in folds(rows, 5):
        assert len(test) == 4
        assert not {one.cluster for one in train} & {one.cluster for one in test}


def test_thresholds_and_selection_share_a_file_and_neither_erases_the_other(tmp_path) -> None:
    fitted = fit_threshold(drawn(40), FitAbstention("balanced"))
    save_abstention(tmp_path, "abc", {"open": fitted})
    assert load_calibration(tmp_path, "abc") is None
    save_calibration(tmp_path, Calibration("abc", 0.9, 0.1, 30, ()))
    assert load_abstention(tmp_path, "abc") == {"open": fitted}
    save_abstention(tmp_path, "abc", {"choice": fitted})
    assert set(load_abstention(tmp_path, "abc")) == {"open", "choice"}
    assert load_calibration(tmp_path, "abc") == Calibration("abc", 0.9, 0.1, 30, ())


def test_the_fitted_threshold_is_used_unless_the_settings_name_one(tmp_path) -> None:
    fitted = fit_threshold(drawn(40), FitAbstention("balanced"))
    save_abstention(tmp_path, "abc", {"open": fitted, "choice": fitted})
    policy = policy_for(Settings(), tmp_path, "abc")
    assert policy.min_confidence == policy.min_choice_confidence == fitted.value
    own = Settings.model_validate({"answer": {"abstain_below": 0.1}})
    assert policy_for(own, tmp_path, "abc").min_confidence == 0.1
    with pytest.raises(CalibrationMismatch):
        policy_for(Settings(), tmp_path, "other")


def test_a_stale_file_is_refused_only_where_its_thresholds_are_needed(tmp_path, caplog) -> None:
    save_calibration(tmp_path, Calibration("abc", 0.9, 0.1, 30, ()))
    assert policy_for(Settings(), tmp_path, "other").min_confidence == 0.5
    assert policy_for(Settings(), tmp_path, "other").min_confidence == 0.5
    assert [
        record.message
        for record in caplog.records
        if "vesalius calibrate" in record.message and "abc" in record.message
    ]
    assert len(caplog.records) == 1
    save_abstention(tmp_path, "abc", {"open": fit_threshold(drawn(40), FitAbstention("balanced"))})
    with pytest.raises(CalibrationMismatch, match="vesalius calibrate"):
        policy_for(Settings(), tmp_path, "other")
    named = Settings.model_validate({"answer": {"abstain_below": 0.3}})
    assert policy_for(named, tmp_path, "other").min_confidence == 0.3


def test_a_broken_file_stops_only_what_needs_it(tmp_path, caplog) -> None:
    (tmp_path / FILE).write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        policy_for(Settings(), tmp_path, "abc")
    named = Settings.model_validate({"answer": {"abstain_below": 0.3}})
    assert policy_for(named, tmp_path, "abc").min_confidence == 0.3
    assert "cannot be read" in caplog.text


def test_a_broken_file_is_named(tmp_path) -> None:
    (tmp_path / FILE).write_text(json.dumps({"fingerprint": "abc", "abstention": {"open": {"value": 1}}}))
    with pytest.raises(StoreError, match="cannot be read"):
        load_abstention(tmp_path, "abc")
