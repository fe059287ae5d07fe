from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.sentences import content_stems, split_sentences, stem, words

WORDY = st.text(alphabet="abcAB .!?\n•()0123456789“”éµ骨;:-", max_size=200)


def texts(text: str) -> list[str]:
    return [" ".join(sentence.text.split()) for sentence in split_sentences(text)]


@settings(max_examples=60, deadline=None)
@given(WORDY)
def test_every_sentence_is_a_slice_and_they_stand_in_order(text: str) -> None:
    sentences = split_sentences(text)
    assert all(text[s.start : s.end] == s.text for s in sentences)
    assert all(s.text == s.text.strip() != "" for s in sentences)
    assert all(a.end <= b.start for a, b in pairwise(sentences))


@settings(max_examples=60, deadline=None)
@given(WORDY)
def test_no_letter_is_lost(text: str) -> None:
    def letters(piece: str) -> str:
        return "".join(c for c in piece if c.isalnum())

    assert letters("".join(s.text for s in split_sentences(text))) == letters(text)


@pytest.mark.parametrize(
    "text",
    [
        "Dr. Hale saw Fig. 4.3 vs. Fig. 4.4 in the clinic.",
        "The dose is 0.5 mg p.o. twice a day, i.e. 1 mg in all.",
        "E. coli grows at 37.5 degrees (approx. 310 K).",
        "See No. 7 of the series, e.g. Table 2.",
        "Smith et al. Reported this first.",
        "The wall (see Fig. 2) is thin.",
    ],
)
def test_a_stop_inside_a_sentence_does_not_end_it(text: str) -> None:
    assert texts(text) == [text]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("It needs vitamin A. The liver stores it.", 2),
        ("Was it seen? Yes! It was.", 3),
        ("He called it a “little net.” It is one.", 2),
        ("The effect is small.[3] It lasts.", 2),
        ("It rose to 4.5. Later it fell.", 2),
        ("Bones, teeth, etc. The rest is soft.", 2),
    ],
)
def test_a_stop_that_ends_a_sentence_ends_it(text: str, count: int) -> None:
    assert len(texts(text)) == count


WRAPPED = """Joints of the Hand
The joints of the hand are many and small, and each of them has a capsule of its own that
is lined by a membrane. The capsule is thin in front. It is thicker at the sides, where the
ligaments lie.
Ligaments
A ligament joins two bones. It is made of fibres that lie side by side and resist a pull along
their length."""


def test_a_heading_without_full_stop_stands_alone_and_names_what_follows() -> None:
    sentences = split_sentences(WRAPPED)
    assert [s.text for s in sentences if s.kind == "heading"] == ["Joints of the Hand", "Ligaments"]
    assert {s.heading for s in sentences if "ligament joins" in s.text} == {"Ligaments"}


def test_a_sentence_goes_on_over_a_line_break() -> None:
    assert "It is thicker at the sides, where the ligaments lie." in texts(WRAPPED)


def test_a_paragraph_goes_on_over_the_gap_of_a_figure() -> None:
    assert "The valve opens when the pressure rises." in texts("The valve opens when\n\nthe pressure rises.")


def test_list_items_stand_alone_with_or_without_marks() -> None:
    text = "The nurse should:\n• take the pulse\n• weigh the client daily\n1. note the time\nDiuretics\nNitrates"
    assert texts(text)[1:4] == ["• take the pulse", "• weigh the client daily", "1. note the time"]


def test_a_mark_on_a_line_of_its_own_is_no_sentence() -> None:
    assert texts("• \n•\nPulse is taken first.") == ["Pulse is taken first."]


def test_a_caption_starts_anew() -> None:
    wall = "The wall has three coats that differ in their thickness along the vessel"
    text = f"{wall}\nFigure 4.3 Coats The middle coat is thick."
    assert texts(text)[1] == "Figure 4.3 Coats The middle coat is thick."


def test_a_table_row_keeps_its_label() -> None:
    prose = "Strain is common among those who lift and carry, and it is often taken for a tear of the tendon."
    text = (
        f"{prose}\nTable 3.1\nSigns of strain\nSign\nMeaning\nEarly\nswelling\nFluid gathers within the first hour\n"
        "Late pain\nThe tendon has begun to heal in a stretched position"
    )
    rows = texts(text)
    assert "Late pain The tendon has begun to heal in a stretched position" in rows
    assert any(row.startswith("Early swelling Fluid gathers") for row in rows)


def test_an_empty_text_has_no_sentences() -> None:
    assert split_sentences("") == split_sentences(" \n\t\n") == []


@pytest.mark.parametrize(
    "family",
    [
        "lines lined lining",
        "secretes secreted secretion secreting",
        "epithelium epithelia epithelial",
        "bronchus bronchi bronchial",
        "artery arteries arterial",
        "alveolus alveoli alveolar",
        "atrium atria atrial",
        "vertebra vertebrae vertebral",
        "diagnosis diagnoses",
    ],
)
def test_forms_of_one_word_meet(family: str) -> None:
    assert len({stem(word) for word in family.split()}) == 1


@pytest.mark.parametrize(
    "pair", ["hypotension hypertension", "afferent efferent", "systole diastole", "ureter urethra"]
)
def test_different_words_do_not_meet(pair: str) -> None:
    first, second = pair.split()
    assert stem(first) != stem(second)


@given(st.text(alphabet="abdeginostuy", min_size=1, max_size=14))
def test_stemming_twice_changes_nothing(word: str) -> None:
    assert stem(stem(word)) == stem(word)


def test_numbers_stay_whole_and_spelled_numbers_count() -> None:
    assert words("4.5 mg, 1,000 mL and 50%") == ["4.5", "mg", "1,000", "ml", "and", "50%"]
    assert content_stems("eight weeks") == content_stems("8 weeks")


def test_unicode_words_are_words() -> None:
    assert words("Größe µm 骨折") == ["größe", "µm", "骨折"]
