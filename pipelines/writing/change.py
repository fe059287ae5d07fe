"""What changed: from the patient's own reports, and from pairs of studies of others like the pair asked about.

Pairs are found by both images together (TemMed-Bench, https://arxiv.org/abs/2509.25143). Their change is not this
patient's change: a change is stated only when the reports of several pairs agree on it, none says another, and the
patient's own earlier report, where there is one, allows it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from knowledge.findings import Finding, label_report, study_labels
from knowledge.findings.modifiers import Change
from pipelines.timeline import RECORD
from pipelines.writing.consensus import Chosen, ConsensusOptions
from pipelines.writing.portable import is_portable
from pipelines.writing.reading import CURRENT, PAIR, TEMPERATURE, ReportSentence, patient_of, read_report
from rag.types import DraftClaim, Evidence, Hit, Passage, Polarity

_NEEDS_IT: frozenset[Change] = frozenset(("increased", "decreased", "unchanged", "resolved"))
"""Changes of something that was there before."""
_OWN_STATEMENTS = 3


@dataclass(frozen=True, slots=True)
class _Pair:
    passage: Passage
    weight: float
    sentences: tuple[ReportSentence, ...]


def change_sentences(evidence: Evidence, options: ConsensusOptions) -> list[Chosen]:
    """Sentences on the earlier study (section "prior") and on what changed since ("change"), best founded first."""
    own = [hit.passage for hit in evidence.hits if RECORD in hit.channels and hit.passage.text.strip()]
    current = [hit.passage for hit in evidence.hits if CURRENT in hit.channels]
    before = study_labels(label_report(own[0].text)) if own else {}
    pairs = [] if current else _of_pairs(_pairs(evidence.hits), before, options)
    stated = [row for passage in current[:1] for row in _stated(passage, before)] or pairs
    return [*(_earlier(own[0]) if own else ()), *stated[: options.most]]


def _earlier(passage: Passage) -> Iterator[Chosen]:
    """What the latest earlier report found, in its own words: the same patient's. Its comparisons are left out."""
    found = [
        sentence
        for sentence in read_report(passage.text)
        if any(one.polarity == "present" for one in sentence.findings)
        and all(one.change is None for one in sentence.findings)
    ]
    for sentence in found[:_OWN_STATEMENTS]:
        yield Chosen(_said(passage, sentence), "prior", 1.0)


def _stated(passage: Passage, before: Mapping[str, Polarity]) -> Iterator[Chosen]:
    """What a report on the current study says of changes, or denies or states against the earlier report."""
    for sentence in read_report(passage.text):
        changed = any(one.change is not None or _moved(one, before) for one in sentence.findings)
        if changed:
            yield Chosen(_said(passage, sentence), "change", 1.0)


def _moved(finding: Finding, before: Mapping[str, Polarity]) -> bool:
    return {finding.polarity, before.get(finding.label)} == {"present", "absent"}


def _pairs(hits: Sequence[Hit]) -> list[_Pair]:
    """The pairs' current studies, one per patient, weights summing to 1."""
    found = [hit for hit in hits if PAIR in hit.channels and hit.passage.text.strip()]
    best = max((hit.channels[PAIR].score for hit in found), default=0.0)
    kept: dict[str, Hit] = {}
    for hit in sorted(found, key=lambda hit: (-hit.channels[PAIR].score, hit.passage.id)):
        kept.setdefault(patient_of(hit.passage), hit)
    weights = [math.exp((hit.channels[PAIR].score - best) / TEMPERATURE) for hit in kept.values()]
    return [
        _Pair(hit.passage, weight / sum(weights), read_report(hit.passage.text))
        for hit, weight in zip(kept.values(), weights, strict=True)
    ]


def _of_pairs(pairs: Sequence[_Pair], before: Mapping[str, Polarity], options: ConsensusOptions) -> list[Chosen]:
    table: dict[tuple[str, Change], dict[str, float]] = {}
    for pair in pairs:
        for label, change in {(one.label, one.change) for row in pair.sentences for one in row.findings}:
            if change is not None and _allowed(label, change, before):
                table.setdefault((label, change), {})[pair.passage.id] = pair.weight
    agreed = {
        key: sum(row.values())
        for key, row in table.items()
        if sum(row.values()) >= options.agree
        and len(row) >= options.patients
        and all(
            sum(other.values()) <= options.against
            for (label, change), other in table.items()
            if label == key[0] and change != key[1]
        )
    }
    rows = [
        _worded(key, share, pairs, agreed) for key, share in sorted(agreed.items(), key=lambda row: (-row[1], row[0]))
    ]
    return list({row.claim.text: row for row in rows if row is not None}.values())


def _allowed(label: str, change: Change, before: Mapping[str, Polarity]) -> bool:
    """Whether the earlier report lets a finding have changed so; where it says nothing, it does."""
    known = before.get(label)
    return known != "absent" if change in _NEEDS_IT else known != "present"


def _worded(
    key: tuple[str, Change], share: float, pairs: Sequence[_Pair], agreed: Mapping[tuple[str, Change], float]
) -> Chosen | None:
    """The sentence of the most similar pair that says this change and no other one."""
    for pair in pairs:
        for sentence in pair.sentences:
            said = {(one.label, one.change) for one in sentence.findings if one.change is not None}
            plain = all(one.change is not None or one.polarity == "absent" for one in sentence.findings)
            if key in said and said <= set(agreed) and plain and is_portable(sentence, of_change=True):
                return Chosen(_said(pair.passage, sentence), "change", share)
    return None


def _said(passage: Passage, sentence: ReportSentence) -> DraftClaim:
    text = " ".join(sentence.text.split())
    return DraftClaim(text if text.endswith((".", "!")) else f"{text}.", passage.id, sentence.text)
