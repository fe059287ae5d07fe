"""A patient's earlier reports as evidence: look-up in a store, whole and by region, dates, and stale comparisons."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexers.stores.memory import MemoryStore
from pipelines.timeline import (
    changes,
    evidence_blocks,
    global_record,
    patient_passages,
    record_hits,
    region_record,
    timeline,
)
from rag.types import CaseLocator, Passage, Point, SparseVector, VectorSpec

REPORTS = {
    "r1": (0.0, "Small left pleural effusion. Right lung is clear."),
    "r2": (5.0, "Left pleural effusion is unchanged. New right lower lobe consolidation."),
    "r3": (12.0, "Left pleural effusion has resolved. No consolidation."),
}


def case(record, day=None, text="Clear lungs.", *, patient="p"):
    number = sum(ord(letter) * 31**place for place, letter in enumerate(f"{patient}/{record}")) % 10**12
    return Passage(
        f"00000000-0000-0000-0000-{number:012d}", "case", "cxr", text, CaseLocator(record, patient, None, day)
    )


def history(**more):
    return [case(record, day, text) for record, (day, text) in (REPORTS | more).items()]


def store_of(passages, *, sparse_only=False):
    terms = VectorSpec("terms", "sparse")
    specs = (terms,) if sparse_only else (VectorSpec("dense", "dense", 4), VectorSpec("image", "multi", 3), terms)
    store = MemoryStore({"case": specs})
    for place, passage in enumerate(passages):
        vectors = {"terms": SparseVector((place,), (1.0,))}
        if not sparse_only:
            # Half of them have a text vector, half an image vector.
            name, dim = (("dense", 4), ("image", 3))[place % 2]
            vectors[name] = -np.eye(1, dim, dtype=np.float32)
        store.upsert([Point(passage, vectors)])
    return store


@pytest.mark.parametrize("sparse_only", [False, True])
def test_a_store_gives_every_passage_of_the_patient_whatever_vectors_it_has(sparse_only):
    passages = [*history(), case("x"), case("r1", 2, patient="q")]
    store = store_of(passages, sparse_only=sparse_only)
    own = sorted(one.id for one in passages if one.locator.patient == "p")
    assert [one.id for one in patient_passages(store, "p")] == own
    assert patient_passages(store, "nobody") == []
    assert [study.day for study in timeline(store, "p", 12)] == [0.0, 5.0, None]
    assert patient_passages(MemoryStore({"case": ()}), "p") == []


def test_a_library_is_read_through_its_passages():
    class Shelf:
        def passages(self, kind):
            yield from history() if kind == "case" else []

    assert [study.day for study in timeline(Shelf(), "p", 5)] == [0.0]


def test_the_global_record_holds_whole_reports_latest_first():
    entries = global_record(timeline(store_of([*history(), case("x", None, "Cardiomegaly.")]), "p", 12))
    assert [entry.passage.record for entry in entries] == ["r2", "r1", "x"]
    assert entries[0].text == REPORTS["r2"][1]
    assert [one.text for one in entries[0].comparative] == [
        "Left pleural effusion is unchanged.",
        "New right lower lobe consolidation.",
    ]


def test_the_region_record_holds_only_statements_of_the_region():
    entries = region_record(timeline(store_of(history()), "p", 12), "right lower lung zone")
    assert [entry.text for entry in entries] == ["New right lower lobe consolidation."]
    entry = entries[0]
    assert entry.passage.text[entry.start : entry.end] == entry.text


def test_blocks_are_dated_and_say_what_an_old_comparison_compares_with():
    blocks = evidence_blocks(global_record(timeline(store_of(history()), "p", 12)), now=12)
    assert blocks[0].heading == "Earlier report, record r2, day 5, 7 days before now"
    assert '"Left pleural effusion is unchanged."' in blocks[0].warning
    assert "day 0, 5 days before this report" in blocks[0].warning
    assert blocks[1].warning == ""
    assert str(blocks[1]) == "Earlier report, record r1, day 0, 12 days before now\n" + REPORTS["r1"][1]


def test_comparisons_without_a_known_reference_say_so():
    first, undated = case("a", 3, "Effusion is unchanged."), case("b", None, "Effusion is unchanged.")
    studies = timeline(store_of([first, undated]), "p", 9)
    blocks = evidence_blocks(global_record(studies), now=9)
    assert [block.entry.passage.record for block in blocks] == ["a", "b"]
    assert all("a study of unknown date" in block.warning for block in blocks)
    assert blocks[1].heading.startswith("Report of unknown date")


def test_blocks_refuse_a_record_of_the_future():
    with pytest.raises(ValueError, match="record r3 is of day 12"):
        evidence_blocks(global_record(timeline(store_of(history()), "p")), now=12)


def test_image_only_studies_have_no_record(tmp_path):
    silent = Passage("silent", "case", "cxr", "", CaseLocator("i", "p", None, 1.0), images=(tmp_path / "x.png",))

    class Shelf:
        def passages(self, kind):
            yield silent

    studies = timeline(Shelf(), "p")
    assert len(studies) == 1
    assert global_record(studies) == ()
    assert region_record(studies, "left") == ()


def test_blocks_become_hits_once_per_report_in_their_order():
    studies = timeline(store_of(history()), "p", 12)
    blocks = evidence_blocks((*region_record(studies, "left"), *global_record(studies)), now=12)
    hits = record_hits(blocks)
    assert len(blocks) > len(hits)
    assert [hit.passage.record for hit in hits] == ["r2", "r1"]
    assert [hit.channels["record"].rank for hit in hits] == [1, 2]
    assert hits[0].score > hits[1].score


def test_changes_between_consecutive_studies():
    found = changes(timeline(store_of(history()), "p"))
    moved = [(one.prior.day, one.current.day, {c.label: c.observed or c.stated for c in one.changes}) for one in found]
    assert moved[0][:2] == (0.0, 5.0)
    assert moved[0][2]["Pleural Effusion"] == "unchanged"
    assert moved[1][:2] == (5.0, 12.0)
    assert moved[1][2]["Pleural Effusion"] == "resolved"
    assert moved[1][2]["Consolidation"] == "resolved"


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=10),
    st.integers(0, 9),
    st.sampled_from(["left", "right lower lung zone", "heart"]),
)
def test_no_word_of_the_future_reaches_a_block(days, now, region):
    passages = [case(f"r{i}", day, f"Left effusion number {i} is unchanged.") for i, day in enumerate(days)]
    studies = timeline(store_of(passages), "p", now, undated=False)
    blocks = evidence_blocks((*global_record(studies), *region_record(studies, region)), now=now)
    shown = "\n".join(map(str, blocks))
    for i, day in enumerate(days):
        earlier = day is not None and day < now
        assert (f"number {i} is" in shown) == earlier
