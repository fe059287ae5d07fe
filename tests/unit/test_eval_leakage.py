"""The leakage guard: what is withheld from a query and what never is."""

import pytest
from PIL import Image

from eval.datasets import QueryItem
from eval.leakage import SameOrigin
from indexers.sources.perceptual import image_key
from rag.leakage import Guard
from rag.types import CaseLocator, ChannelScore, Hit, PageLocator, Passage, Query


def case(record, patient=None, study=None, images=()):
    return Passage(record, "case", "cxr", "clear lungs", CaseLocator(record, patient, study), images=tuple(images))


def item(patient=None, images=(), **fields):
    return QueryItem(Query(text="opacity", images=tuple(images), patient=patient), "set", **fields)


@pytest.fixture
def guard():
    return SameOrigin()


def reason(guard, item, passage):
    dropped = guard(item, [Hit(passage, 1.0)]).dropped
    return dropped[0].reason if dropped else None


def test_same_patient_and_same_study_are_withheld(guard):
    assert reason(guard, item("p1"), case("r2", patient="p1")) == "same patient"
    assert reason(guard, item(study="s1"), case("r2", study="s1")) == "same study"
    assert reason(guard, item("p1", study="s1"), case("r3", patient="p2", study="s2")) is None


def test_nothing_is_withheld_from_a_row_that_names_no_origin(guard):
    assert reason(guard, item(), case("r2")) is None
    assert reason(guard, item(), Passage("x", "page", "book", "text", PageLocator(1))) is None


def test_the_same_image_under_another_name_is_withheld(guard, tmp_path):
    for name, content in {"query.png": b"one", "copy.png": b"one", "other.png": b"two"}.items():
        (tmp_path / name).write_bytes(content)
    asked = item(images=[tmp_path / "query.png"])
    assert reason(guard, asked, case("r1", images=[tmp_path / "copy.png"])) == "same image"
    assert reason(guard, asked, case("r2", images=[tmp_path / "other.png"])) is None
    assert reason(guard, asked, case("r3", images=[tmp_path / "gone.png"])) is None


def test_what_the_row_calls_right_is_never_withheld(guard, tmp_path):
    (tmp_path / "a.png").write_bytes(b"one")
    own = case("r1", patient="p1", images=[tmp_path / "a.png"])
    asked = item("p1", [tmp_path / "a.png"], gold=frozenset({("case", "", "r1")}))
    assert reason(guard, asked, own) is None
    assert reason(guard, item("p1", gold_relaxed=frozenset({("case", "cxr", "r1")})), own) is None


def test_a_row_may_exclude_its_own_record_to_find_its_kin(guard):
    asked = item("p1", gold=frozenset({("case", "cxr", "r2")}), exclude=frozenset({("case", "", "r1")}))
    assert reason(guard, asked, case("r1", patient="p1")) == "excluded by the query row"
    assert reason(guard, asked, case("r2", patient="p1")) is None


def test_hits_are_judged_together_and_counted_by_reason(guard, tmp_path):
    (tmp_path / "q.png").write_bytes(b"one")
    named, barred, own, kin, other = (
        case("r1", "p1", images=[tmp_path / "q.png"]),
        case("r2", "p1"),
        case("r3", "p9"),
        case("r4", "p1"),
        case("r5", "p2"),
    )
    asked = item(
        "p9",
        [tmp_path / "q.png"],
        gold=frozenset({("case", "", "r1")}),
        exclude=frozenset({("case", "", "r2")}),
    )
    result = guard(asked, [Hit(one, 1.0) for one in (barred, kin, named, own, other)])
    assert [hit.passage.id for hit in result.kept] == ["r1", "r5"]
    # The right answer holds the query's image, so the row's patient p9 is p1 in this library, too.
    assert [one.reason for one in result.dropped] == ["excluded by the query row", "same patient", "same patient"]
    assert result.counts == {"excluded by the query row": 1, "same patient": 2}


def test_the_vector_that_found_an_image_tells_a_copy(tmp_path):
    (tmp_path / "q.png").write_bytes(b"one")

    def found(name, cosine):
        passage = case(name, images=[tmp_path / f"{name}.png"])
        return Hit(passage, 1.0, {"image": ChannelScore(1, cosine)})

    hits = [found("r1", 0.97), found("r2", 0.5)]
    rules = SameOrigin(Guard(cosine=0.95))
    assert [hit.passage.id for hit in rules(item(images=[tmp_path / "q.png"]), hits).kept] == ["r2"]
    assert len(rules(item(), hits).kept) == 2


def test_when_all_are_withheld_nothing_is_left(guard):
    result = guard(item("p1"), [Hit(case(f"r{n}", patient="p1"), 1.0) for n in range(3)])
    assert result.kept == ()
    assert result.counts == {"same patient": 3}


def test_the_stored_hash_of_an_image_serves_without_its_file(guard, tmp_path):
    Image.effect_noise((64, 64), 90).save(tmp_path / "query.png")
    key = image_key(tmp_path / "query.png")
    there = Passage("r1", "case", "cxr", "x", CaseLocator("r1"), (tmp_path / "gone.png",), {"phash": key})
    assert reason(guard, item(images=[tmp_path / "query.png"]), there) == "same image"
