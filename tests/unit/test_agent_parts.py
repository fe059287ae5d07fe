"""The parts of the loop: state, budget, repeated queries, sufficiency, actions and how replies are read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.agent.actions import MOST_QUERY, Allowed, Refused, action_schema, allowed_actions, read_action
from rag.agent.budget import Budget
from rag.agent.duplicates import normalised, repeats
from rag.agent.parsing import read_object
from rag.agent.state import AgentState, LoggedQuery, Spent, SubQuestion
from rag.agent.sufficiency import settled, sufficiency
from rag.chat import Deadline
from rag.errors import ConfigError

ALLOWED = Allowed(("search_pages", "look_closer", "answer", "abstain"), ("S1", "S2"), ("E1", "E2"), ("Q1",))
PARTS = (SubQuestion("S1", "What is afterload?"), SubQuestion("S2", "Which side is larger?", ("side",)))


def asked(text, kinds=("page",), outcome="found", **more):
    return LoggedQuery(1, "rule", "S1", kinds, text, outcome=outcome, **more)


# state


def test_a_state_survives_json():
    state = AgentState("q", PARTS, (asked("a", found=(("p", 0.5),), filters=(("document", ("x",)),)),))
    state = state.pooled(["p"]).graded("S1", {"p": 2}, {"p": ("number",)}).counted(steps=1).branched("parsed")
    assert AgentState.from_json(json.loads(json.dumps(state.as_json()))) == state


def test_the_pool_only_grows_and_labels_stay():
    state = AgentState("q").pooled(["a", "b"]).pooled(["b", "c", "c"])
    assert [(one.passage_id, one.label) for one in state.pool] == [("a", "E1"), ("b", "E2"), ("c", "E3")]
    graded = state.graded("S1", {"a": 3}, {}).graded("S1", {"a": 1}, {})
    assert graded.pool[0].serves == {"S1": 3}


def test_counters_never_go_down():
    with pytest.raises(ValueError, match="only rise"):
        AgentState("q").counted(searches=-1)


# budget


def test_a_budget_says_which_limit_was_reached():
    clock = iter([0.0, 1.0, 1.0, 1.0, 99.0]).__next__
    deadline = Deadline.after(30, clock)
    budget = Budget(steps=2, searches=3)
    assert budget.reached(Spent(), deadline) is None
    assert budget.reached(Spent(steps=2), deadline) == "steps"
    assert budget.reached(Spent(searches=3), deadline) == "searches"
    assert budget.reached(Spent(), deadline) == "deadline"


@pytest.mark.parametrize("wrong", [{"steps": -1}, {"searches": 0}, {"seconds": 0}, {"seconds": float("nan")}])
def test_an_impossible_budget_is_refused(wrong):
    with pytest.raises(ConfigError):
        Budget(**wrong)


# repeated queries


@pytest.mark.parametrize(
    ("again", "like"),
    [
        ("What is AFTERLOAD, of the ventricle?", "exact"),
        ("What is the afterload of ventricles?", "words"),
        ("What is the afterload of the atrium in a failing heart?", None),
    ],
)
def test_a_query_is_told_from_its_repeats(again, like):
    assert repeats(asked(again), [asked("what is afterload of the ventricle")]) == like


def test_opposites_and_numbers_are_no_repeats():
    long = "which signs of {} sided heart failure are seen in the legs and the lungs of patients at night"
    assert repeats(asked(long.format("left")), [asked(long.format("right"))]) is None
    dose = "dose of the drug in week {} of a long treatment plan for patients with chest pain"
    assert repeats(asked(dose.format(2)), [asked(dose.format(3))]) is None


def test_another_kind_filter_or_image_is_another_query():
    before = [asked("afterload")]
    assert repeats(asked("afterload", kinds=("case",)), before) is None
    assert repeats(asked("afterload", filters=(("document", ("x",)),)), before) is None
    assert repeats(asked("afterload", images=("abc",)), before) is None
    assert repeats(asked("afterload"), [asked("afterload", outcome="failed")]) is None


def test_the_same_meaning_in_other_words_is_a_repeat():
    import numpy as np

    def embed(texts):
        rows = [[1.0, 0.0] if "heart" in text or "cardiac" in text else [0.0, 1.0] for text in texts]
        return np.array(rows, np.float32)

    assert repeats(asked("cardiac output"), [asked("blood pumped by the heart")], embed) == "meaning"
    assert repeats(asked("renal clearance"), [asked("blood pumped by the heart")], embed) is None


@given(st.text(max_size=80))
def test_every_query_repeats_itself_once_it_has_words(text):
    assert repeats(asked(text), [asked(text)]) == "exact"
    assert normalised(text) == normalised(f"  {text}?! ")


# sufficiency


def test_a_part_is_answered_by_grade_two_with_its_slots():
    state = AgentState("q", PARTS).pooled(["a", "b"]).graded("S1", {"a": 2}, {}).graded("S2", {"b": 1}, {})
    assert sufficiency(state).open == ("S2",)
    state = state.graded("S2", {"b": 3}, {})
    assert sufficiency(state).missing == (("S2", "side"),)
    assert [part.status for part in settled(state).parts] == ["answered", "open"]
    assert sufficiency(state.graded("S2", {"b": 3}, {"b": ("side",)})).holds


# actions


def test_the_schema_thinks_first_and_names_only_what_was_shown():
    schema = action_schema(ALLOWED)
    assert list(schema["properties"])[:2] == ["reason", "action"]
    assert schema["properties"]["evidence"]["items"]["enum"] == ["E1", "E2"]
    bare = action_schema(Allowed(("search_pages", "answer"), ("S1",)))
    assert {"evidence", "target", "box", "region"}.isdisjoint(bare["properties"])


def test_actions_fit_the_question():
    assert allowed_actions(("page",), patient=False, images=False) == ("search_pages", "answer", "abstain")
    assert "patient_timeline" in allowed_actions(("case",), patient=True, images=True)


def test_an_action_is_read_and_unseen_labels_are_left_out():
    action = read_action({"reason": "r", "action": "answer", "evidence": ["E2", "E99", 7, "E2"]}, ALLOWED)
    assert (action.name, action.evidence, action.part) == ("answer", ("E2",), "S1")


@pytest.mark.parametrize(
    "data",
    [
        {"action": "run_code"}, {"action": "search_cases", "query": "x"}, {"action": "search_pages"},
        {"action": "search_pages", "query": "x" * (MOST_QUERY + 1)}, {"action": "search_pages", "query": 7},
        {"action": "search_pages", "query": "x", "part": "S9"}, {"reason": "r"},
        {"action": "look_closer", "target": "Q2", "box": [0, 0, 1, 1]},
        {"action": "look_closer", "target": "Q1", "box": [0, 0, float("nan"), 1]},
        {"action": "look_closer", "target": "Q1", "box": [0.5, 0, 0.4, 1]},
        {"action": "look_closer", "target": "Q1", "box": [0, 0, 10**400, 1]},
        {"action": "look_closer", "target": "Q1", "box": "all"},
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_refused(data):
    with pytest.raises(Refused):
        read_action(data, ALLOWED)


# reading replies


@pytest.mark.parametrize(
    ("text", "data", "how"),
    [
        ('{"a": 1}', {"a": 1}, "parsed"),
        ('Sure:\n```json\n{"a": "x}y"}\n``` done', {"a": "x}y"}, "salvaged"),
        ('{"a": "x", "b": ["E1", "E2"', {"a": "x", "b": ["E1", "E2"]}, "salvaged"),
        ('{"a": "x", "b": "cut of', {"a": "x"}, "salvaged"),
        ('{"a": "q\\"uo', None, None),
        ("no object", None, None),
        ("[1, 2]", None, None),
        ("[" * 100_000, None, None),
    ],
)
def test_the_largest_valid_prefix_is_read(text, data, how):
    found = read_object(text)
    assert (None if found is None else (found.data, found.how)) == (None if data is None else (data, how))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), JSON, min_size=1, max_size=5), st.integers(0, 10_000))
def test_a_reply_cut_anywhere_keeps_fields_it_had_finished(data, cut):
    text = json.dumps(data)
    found = read_object(text[: cut % (len(text) + 1)])
    if found is not None:
        last = list(found.data)[-1] if found.data else None
        assert list(found.data) == list(data)[: len(found.data)]
        assert all(found.data[name] == data[name] for name in found.data if name != last)


@given(st.text())
def test_reading_never_fails(text):
    found = read_object(text)
    assert found is None or isinstance(found.data, dict)
