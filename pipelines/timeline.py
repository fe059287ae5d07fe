"""A patient's history as evidence: keyed look-up of earlier reports, whole or for one region, each with its date.

MAG (Mu et al., 2025, https://arxiv.org/abs/2502.11651) shows a model the patient's earlier report (global record) or
its sentences about the asked region (region record). It is no similarity search. Its authors show the trap: an old
"unchanged" speaks of an older interval and drags answers along, so every block here says when it was written, and with
what its comparisons compare.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from knowledge.findings import Finding, Statement, label_changes, label_report, region_statements, statements
from knowledge.findings.statements import LabelChange
from rag.protocols import Store
from rag.timeline import Study, compared_with, consecutive, in_days
from rag.timeline import timeline as in_order
from rag.types import ChannelScore, Hit, Kind, Passage

RECORD = "record"
"""The channel of hits that were looked up by patient, not searched for."""


class Cases(Protocol):
    """What can list its passages, such as a library."""

    def passages(self, kind: Kind) -> Iterator[Passage]: ...


@dataclass(frozen=True, slots=True)
class RecordEntry:
    """A stretch of an earlier report: `text` is the passage's `[start:end]`, and what it says of findings.

    `comparative` holds the statements that speak of a change, "unchanged" included; `compared_with` the studies that
    they most likely speak of, none when the history has none.
    """

    study: Study
    passage: Passage
    start: int
    end: int
    statements: tuple[Statement, ...]
    compared_with: tuple[Study, ...]

    @property
    def text(self) -> str:
        """The words of the report."""
        return self.passage.text[self.start : self.end]

    @property
    def comparative(self) -> tuple[Statement, ...]:
        """The statements that compare with an earlier study."""
        return tuple(one for one in self.statements if one.comparative)


@dataclass(frozen=True, slots=True)
class EvidenceBlock:
    """A record entry as it is put before a model: a heading with its date, the report's words, and a warning.

    `warning` is empty unless the words compare with an earlier study. Only `text` may be quoted.
    """

    entry: RecordEntry
    heading: str
    text: str
    warning: str

    def __str__(self) -> str:
        """The block as lines of a prompt."""
        return "\n".join(line for line in (self.heading, self.text, self.warning) if line)


@dataclass(frozen=True, slots=True)
class StudyChange:
    """How findings moved between two studies on consecutive days, by what their reports say."""

    prior: Study
    current: Study
    changes: tuple[LabelChange, ...]


def timeline(
    source: Store | Cases,
    patient: str,
    before_day: float | None = None,
    *,
    document: str | None = None,
    undated: bool = True,
    without_study: str | None = None,
) -> tuple[Study, ...]:
    """One patient's studies in a store or a library, earliest first, undated ones last; see `rag.timeline.timeline`.

    Raises:
        QueryError: several documents have a patient of this name, and none is chosen; or the day is not a number.
    """
    passages = patient_passages(source, patient)
    return in_order(passages, patient, before_day, document=document, undated=undated, without_study=without_study)


def patient_passages(source: Store | Cases, patient: str) -> list[Passage]:
    """Every case passage of a patient, by id ascending.

    A store is asked by its index of patients, through each dense channel with an arbitrary vector, as the protocol has
    no look-up without one: a passage is found by any vector it has. Without such channels everything is read.
    """
    if not isinstance(source, Store):
        return [one for one in source.passages("case") if _is_of(one, patient)]
    channels = [spec for spec in source.specs.get("case", ()) if spec.form != "sparse"]
    count = source.count("case")
    if not count:
        return []
    if not channels:
        return [one for one in source.get(list(source.ids("case"))) if _is_of(one, patient)]
    found: dict[str, Passage] = {}
    for spec in channels:
        anything = np.eye(1, spec.dim, dtype=np.float32)
        for hit in source.search("case", spec.name, anything, count, {"patient": (patient,)}):
            found[hit.passage.id] = hit.passage
    return [found[name] for name in sorted(found)]


def global_record(studies: Sequence[Study]) -> tuple[RecordEntry, ...]:
    """The whole reports of some studies, the latest first, undated ones last. Studies without text have no entry."""
    return tuple(
        RecordEntry(study, passage, 0, len(passage.text), statements(passage.text), compared_with(study, studies))
        for study, passage in _latest_first(studies)
        if passage.text.strip()
    )


def region_record(studies: Sequence[Study], region: str) -> tuple[RecordEntry, ...]:
    """The statements of each report that are tied to a region, such as "left lower lung zone", in the same order.

    See `knowledge.findings.region_statements` for what ties a statement to a region. English chest reports only.
    """
    return tuple(
        RecordEntry(study, passage, one.start, one.end, (one,), compared_with(study, studies))
        for study, passage in _latest_first(studies)
        for one in region_statements(passage.text, region)
    )


def evidence_blocks(entries: Iterable[RecordEntry], now: float | None = None) -> tuple[EvidenceBlock, ...]:
    """Entries with their dates and warnings, in the given order; `now` is the day of the study asked about.

    Raises:
        ValueError: an entry is not earlier than now. A look-up with `before_day` gives none.
    """
    blocks = []
    for entry in entries:
        day = entry.study.day
        if now is not None and day is not None and day >= now:
            raise ValueError(f"record {entry.passage.record} is of day {day:g}, which is not before day {now:g}")
        blocks.append(EvidenceBlock(entry, _heading(entry, now), entry.text.strip(), _warning(entry)))
    return tuple(blocks)


def record_hits(blocks: Sequence[EvidenceBlock]) -> tuple[Hit, ...]:
    """The passages of blocks as hits, each once at its first block, so that a selector and a generator can read them.

    They were not found by likeness: the score only keeps the order, and the one channel is `record`.
    """
    passages = dict.fromkeys(block.entry.passage.id for block in blocks)
    first = {block.entry.passage.id: block.entry.passage for block in reversed(blocks)}
    return tuple(
        Hit(first[name], 1 / rank, {RECORD: ChannelScore(rank, 1 / rank)})
        for rank, name in enumerate(passages, start=1)
    )


def changes(studies: Sequence[Study]) -> tuple[StudyChange, ...]:
    """How findings moved from each study to those of the patient's next day. Chest reports only."""
    found = {id(study): _findings(study) for study in studies}
    return tuple(
        StudyChange(prior, current, label_changes(found[id(prior)], found[id(current)]))
        for prior, current in consecutive(studies)
    )


