"""The leakage guard: what is withheld from a query and what never is."""

import pytest

from eval.datasets import QueryItem
from eval.leakage import SameOrigin
from rag.types import CaseLocator, PageLocator, Passage, Query


def case(record, patient=None, study=None, images=()):
    return Passage(record, "case", "cxr", "clear lungs", CaseLocator(record, patient, study), images=tuple(images))


def item(patient=None, images=(), **fields):
    return QueryItem(Query(text="opacity", images=tuple(images), patient=patient), "set", **fields)


@pytest.fixture
def guard():
    return SameOrigin()


def test_same_patient_and_same_study_are_withheld(guard):
    assert guard(item("p1"), case("r2", patient="p1")) == "same patient"
    assert guard(item(study="s1"), case("r2", study="s1")) == "same study"
    assert guard(item("p1", study="s1"), case("r3", patient="p2", study="s2")) is None


def test_nothing_is_withheld_from_a_row_that_names_no_origin(guard):
    assert guard(item(), case("r2")) is None
    assert guard(item(), Passage("x", "page", "book", "text", PageLocator(1))) is None


def test_the_same_image_under_another_name_is_withheld(guard, tmp_path):
    for name, content in {"query.png": b"one", "copy.png": b"one", "other.png": b"two"}.items():
        (tmp_path / name).write_bytes(content)
    asked = item(images=[tmp_path / "query.png"])
    assert guard(asked, case("r1", images=[tmp_path / "copy.png"])) == "same image"
    assert guard(asked, case("r2", images=[tmp_path / "other.png"])) is None
    assert guard(asked, case("r3", images=[tmp_path / "gone.png"])) is None


def test_what_the_row_calls_right_is_never_withheld(guard, tmp_path):
    (tmp_path / "a.png").write_bytes(b"one")
    own = case("r1", patient="p1", images=[tmp_path / "a.png"])
    asked = item("p1", [tmp_path / "a.png"], gold=frozenset({("case", "", "r1")}))
    assert guard(asked, own) is None
    assert guard(item("p1", gold_relaxed=frozenset({("case", "cxr", "r1")})), own) is None


def test_a_row_may_exclude_its_own_record_to_find_its_kin(guard):
    asked = item("p1", gold=frozenset({("case", "cxr", "r2")}), exclude=frozenset({("case", "", "r1")}))
    assert guard(asked, case("r1", patient="p1")) == "excluded by the query row"
    assert guard(asked, case("r2", patient="p1")) is None
