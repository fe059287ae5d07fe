"""The benchmarks of multiple choice: questions made from a glossary, and the paired test."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.choice_evidence import paired, sign_test
from benchmarks.glossary_choice import distractors, questions

TERMS = ["alveolus", "simple alveolus", "bronchus", "larynx", "pleura", "trachea"]


def definition(term, section="22.1", book="lungs"):
    return {"id": f"{book}/{term}", "book": book, "question": f"meaning of the {term}", "answer_text": term,
            "gold_section": section, "gold_pages": [3]}  # fmt: skip


GLOSSARY = [definition(term) for term in TERMS]


def test_each_question_has_its_own_answer_among_four_of_one_chapter() -> None:
    made = questions([*GLOSSARY, definition("nephron", "25.1")])
    # A chapter of one definition makes no question.
    assert [row["id"] for row in made] == [row["id"] for row in GLOSSARY]
    for row, source in zip(made, GLOSSARY, strict=True):
        shown = "answer_text" if row["form"] == "term" else "question"
        assert row["options"][row["answer"]] == source[shown]
        assert len(set(row["options"].values())) == 4
        asked = "question" if row["form"] == "term" else "answer_text"
        assert source[asked] in row["question"]


def test_the_questions_never_change_and_do_not_hang_on_the_order() -> None:
    assert questions(GLOSSARY) == questions(GLOSSARY)
    backwards = questions(GLOSSARY[::-1])
    assert sorted(backwards, key=str) == sorted(questions(GLOSSARY), key=str)


def test_a_term_within_the_answer_is_no_distractor() -> None:
    names = {row["answer_text"] for row in distractors(GLOSSARY[0], GLOSSARY)}
    assert len(names) == 3
    assert not names & {"alveolus", "simple alveolus"}


def test_distractors_of_the_section_come_first() -> None:
    far = [definition(term, "22.2") for term in ("diaphragm", "hilum", "carina")]
    names = {row["answer_text"] for row in distractors(GLOSSARY[2], [*far, *GLOSSARY])}
    assert names <= set(TERMS)


@pytest.mark.parametrize(("better", "worse", "p"), [(0, 0, 1.0), (5, 5, 1.0), (0, 6, 2 / 64), (1, 8, 20 / 512)])
def test_the_sign_test_is_exact(better: int, worse: int, p: float) -> None:
    assert sign_test(better, worse) == pytest.approx(p)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_sign_test_does_not_know_which_arm_is_which(better: int, worse: int) -> None:
    assert sign_test(better, worse) == sign_test(worse, better)
    assert 0 < sign_test(better, worse) <= 1


def test_arms_are_compared_on_the_same_questions() -> None:
    found = paired({"full": [1, 1, 0, 0.25], "late": [1, 0, 1, 0.25], "none": [0.25] * 4})
    assert found["late"] == {"better": 1, "worse": 1, "p": 1.0}
    assert found["none"]["better"] == 2
    assert paired({"late": [1.0]}) == {}