def _findings(study: Study) -> list[Finding]:
    return [finding for passage in study.passages for finding in label_report(passage.text)]


def _is_of(passage: Passage, patient: str) -> bool:
    return getattr(passage.locator, "patient", None) == patient


def _latest_first(studies: Sequence[Study]) -> Iterator[tuple[Study, Passage]]:
    dated = sorted((one for one in studies if one.day is not None), key=lambda one: -(one.day or 0.0))
    for study in (*dated, *(one for one in studies if one.day is None)):
        for passage in study.passages:
            yield study, passage


def _heading(entry: RecordEntry, now: float | None) -> str:
    name = f"Earlier report, record {entry.passage.record}"
    day = entry.study.day
    if day is None:
        return f"Report of unknown date, earlier or later than now is not known; record {entry.passage.record}"
    ago = "" if now is None else f", {in_days(now - day)} before now"
    return f"{name}, day {day:g}{ago}"


def _warning(entry: RecordEntry) -> str:
    if not entry.comparative:
        return ""
    said = "; ".join(f'"{" ".join(one.text.split())}"' for one in entry.comparative)
    earlier = entry.compared_with[0].day if entry.compared_with else None
    if earlier is None or entry.study.day is None:
        reference = "a study of unknown date before this report"
    else:
        span = in_days(entry.study.day - earlier)
        reference = f"an earlier study, most likely that of day {earlier:g}, {span} before this report"
    return f"Comparison in {said}: with {reference}; it says nothing about the time since."
