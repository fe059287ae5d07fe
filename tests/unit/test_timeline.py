"""Timelines: order, missing and equal days, and that nothing of the future is shown."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import QueryError
from rag.timeline import compared_with, consecutive, in_days, studies_of, timeline
from rag.types import CaseLocator, PageLocator, Passage


def case(record, day=None, *, patient="p", study=None, document="cxr", text="Clear lungs."):
    return Passage(f"{document}-{record}", "case", document, text, CaseLocator(record, patient, study, day))


def days(studies):
    return [study.day for study in studies]


def test_studies_stand_in_order_of_days_and_undated_ones_last():
    passages = [case("c", 9), case("x"), case("a", -3.5), case("b", 0.0), case("n", math.nan)]
    found = timeline(passages, "p")
    assert days(found) == [-3.5, 0.0, 9, None, None]
    assert [study.passages[0].record for study in found[3:]] == ["n", "x"]


def test_only_earlier_days_are_shown_and_not_the_same_day():
    passages = [case("a", 1), case("b", 2), case("c", 3), case("x")]
    assert days(timeline(passages, "p", 2)) == [1, None]
    assert days(timeline(passages, "p", 2, undated=False)) == [1]
    assert timeline(passages, "p", 1, undated=False) == ()


def test_two_studies_of_a_day_stay_two_and_records_of_one_study_meet():
    passages = [case("a", 1, study="s1"), case("b", 1, study="s2"), case("c", 1, study="s1"), case("d", 1)]
    found = timeline(passages, "p")
    assert sorted([one.record for one in study.passages] for study in found) == [["a", "c"], ["b"], ["d"]]


def test_an_undated_record_takes_the_day_of_its_study_only_when_it_has_one():
    one_day = studies_of([case("a", 4, study="s"), case("b", study="s")])
    assert [(study.day, len(study.passages)) for study in one_day] == [(4, 2)]
    two_days = studies_of([case("a", 4, study="s"), case("b", study="s"), case("c", 6, study="s")])
    assert [(study.day, study.passages[0].record) for study in two_days] == [(4, "a"), (6, "c"), (None, "b")]


def test_the_study_asked_about_is_left_out_even_without_a_day():
    passages = [case("a", 1, study="s1"), case("b", study="now")]
    assert [study.study for study in timeline(passages, "p", 5, without_study="now")] == ["s1"]


def test_patients_of_one_name_in_two_documents_are_not_mixed():
    passages = [case("a", 1), case("b", 2, document="other")]
    with pytest.raises(QueryError, match="several documents"):
        timeline(passages, "p")
    assert days(timeline(passages, "p", document="other")) == [2]


def test_other_patients_pages_and_nobodys_cases_are_left_out():
    page = Passage("page", "page", "book", "text", PageLocator(1))
    assert studies_of([page, case("a", 1, patient=None)]) == ()
    assert timeline([case("a", 1, patient="q")], "p") == ()
    with pytest.raises(QueryError, match="not a number"):
        timeline([], "p", math.nan)


def test_a_comparison_speaks_of_the_last_earlier_day_of_the_same_patient():
    found = studies_of([case("a", 1), case("b", 3), case("c", 3), case("d", 5), case("x"), case("q", 4, patient="q")])
    of = {study.passages[0].record: study for study in found}
    assert {one.passages[0].record for one in compared_with(of["d"], found)} == {"b", "c"}
    assert compared_with(of["a"], found) == ()
    assert compared_with(of["x"], found) == ()


def test_pairs_join_every_study_of_a_day_with_those_of_the_next():
    found = studies_of([case("a", 1), case("b", 3), case("c", 3), case("d", 9), case("x"), case("q", 4, patient="q")])
    names = {(prior.passages[0].record, current.passages[0].record) for prior, current in consecutive(found)}
    assert names == {("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")}


def test_spans_in_words():
    assert (in_days(1), in_days(2.5), in_days(14.0)) == ("1 day", "2.5 days", "14 days")


records = st.lists(
    st.tuples(
        st.sampled_from(["p", "q"]),
        st.sampled_from([None, "s1", "s2", "s3"]),
        st.one_of(st.none(), st.integers(-3, 6), st.just(math.nan), st.just(math.inf)),
    ),
    max_size=14,
)


@given(records, st.integers(-3, 7))
def test_no_dated_record_of_now_or_later_is_ever_shown(rows, now):
    passages = [case(f"r{i}", day, patient=patient, study=study) for i, (patient, study, day) in enumerate(rows)]
    shown = {one.id for study in timeline(passages, "p", now) for one in study.passages}
    certain = {one.id for study in timeline(passages, "p", now, undated=False) for one in study.passages}
    for passage in passages:
        place = passage.locator
        finite = place.day is not None and math.isfinite(place.day)
        if place.patient != "p" or (finite and place.day >= now):
            assert passage.id not in shown
        if place.patient == "p" and finite and place.day < now:
            assert passage.id in certain
    assert certain <= shown


@given(records)
def test_every_passage_of_a_patient_is_in_one_study_and_days_never_fall(rows):
    passages = [case(f"r{i}", day, patient=patient, study=study) for i, (patient, study, day) in enumerate(rows)]
    found = timeline(passages, "p")
    ids = [one.id for study in found for one in study.passages]
    assert sorted(ids) == sorted(one.id for one in passages if one.locator.patient == "p")
    dated = [study.day for study in found if study.day is not None]
    assert dated == sorted(dated)
    assert days(found)[: len(dated)] == dated
