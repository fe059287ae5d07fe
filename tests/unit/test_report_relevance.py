"""Relevance between reports, and what a report says of a region or of a change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge.findings import label_changes, label_report, region_statements, statements
from knowledge.findings.statements import places_of
from knowledge.report_relevance import (
    detail_overlap,
    facts_relevance,
    is_relevant,
    label_agreement,
    relevance,
    report_facts,
)

LEFT = "Small left pleural effusion. No pneumothorax. Cardiomegaly."
SAME = "There is cardiomegaly, with a small effusion on the left. No pneumothorax."
RIGHT = "Large right pleural effusion. No pneumothorax. Cardiomegaly."
OTHER = "Left lower lobe pneumonia. Fracture of the left clavicle."
DENIED = "No effusion. Pneumothorax. Heart size is normal."
NORMAL = "Normal chest radiograph."


def test_relevance_orders_reports_by_what_they_find():
    ordered = [relevance(LEFT, text) for text in (LEFT, SAME, RIGHT, OTHER)]
    assert ordered[0] == ordered[1] == 1.0
    assert ordered[1] > ordered[2] > ordered[3] == 0.0


def test_contradictions_are_not_relevant():
    assert relevance(LEFT, DENIED) == 0.0
    assert 0 < relevance("Effusion.", "Possible effusion.") < 1
    assert relevance("Effusion.", "No effusion.") == 0.0


def test_nothing_said_is_like_nothing():
    assert relevance("", "") == 0.0
    assert relevance(LEFT, "The patient was moved.") == 0.0
    assert relevance(NORMAL, NORMAL) == 1.0


def test_thresholds_of_fact_mm_rag():
    left, same, right, normal, nothing = map(report_facts, (LEFT, SAME, RIGHT, NORMAL, ""))
    assert is_relevant(left, same)
    assert label_agreement(left, right) == 1.0
    assert detail_overlap(left, right) == pytest.approx(2 * 3 / (5 + 5))
    assert is_relevant(left, right)
    assert not is_relevant(left, right, details=0.7)
    assert not is_relevant(left, report_facts(OTHER))
    assert is_relevant(normal, normal)
    assert not is_relevant(nothing, nothing)
    assert label_agreement(nothing, nothing) == 1.0


TEXTS = st.lists(st.sampled_from([*LEFT.split(". "), *OTHER.split(". "), *DENIED.split(". "), NORMAL]), max_size=4)


@given(TEXTS, TEXTS)
def test_relevance_is_symmetric_and_in_range(a, b):
    first, second = report_facts(". ".join(a) + "."), report_facts(". ".join(b) + ".")
    value = facts_relevance(first, second)
    assert 0.0 <= value <= 1.0
    assert value == facts_relevance(second, first)
    assert facts_relevance(first, first) == (1.0 if first.labels else 0.0)


RECORD = (
    "INDICATION: left lower lobe pneumonia?\nFINDINGS: New consolidation in the left lower lobe. "
    "Right pleural effusion is unchanged. The heart is enlarged. Weather was fine."
)


def test_statements_say_where_they_stand_and_whether_they_compare():
    found = statements(RECORD)
    assert [RECORD[one.start : one.end] == one.text for one in found] == [True] * 3
    assert [one.comparative for one in found] == [True, True, False]
    assert found[0].places == {"left", "lower"}
    assert found[2].places == {"heart"}


def test_region_record_keeps_what_is_tied_to_the_region():
    assert [one.text for one in region_statements(RECORD, "left lower lung zone")] == [
        "New consolidation in the left lower lobe."
    ]
    assert [one.findings[0].label for one in region_statements(RECORD, "right pleura")] == ["Pleural Effusion"]
    assert len(region_statements(RECORD, "chest")) == 3
    assert region_statements("", "left lung") == ()
    assert places_of("both lung bases") == {"left", "right", "lower"}


def test_changes_between_two_reports():
    prior = label_report("No pneumothorax. Large left effusion. Cardiomegaly.")
    current = label_report("Pneumothorax on the left. Effusion has resolved. Cardiomegaly is unchanged. New nodule.")
    changes = {one.label: one for one in label_changes(prior, current)}
    assert (changes["Pneumothorax"].observed, changes["Pneumothorax"].laterality) == ("new", "left")
    assert (changes["Pleural Effusion"].observed, changes["Pleural Effusion"].stated) == ("resolved", "resolved")
    assert (changes["Cardiomegaly"].observed, changes["Cardiomegaly"].stated) == (None, "unchanged")
    # The prior report does not mention a nodule: the change is what the report says, not what we saw.
    assert (changes["Lung Lesion"].observed, changes["Lung Lesion"].stated) == (None, "new")
    assert label_changes((), label_report("Effusion.")) == ()
