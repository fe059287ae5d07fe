"""Sections of reports in many spellings, and none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge.report_sections import section_text, split_report

CHEST = """EXAM: Chest, two views
INDICATION: Cough and fever.
Evaluate for pneumonia.
COMPARISON: 3 May.
TECHNIQUE: PA and lateral.
FINDINGS:
The lungs are clear.

IMPRESSION:
1. No acute process.
2. Stable nodule.
RECOMMENDATION: None."""


def kinds(text):
    return [(section.kind, text[section.start : section.end]) for section in split_report(text)]


def test_a_full_report_is_split_at_its_headings():
    assert kinds(CHEST) == [
        ("technique", "Chest, two views"),
        ("indication", "Cough and fever.\nEvaluate for pneumonia."),
        ("comparison", "3 May."),
        ("technique", "PA and lateral."),
        ("findings", "The lungs are clear."),
        ("impression", "1. No acute process.\n2. Stable nodule."),
        ("recommendation", "None."),
    ]


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("FINDINGS:", "findings"),
        ("Findings", "findings"),
        ("**Findings:**", "findings"),
        ("## Findings", "findings"),
        ("Findings -", "findings"),
        ("Radiological findings:", "findings"),
        ("FINDINGS/IMPRESSION:", "findings"),
        ("Microscopic description:", "findings"),
        ("Fundus examination:", "findings"),
        ("REPORT:", "findings"),
        ("Impression", "impression"),
        ("IMPRESSION(S):", "impression"),
        ("CONCLUSION:", "impression"),
        ("Final diagnosis:", "impression"),
        ("Opinion:", "impression"),
        ("2. Summary:", "impression"),
        ("Clinical indication:", "indication"),
        ("REASON FOR EXAM:", "indication"),
        ("Reason for the study:", "other"),
        ("Clinical history:", "history"),
        ("History of present illness:", "history"),
        ("PMH:", "history"),
        ("Comparison studies:", "comparison"),
        ("Type of examination:", "technique"),
        ("Specimen:", "technique"),
        ("Plan:", "recommendation"),
    ],
)
def test_headings_in_many_spellings(heading, kind):
    text = f"{heading} something is written here\nFINDINGS: end" if heading.endswith((":", "-", "**")) else None
    text = text or f"{heading}\nsomething is written here\nFINDINGS: end"
    assert split_report(text)[0].kind == kind


def test_a_report_without_headings_is_one_section():
    assert kinds("The heart is normal. There is a history of cough.") == [
        ("other", "The heart is normal. There is a history of cough.")
    ]
    assert kinds("  \n ") == []
    assert kinds("") == []


def test_words_of_a_sentence_are_not_headings():
    text = "The findings: none of note. No history. Impression is good."
    assert [kind for kind, _ in kinds(text)] == ["other"]


def test_headings_inside_a_line_need_a_capital_and_a_colon():
    text = "INDICATION: cough. FINDINGS: clear lungs. IMPRESSION: normal."
    assert kinds(text) == [("indication", "cough."), ("findings", "clear lungs."), ("impression", "normal.")]


def test_an_aside_ends_at_its_line_when_no_heading_announces_the_findings():
    text = "INDICATION: Cough.\nThe heart is enlarged.\nThere is an effusion."
    assert kinds(text) == [("indication", "Cough."), ("other", "The heart is enlarged.\nThere is an effusion.")]


def test_windows_line_ends():
    assert kinds("FINDINGS:\r\nClear.\r\nIMPRESSION:\r\nNormal.\r\n") == [
        ("findings", "Clear."),
        ("impression", "Normal."),
    ]


def test_section_text_joins_parts_of_one_kind():
    text = "FINDINGS: one. IMPRESSION: two. ADDENDUM: three."
    assert section_text(text, "impression") == "two.\nthree."
    assert section_text(text, "findings", "impression") == "one.\ntwo.\nthree."
    assert section_text(text, "comparison") == ""


HEADINGS = ["FINDINGS:", "Impression:", "INDICATION:", "Comparison:", "Technique", "History:", "Lungs:", "Plan:"]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from([*HEADINGS, "\n", "\n\n", "clear.", "No effusion.", "- item", "1.", "É’", " "]), max_size=20
    )
)
def test_sections_are_ordered_trimmed_slices(pieces):
    text = " ".join(pieces)
    end = 0
    for section in split_report(text):
        body = text[section.start : section.end]
        assert end <= section.start < section.end <= len(text)
        assert body == body.strip() != ""
        end = section.end
