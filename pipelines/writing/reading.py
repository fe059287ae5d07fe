"""Similar cases as material: one per patient, weighed by likeness, their reports read sentence by sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from knowledge.findings import Finding, label_report, label_text, study_labels
from knowledge.findings.sentences import report_sentences
from knowledge.report_sections import ASSERTING, SectionKind, split_report
from pipelines.timeline import RECORD
from rag.prompting.instructions import instruction_spans
from rag.retrievers import reads_images
from rag.types import CaseLocator, Dropped, Evidence, Hit, Passage, Polarity, Query

PAIR, CURRENT = "pair", "current"
"""Channels of a pair's current study, found by both images, and of the report on the study asked about."""
TEMPERATURE = 0.2
"""Difference of cosines at which a case weighs 1/e of the most similar one. Judgement, not fitted."""


@dataclass(frozen=True, slots=True)
class ReportSentence:
    """A sentence in which a report asserts something: `text` is the passage's `[start:end]`."""

    start: int
    end: int
    text: str
    section: SectionKind
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class SimilarCase:
    """A case of another patient. `weight` is its share among all the cases, in (0, 1]; shares sum to 1."""

    passage: Passage
    weight: float
    sentences: tuple[ReportSentence, ...]
    labels: Mapping[str, Polarity]


def read_report(text: str) -> tuple[ReportSentence, ...]:
    """The sentences of a report that say what its study shows; none that reads like an instruction to a model."""
    orders = instruction_spans(text)
    found = []
    for section in split_report(text):
        if section.kind not in ASSERTING:
            continue
        for start, end in report_sentences(text, section.start, section.end):
            if not any(first < end and last > start for first, last in orders):
                findings = label_text(text, start, end, section.kind)
                found.append(ReportSentence(start, end, text[start:end], section.kind, findings))
    return tuple(found)


def similar_cases(hits: Iterable[Hit], *, temperature: float = TEMPERATURE) -> tuple[SimilarCase, ...]:
    """The cases among hits with a report, most similar first; of each patient only the most similar one.

    Records that were looked up are the patient's own and left out. A case weighs exp((s - best) / temperature), s the
    greatest cosine of an image channel; where no image was compared, 1 / rank.
    """
    cases = [hit for hit in hits if hit.passage.kind == "case" and hit.passage.text.strip() and not _is_own(hit)]
    scores = [_likeness(hit) for hit in cases]
    known = [score for score in scores if score is not None]
    best = max(known, default=0.0)
    kept: dict[str, tuple[Passage, float]] = {}
    for rank, (hit, score) in enumerate(zip(cases, scores, strict=True), start=1):
        likeness = 0.0 if score is None else math.exp((score - best) / temperature)
        weight = likeness if known else 1 / rank
        who = patient_of(hit.passage)
        if weight > kept.get(who, (hit.passage, 0.0))[1]:
            kept[who] = (hit.passage, weight)
    total = sum(weight for _, weight in kept.values())
    rows = sorted(kept.values(), key=lambda row: (-row[1], row[0].id))
    return tuple(
        SimilarCase(passage, weight / total, read_report(passage.text), _with_parents(passage.text))
        for passage, weight in rows
    )


@dataclass(frozen=True, slots=True)
class ByPatient:
    """Selects the cases of so many patients, all of each, in their order; equal texts of two patients both count."""

    patients: int

    def select(self, query: Query, hits: Sequence[Hit]) -> Evidence:  # noqa: ARG002 - a selector may read the query
        wanted = set(list(dict.fromkeys(patient_of(hit.passage) for hit in hits))[: self.patients])
        kept = tuple(hit for hit in hits if patient_of(hit.passage) in wanted)
        reason = f"after the first {self.patients} patients"
        return Evidence(kept, tuple(Dropped(hit, reason) for hit in hits if patient_of(hit.passage) not in wanted))


def shares(cases: Sequence[SimilarCase]) -> dict[str, dict[Polarity, float]]:
    """For each finding that is mentioned, the weight of the cases that hold it present, absent or uncertain."""
    found: dict[str, dict[Polarity, float]] = {}
    for case in cases:
        for label, polarity in case.labels.items():
            row = found.setdefault(label, {"present": 0.0, "absent": 0.0, "uncertain": 0.0})
            row[polarity] += case.weight
    return found


_PARENTS = {
    "Lung Opacity": ("Edema", "Consolidation", "Pneumonia", "Lung Lesion", "Atelectasis"),
    "Enlarged Cardiomediastinum": ("Cardiomegaly",),
}
"""CheXpert's hierarchy (Irvin et al., 2019, figure 1): who has one of these has the parent as well."""


def _with_parents(text: str) -> Mapping[str, Polarity]:
    """A report's labels, so that a case with a consolidation speaks against clear lungs."""
    labels = dict(study_labels(label_report(text)))
    for parent, children in _PARENTS.items():
        if any(labels.get(child) == "present" for child in children):
            labels[parent] = "present"
    return labels


def _is_own(hit: Hit) -> bool:
    likeness = any(reads_images(name) for name in hit.channels)
    return RECORD in hit.channels or CURRENT in hit.channels or (PAIR in hit.channels and not likeness)


def _likeness(hit: Hit) -> float | None:
    return max((one.score for name, one in hit.channels.items() if reads_images(name)), default=None)


def patient_of(passage: Passage) -> str:
    """Who a case is of, by document and patient; the passage itself when nobody is named."""
    place = passage.locator
    if isinstance(place, CaseLocator) and place.patient:
        return f"{passage.document} {place.patient}"
    return passage.id
