"""Signals of evidence weighed together: the fit, what it stores, and when an answer's confidence comes from it."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.calibration import load_abstention, save_abstention
from pipelines.checking import policy_for
from pipelines.settings import Settings
from rag.errors import ConfigError
from rag.grounding.abstention import AnswerRow, FitAbstention, fit_modelled, fit_threshold, halves, modelled, separation
from rag.grounding.evidence_model import EvidenceModel, fit_evidence_model
from rag.grounding.ground import GroundingPolicy, ground
from rag.grounding.judge import LexicalJudge
from rag.grounding.signals import evidence_signals, speaks_of
from rag.types import ChannelScore, Draft, DraftClaim, Evidence, Hit, PageLocator, Passage, Query

PAGE = Passage("p1", "page", "book", "The trachea is lined by ciliated epithelium.", PageLocator(3))
QUERY = Query("Which epithelium lines the trachea?")


def evidence(dense: float, bm25: float) -> Evidence:
    channels = {"dense": ChannelScore(1, dense), "bm25": ChannelScore(2, bm25)}
    return Evidence((Hit(PAGE, 1.0, channels), Hit(replace(PAGE, id="p2"), 0.5, {"dense": ChannelScore(2, 0.1)})))


def rows(n: int, seed: int = 0) -> list[AnswerRow]:
    """Two signals that each tell a little; together they tell more. Confidence is the first of them alone."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(2 * n):
        have = i < n
        one, two = rng.normal(1.0 if have else -1.0, 1.5, 2)
        confidence = 1 / (1 + math.exp(-one))
        found.append(
            AnswerRow(f"q{i}", "a" if have else "b", have, have, confidence, signals={"answer": one, "other": two})
        )
    return found


def test_signals_are_the_best_scores_and_do_not_read_ranks() -> None:
    found = evidence_signals(QUERY, 0.5, evidence(0.7, 6.0))
    assert found == pytest.approx({"answer": 0.0, "dense": 0.7, "bm25": 6.0 / math.sqrt(3)})
    moved = Evidence(tuple(replace(hit, channels={}) for hit in evidence(0.7, 6.0).hits))
    assert evidence_signals(QUERY, 1.0, moved)["dense"] == 0.0
    assert math.isfinite(evidence_signals(QUERY, 1.0, moved)["answer"])


def test_signals_speak_of_questions_of_text_without_options() -> None:
    assert speaks_of(QUERY)
    assert not speaks_of(replace(QUERY, options=("a", "b")))
    assert not speaks_of(Query("what is this?", images=("a.png",)))


def test_the_fit_finds_which_signal_tells_and_leaves_out_one_that_never_varies() -> None:
    rng = np.random.default_rng(0)
    known = [i % 2 == 0 for i in range(200)]
    table = [{"tells": rng.normal(float(have)), "noise": rng.normal(), "same": 3.0} for have in known]
    model = fit_evidence_model(table, known)
    weights = dict(zip(model.names, model.weights, strict=True))
    assert weights["tells"] > 5 * abs(weights["noise"])
    assert weights["same"] == pytest.approx(0.0, abs=1e-9)
    assert model.confidence({"tells": 2.0, "noise": 0.0, "same": 3.0}) > 0.7
    assert model.confidence({"tells": -1.0}) < 0.3


def test_classes_count_alike_however_many_there_are() -> None:
    model = fit_evidence_model([{"x": 1.0}] * 5 + [{"x": 0.0}] * 500, [True] * 5 + [False] * 500)
    assert model.confidence({"x": 0.5}) == pytest.approx(0.5, abs=0.05)


def test_signals_that_part_the_classes_cleanly_give_finite_weights() -> None:
    model = fit_evidence_model([{"x": float(i)} for i in range(40)], [i >= 20 for i in range(40)])
    assert all(math.isfinite(weight) for weight in model.weights)
    assert model.confidence({"x": 39.0}) > 0.9


@pytest.mark.parametrize("known", [[True] * 4, [False] * 4])
def test_one_class_alone_is_refused(known: list[bool]) -> None:
    with pytest.raises(ConfigError, match="with an answer and questions without"):
        fit_evidence_model([{"x": 1.0}] * 4, known)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-1e6, 1e6), st.booleans()), min_size=2, max_size=30))
