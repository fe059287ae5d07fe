"""Choice questions made of cases: what is asked, of whom, and what may not stand beside the right text."""

from pathlib import Path

import pytest

from eval.caption_questions import CaptionOptions, caption_questions
from rag.errors import UsageError
from rag.fingerprint import passage_id
from rag.types import CaseLocator, Passage

TEXTS = ["Granular cell tumour.", "Cataract with haze.", "Left pleural effusion.", "Squamous carcinoma.", "Drusen."]


def case(number, text, patient=None, document="atlas", image=True):
    key = passage_id("e" * 64, "case", f"{document}{number}")
    pictures = (Path(f"/pictures/{number}.png"),) if image else ()
    return Passage(key, "case", document, text, CaseLocator(f"r{number}", patient), pictures)


CASES = [case(n, text, f"p{n}") for n, text in enumerate(TEXTS)]


def test_the_right_text_stands_among_texts_of_other_patients():
    found = caption_questions(CASES)
    assert len(found) == 5
    for question in found:
        row = question.row
        number = int(row["id"].removeprefix("caption-r"))
        assert row["options"][row["answer"]] == TEXTS[number]
        assert len(set(row["options"].values())) == 4
        assert row["patient_id"] == f"p{number}"
        assert row["gold"] == [{"source": "report", "id": f"r{number}"}]
        assert question.image.name == f"{number}.png"


def test_a_text_that_says_the_same_and_a_patient_s_own_are_no_distractors():
    more = [*CASES, case(8, "A granular cell tumour!", "p8"), case(9, "Retinal bleeding.", "p0")]
    for question in caption_questions(more, CaptionOptions(count=20)):
        texts = set(question.row["options"].values())
        assert not {"Granular cell tumour.", "A granular cell tumour!"} <= texts
        if question.row["patient_id"] == "p0":
            assert not {"Granular cell tumour.", "Retinal bleeding."} <= texts


def test_patients_are_asked_about_once_and_collections_in_turn():
    cases = [*CASES, case(7, "Fracture of the rib.", "p1"), *(case(n, TEXTS[n], document="films") for n in range(5))]
    found = caption_questions(cases, CaptionOptions(count=6))
    assert sorted(question.row["set"] for question in found) == ["atlas"] * 3 + ["films"] * 3
    patients = [
        q.row["patient_id"] for q in caption_questions(cases, CaptionOptions(count=99)) if q.row["set"] == "atlas"
    ]
    assert sorted(patients) == [f"p{n}" for n in range(5)]


def test_the_seed_fixes_everything():
    rows = [[q.row for q in caption_questions(CASES, CaptionOptions(seed=seed))] for seed in (1, 1, 2)]
    assert rows[0] == rows[1] != rows[2]


def test_a_corpus_that_gives_no_question_is_refused():
    with pytest.raises(UsageError, match="no question can be made"):
        caption_questions([case(1, "Alone."), case(2, "No image.", image=False)])
