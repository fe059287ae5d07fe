"""What came before a study, as evidence: its own earlier report, and pairs of studies of others like this one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from indexers.sources.perceptual import ImageKeys
from pipelines.gathering import Event
from pipelines.timeline import RECORD
from pipelines.writing.reading import CURRENT, PAIR
from rag.errors import ConfigError, QueryError
from rag.fingerprint import digest
from rag.leakage import Guard, Likeness, QueryOrigin, guarded
from rag.pairs import CasePair
from rag.timeline import in_days
from rag.types import CaseLocator, ChannelScore, Evidence, Hit, Passage, Query

if TYPE_CHECKING:
    from pipelines.library import Library

PAIRS = 6
LONGEST = 20_000
"""Characters of a report that is given: more is no report."""


@dataclass(frozen=True, slots=True)
class PriorStudy:
    """The study before: its images, the text of its report, and whose it is."""

    images: tuple[Path, ...] = ()
    report: str = ""
    patient: str | None = None


def with_prior(
    library: Library, query: Query, prior: PriorStudy, evidence: Evidence, *, guard: Guard | None = None
) -> tuple[Evidence, list[Event]]:
    """The evidence with the earlier report in front and similar pairs behind, and what was done about it."""
    events: list[Event] = []
    if prior.report.strip():
        note = (
            "Earlier report of this patient, as it was given; its date is not known. Comparisons in it speak of the "
            "time before it and say nothing about the time since."
        )
        evidence = _in_front(evidence, given_report(prior.report, "prior report", prior.patient), RECORD, note)
        events.append({"step": "prior", "given": True})
    if prior.images and query.images:
        pairs, event = _pairs(library, query, guard)
        events.append(event)
        evidence = _with_pairs(evidence, pairs)
    return evidence, events


def with_current(evidence: Evidence, report: str, patient: str | None) -> Evidence:
    """The evidence with the report on the current study in front, for a comparison of two reports."""
    note = "Report on the current study of this patient, as it was given."
    return _in_front(evidence, given_report(report, "current report", patient), CURRENT, note)


def given_report(text: str, name: str, patient: str | None) -> Passage:
    """A report that the user gave as a passage; it is in no library. Raises QueryError when it is too long."""
    if len(text) > LONGEST:
        raise QueryError(f"the {name} has {len(text)} characters; at most {LONGEST} are read")
    place = CaseLocator(name, patient)
    return Passage(f"given-{digest({'name': name, 'text': text})}", "case", name, text, place)


def _in_front(evidence: Evidence, passage: Passage, channel: str, note: str) -> Evidence:
    hit = Hit(passage, 1.0, {channel: ChannelScore(1, 1.0)})
    return replace(evidence, hits=(hit, *evidence.hits), notes={**evidence.notes, passage.id: note})


def _pairs(library: Library, query: Query, guard: Guard | None) -> tuple[list[CasePair], Event]:
    try:
        found = library.pairs(query, 2 * PAIRS)
    except ConfigError as error:
        # A library without image vectors still writes a report.
        return [], {"step": "pairs", "n": 0, "withheld": {}, "reason": str(error)}
    if guard is None:
        return found[:PAIRS], {"step": "pairs", "n": len(found[:PAIRS]), "withheld": {}}
    keys = ImageKeys()
    origin = QueryOrigin(query.patient, images=keys.of_files((*query.images, *query.prior_images)))
    hits = [Hit(passage, 0.0) for pair in found for passage in (pair.prior, pair.current)]
    clean = guarded(origin, hits, guard, Likeness(keys.of_passage))
    shown = {hit.passage.id for hit in clean.kept}
    kept = [pair for pair in found if {pair.prior.id, pair.current.id} <= shown][:PAIRS]
    return kept, {"step": "pairs", "n": len(kept), "withheld": dict(clean.counts)}


def _with_pairs(evidence: Evidence, pairs: list[CasePair]) -> Evidence:
    """The pairs' current studies; one that was found by its image alone is now known as a pair's."""
    notes = dict(evidence.notes)
    hits = {hit.passage.id: hit for hit in evidence.hits}
    for rank, pair in enumerate(pairs, start=1):
        passage = pair.current
        known = hits.get(passage.id)
        channels = {**(known.channels if known else {}), PAIR: ChannelScore(rank, pair.score)}
        hits[passage.id] = Hit(passage, known.score if known else pair.score, channels)
        notes[passage.id] = (
            f"Report of another patient{_since(pair)}, whose pair of images is like the pair asked about: for "
            "comparison only, its change is not this patient's."
        )
    return replace(evidence, hits=tuple(hits.values()), notes=notes)


def _since(pair: CasePair) -> str:
    now, before = pair.current.locator, pair.prior.locator
    if isinstance(now, CaseLocator) and isinstance(before, CaseLocator) and None not in (now.day, before.day):
        return f", {in_days((now.day or 0.0) - (before.day or 0.0))} after the study before it"
    return ""