def test_every_fit_is_finite_and_every_confidence_a_share(made: list[tuple[float, float, bool]]) -> None:
    known = [True, *(have for *_, have in made), False]
    table = [{"a": a, "b": b} for a, b, _ in [made[0], *made, made[-1]]]
    model = fit_evidence_model(table, known)
    assert all(0.0 <= model.confidence(row) <= 1.0 for row in table)


def test_weighed_signals_order_held_out_questions_better_than_one_of_them() -> None:
    given_rows, test = halves(rows(200), 0)
    options = FitAbstention("balanced")

    def errors(fitted, some) -> float:
        return max(
            np.mean([row.confidence < fitted.value for row in some if row.answerable]),
            np.mean([row.confidence >= fitted.value for row in some if not row.answerable]),
        )

    both, one = fit_modelled(given_rows, options), fit_threshold(given_rows, options)
    assert errors(both, modelled(test, both)) < errors(one, test)


def test_without_questions_of_both_kinds_only_a_threshold_is_fitted() -> None:
    have = [row for row in rows(30) if row.answerable]
    assert fit_modelled(have, FitAbstention("conformal")).model is None
    bare = [replace(row, signals={}) for row in rows(30)]
    assert fit_modelled(bare, FitAbstention("balanced")) == fit_threshold(bare, FitAbstention("balanced"))


def test_signals_that_tell_no_more_than_the_answerer_are_not_kept() -> None:
    rng = np.random.default_rng(1)
    plain = [replace(row, signals={"noise": rng.normal()}) for row in rows(60)]
    fitted = fit_modelled(plain, FitAbstention("balanced"))
    assert fitted == fit_threshold(plain, FitAbstention("balanced"))
    assert modelled(plain, fitted) == plain


def test_separation_is_the_share_of_pairs_in_the_right_order() -> None:
    made = [
        AnswerRow(str(i), "x", have, have, confidence)
        for i, (have, confidence) in enumerate([(True, 0.9), (True, 0.4), (False, 0.4), (False, 0.1)])
    ]
    assert separation(made) == 3.5 / 4


def test_halves_share_no_cluster() -> None:
    made = [replace(row, cluster=str(i // 4)) for i, row in enumerate(rows(20))]
    one, two = halves(made, 3)
    assert len(one) + len(two) == len(made)
    assert not {row.cluster for row in one} & {row.cluster for row in two}


def test_a_model_is_stored_read_back_and_used_for_extractive_answers(tmp_path) -> None:
    fitted = fit_modelled(rows(60), FitAbstention("balanced"))
    save_abstention(tmp_path, "abc", {"open": fitted})
    assert load_abstention(tmp_path, "abc") == {"open": fitted}
    policy = policy_for(Settings(), tmp_path, "abc")
    assert (policy.evidence_model, policy.min_modelled_confidence) == (fitted.model, fitted.value)
    assert policy.min_confidence == 0.5
    own = Settings.model_validate({"answer": {"abstain_below": 0.1}})
    assert policy_for(own, tmp_path, "abc").evidence_model is None
    worded = Settings.model_validate({"answer": {"generator": "vlm"}, "vlm": {"model": "m"}})
    assert policy_for(worded, tmp_path, "abc").evidence_model is None
    broken = json.loads(json.dumps(asdict(fitted)))
    broken["model"]["weights"] = [1.0]
    with pytest.raises(ConfigError, match="different lengths"):
        EvidenceModel(**broken["model"])


def test_the_model_decides_for_text_and_the_answerer_for_options() -> None:
    model = EvidenceModel(("dense",), (0.5,), (0.1,), (2.0,), 0.0)
    policy = GroundingPolicy(evidence_model=model, min_modelled_confidence=0.6, min_choice_confidence=0.02)
    draft = Draft((DraftClaim(PAGE.text, "p1", PAGE.text),), confidence=0.9)

    weak = ground(QUERY, draft, evidence(0.4, 6.0), LexicalJudge(), policy)
    assert weak.abstained
    assert weak.confidence == pytest.approx(1 / (1 + math.exp(2)))
    assert "needed 0.60" in (weak.reason or "")

    strong = ground(QUERY, replace(draft, confidence=0.1), evidence(0.7, 6.0), LexicalJudge(), policy)
    assert not strong.abstained
    chosen = ground(
        replace(QUERY, options=("a", "b")), replace(draft, choice=0), evidence(0.1, 1.0), LexicalJudge(), policy
    )
    assert chosen.confidence == 0.9
