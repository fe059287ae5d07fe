"""Questions of two parts: how they are made, and how a strategy's evidence for them is compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.multipart import (
    MultipartOptions,
    MultipartQuestion,
    SingleQuestion,
    StrategyRun,
    asked,
    compare,
    joined,
    mean_searches,
    multipart_questions,
    part_recall,
    single_questions,
)
from rag.agent.planner import Planner
from rag.errors import ConfigError
from rag.generators.question import split_question
from rag.rows import Row
from rag.types import Hit, PageLocator, Passage, Query


def row(name, text, *pages, book="b", **more):
    gold = [{"source": "page", "book": book, "page": page} for page in pages]
    return Row(1, {"id": name, "text": text, "gold": gold, **more})


def hit(page, kind="page"):
    return Hit(Passage(f"{kind}-{page}", kind, "b", "text", PageLocator(page)), 1.0)


def test_only_rows_that_can_be_a_part_are_taken():
    rows = [
        row("ok", "What is a nephron?", 3, 4), row("no gold", "What?"), row("image", "What?", 3, image="x.png"),
        row("choice", "Which?", 3, options=["a"]), row("long", "word " * 61, 3), Row(6, {}, "not JSON"),
        Row(7, {"id": "two", "text": "What?", "gold": [{"source": "page", "book": "a", "page": 1},
                                                      {"source": "page", "book": "b", "page": 1}]}),
        Row(8, {"id": "case", "text": "What?", "gold": [{"source": "report", "id": "r"}]}),
    ]  # fmt: skip
    [one] = single_questions(rows)
    assert (one.id, one.pages, one.book) == ("ok", (3, 4), "b")
    assert single_questions(rows, books=["other"]) == []


def test_parts_lie_apart_in_one_book_and_serve_once():
    rows = [row(f"q{page}", f"What is thing {page}?", page, book="ab"[page % 2]) for page in range(1, 41)]
    made = multipart_questions(single_questions(rows), MultipartOptions(count=15, apart=8))
    assert len(made) == 15
    used = [name for one in made for name in one.id.split(" + ")]
    assert len(used) == len(set(used))
    for one in made:
        [(first,), (second,)] = map(tuple, one.parts)
        assert first[1] == second[1]
        assert abs(int(first[2]) - int(second[2])) >= 8
    assert made == multipart_questions(single_questions(rows[::-1]), MultipartOptions(count=15, apart=8))


def test_a_definition_is_quoted_and_a_question_stands():
    assert asked("What is a nephron?") == "What is a nephron?"
    assert asked('the "unit" of the kidney.') == "Which term or figure does \"the 'unit' of the kidney\" describe?"


@pytest.mark.parametrize("wording", [0, 1, 2])
def test_the_planner_tells_the_parts_apart_in_every_wording(wording):
    text = joined(
        "force to overcome; is raised in hypertension, which thickens the wall", "Which cells line it?", wording
    )
    assert len(Planner(split_question).parts(Query(text=text))) == 2


def test_recall_counts_parts_and_figures_count_as_their_page():
    parts = (frozenset({("page", "b", "3"), ("page", "b", "4")}), frozenset({("page", "b", "20")}))
    question = MultipartQuestion("x", "?", parts)
    assert part_recall([hit(3), hit(4), hit(9)], question, 3) == 0.5
    assert part_recall([hit(3), hit(20, "figure")], question, 2) == 1.0
    # k counts passages: a page and its figure take two places.
    assert part_recall([hit(3), hit(3, "figure"), hit(20)], question, 2) == 0.5
    assert part_recall([], question, 2) == 0.0


def test_strategies_are_compared_on_the_same_questions():
    question = MultipartQuestion("x", "?", (frozenset({("page", "b", "3")}), frozenset({("page", "b", "20")})))
    base = StrategyRun("single", [[hit(3)]] * 10, [1] * 10)
    other = StrategyRun("agent", [[hit(3), hit(20)]] * 9 + [[]], [3] * 10)
    [row_] = compare([question] * 10, base, other, (2,))
    assert (row_.base.value, row_.other.value, row_.wins, row_.losses) == (0.5, 0.9, 9, 1)
    assert row_.difference.value == pytest.approx(0.4)
    assert row_.difference.low <= 0.4 <= row_.difference.high
    assert mean_searches(other).value == 3


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 3))
def test_any_options_give_parts_that_share_no_page(count, apart, seed):
    singles = [
        SingleQuestion(f"q{n}", f"What is {n}?", frozenset({("page", "b", str(n))}), "b", (n, n)) for n in range(1, 25)
    ]
    made = multipart_questions(singles, MultipartOptions(count=count, apart=apart, seed=seed))
    assert len(made) <= count
    assert all(not one.parts[0] & one.parts[1] for one in made)


def test_impossible_options_are_refused():
    with pytest.raises(ConfigError):
        MultipartOptions(count=0)
