"""Gathering evidence: the guard, a patient's records, the selector, and the events that explain them. No model."""

import json

import pytest

from pipelines.gathering import Gatherer, GatherOptions
from pipelines.search import SearchResult
from pipelines.timeline import timeline
from rag.leakage import Guard
from rag.routing import DomainRouter
from rag.selection import FixedK
from rag.types import CaseLocator, Dropped, Hit, PageLocator, Passage, Query

PAGE = Passage("page-1", "page", "book", "Effusions blunt the costophrenic angle.", PageLocator(1))
REPORTS = {"r1": (0.0, "Small left pleural effusion."), "r2": (5.0, "Left pleural effusion is unchanged."),
           "r3": (12.0, "No effusion. Right lung is clear.")}  # fmt: skip


def case(record, day, text, patient="p"):
    return Passage(f"case-{record}", "case", "cxr", text, CaseLocator(record, patient, f"s-{record}", day))


RECORDS = [case(record, day, text) for record, (day, text) in REPORTS.items()]
OTHER = case("x1", 3.0, "Large right pleural effusion.", patient="q")


class ScriptedLibrary:
    """A library whose search gives a fixed ranking, with or without a routing decision."""

    def __init__(self, hits, *, dropped=()):
        self.hits, self.dropped, self.asked = list(hits), tuple(dropped), []
        self.found_by_option = self.hits

    def search_timed(self, query, *, k, kinds, withhold=None):
        self.asked.append((query.text, k))
        route = DomainRouter().decide(query, domain=query.domain)
        hits = self.hits if len(self.asked) == 1 else self.found_by_option
        return SearchResult(tuple(hits[:k]), {}, route, self.dropped)

    def history(self, patient, before_day=None):
        class Listing:
            @staticmethod
            def passages(kind):
                return iter(RECORDS)

        return timeline(Listing, patient, before_day)

    def get(self, ids):
        known = {one.id: one for one in (PAGE, OTHER, *RECORDS)}
        return [known[name] for name in ids]


def ranking(*passages):
    return [Hit(passage, 1.0 / rank) for rank, passage in enumerate(passages, start=1)]


def gather(library, query, *, kinds=("page", "case"), **options):
    made = GatherOptions(**{"k": 4, **options})
    return Gatherer(library, FixedK(made.k), made).gather(query, kinds)


def ids(evidence):
    return [hit.passage.id for hit in evidence.hits]


def event(gathered, step):
    return next(one for one in gathered.events if one["step"] == step)


def test_a_patients_records_come_by_look_up_and_only_from_before_the_day():
    library = ScriptedLibrary(ranking(RECORDS[2], PAGE, OTHER))
    found = gather(library, Query(text="effusion?", patient="p", before_day=12))
    assert ids(found.evidence) == ["case-r2", "case-r1", "page-1", "case-x1"]  # the latest record first
    assert [(one.hit.passage.id, one.reason) for one in found.evidence.dropped] == [("case-r3", "same patient")]
    assert event(found, "records") == {"step": "records", "n": 2, "days": [5.0, 0.0], "before_day": 12, "comparing": 1}


def test_a_stale_comparison_carries_its_own_date():
    found = gather(ScriptedLibrary(ranking(PAGE)), Query(text="effusion?", patient="p", before_day=12))
    note = found.evidence.notes["case-r2"]
    assert "day 5, 7 days before now" in note
    assert "day 0, 5 days before this report" in note
    assert "Comparison" not in found.evidence.notes["case-r1"]


def test_a_region_leaves_only_what_speaks_of_it():
    found = gather(ScriptedLibrary([]), Query(text="change?", patient="p", region="left pleura"))
    assert ids(found.evidence) == ["case-r2", "case-r1"]
    right = gather(ScriptedLibrary([]), Query(text="change?", patient="p", region="right lung"))
    assert "case-r1" not in ids(right.evidence)


def test_without_a_patient_nothing_is_looked_up():
    found = gather(ScriptedLibrary(ranking(RECORDS[0], PAGE)), Query(text="effusion?"))
    assert ids(found.evidence) == ["case-r1", "page-1"]
    assert [one["step"] for one in found.events] == ["route", "guard", "select"]
    assert event(found, "guard") == {"step": "guard", "on": False, "withheld": {}}


def test_the_guard_withholds_the_patient_and_looks_deeper_for_others():
    library = ScriptedLibrary(ranking(*RECORDS, OTHER, PAGE))
    found = gather(library, Query(text="effusion?", patient="p"), k=1, guard=Guard())
    assert "case-x1" in ids(found.evidence)
    assert not {"case-r1", "case-r2", "case-r3"} & set(ids(found.evidence))
    assert event(found, "guard") == {"step": "guard", "on": True, "withheld": {"same patient": 3}}
    assert [k for _, k in library.asked] == [3, 6]


def test_all_withheld_means_nothing_is_shown():
    found = gather(ScriptedLibrary(ranking(*RECORDS)), Query(text="effusion?", patient="p"), guard=Guard())
    assert ids(found.evidence) == []
    assert len(found.evidence.dropped) == 3


def test_the_guard_knows_a_question_s_own_study_by_name():
    study = RECORDS[0].locator.study
    found = gather(ScriptedLibrary(ranking(RECORDS[0], OTHER)), Query(text="effusion?", study=study), guard=Guard())
    assert [hit.passage.id for hit in found.evidence.hits] == [OTHER.id]
    assert "same study" in {one.reason for one in found.evidence.dropped}


def test_a_guarded_question_with_a_day_sees_earlier_records_of_its_patient():
    found = gather(ScriptedLibrary(ranking(PAGE)), Query(text="?", patient="p", before_day=5), guard=Guard())
    assert ids(found.evidence) == ["case-r1", "page-1"]


def test_options_bring_new_passages_behind_what_the_question_found():
    library = ScriptedLibrary(ranking(PAGE, OTHER))
    library.found_by_option = ranking(OTHER, PAGE)
    found = gather(library, Query(text="Which?", options=("one", "two")), k=1)
    assert ids(found.evidence) == ["page-1", "case-x1"]
    assert [text for text, _ in library.asked] == ["Which?", "Which? one", "Which? two"]
    assert all(item.hit.passage.id not in ids(found.evidence) for item in found.evidence.dropped)


@pytest.mark.parametrize("depth", [0, 30])
def test_a_calibrated_selector_reads_as_many_hits_as_it_was_fitted_on(depth):
    library = ScriptedLibrary(ranking(PAGE))
    gather(library, Query(text="?"), k=2, depth=depth)
    assert library.asked[0][1] == max(6, depth)


def test_events_hold_no_text_and_are_json():
    found = gather(ScriptedLibrary(ranking(PAGE, OTHER)), Query(text="a secret question", patient="p"))
    written = json.dumps(found.events)
    assert "secret" not in written
    assert "effusion" not in written
    assert '"p"' not in written


def test_what_the_router_left_out_is_kept_with_its_reason():
    left_out = Dropped(Hit(OTHER, 0.1), "domain radiograph, the question is about pathology")
    library = ScriptedLibrary(ranking(PAGE), dropped=[left_out])
    found = gather(library, Query(text="?", domain="pathology"))
    assert left_out in found.evidence.dropped
    assert event(found, "route")["only"] == "pathology"
    assert event(found, "route")["left_out"] == 1
