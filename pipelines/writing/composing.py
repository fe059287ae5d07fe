"""Writers without a language model: a report, an explanation and a comparison out of quotes. Each plays `Writer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipelines.expert import EDGES, EXPERT
from pipelines.writing.change import change_sentences
from pipelines.writing.consensus import (
    Agreed,
    Chosen,
    ConsensusOptions,
    agreed_findings,
    label_sentences,
    worded_sentences,
)
from pipelines.writing.reading import SimilarCase, similar_cases
from rag.generators.vlm_request import Written
from rag.types import Draft, DraftClaim, Evidence, Hit, Query

ORDER = ("prior", "change", "findings", "impression", "expert")
"""Sections in the order in which they are read."""


class ReportComposer:
    """Findings and impression from what the reports of similar cases agree on.

    Where most of the weight is in reports with labelled findings (chest films) they decide; elsewhere the sentences
    that several reports share in substance. Outputs of other models are added where no agreement denies them.
    """

    def __init__(self, options: ConsensusOptions | None = None) -> None:
        self.options = options or ConsensusOptions()

    def generate(self, query: Query, evidence: Evidence) -> Draft:
        return self.write(query, evidence).draft

    def write(self, query: Query, evidence: Evidence) -> Written:  # noqa: ARG002 - a writer may read the question
        """The draft; its confidence is the mean agreement of what it states."""
        cases = similar_cases(evidence.hits)
        agreed = agreed_findings(cases, self.options)
        labelled = _labelled(cases)
        chosen = label_sentences(cases, agreed, self.options) if labelled else worded_sentences(cases, self.options)
        chosen += _from_experts([hit for hit in evidence.hits if EXPERT in hit.channels], agreed)
        rows = [*change_sentences(evidence, self.options), *chosen] if chosen else []
        return written_of(sorted(rows, key=lambda row: ORDER.index(row.section)))


class ComparisonComposer:
    """What the earlier report says, and the changes that similar pairs of studies agree on."""

    def __init__(self, options: ConsensusOptions | None = None) -> None:
        self.options = options or ConsensusOptions()

    def generate(self, query: Query, evidence: Evidence) -> Draft:
        return self.write(query, evidence).draft

    def write(self, query: Query, evidence: Evidence) -> Written:  # noqa: ARG002 - a writer may read the question
        """The draft, empty when nothing says what changed; its confidence is the mean agreement on that."""
        rows = change_sentences(evidence, self.options)
        changed = [row.agreement for row in rows if row.section == "change"]
        if not changed:
            return Written(Draft(()), ())
        written = written_of(rows)
        return replace(written, draft=replace(written.draft, confidence=min(1.0, sum(changed) / len(changed))))


def written_of(chosen: Sequence[Chosen]) -> Written:
    """A draft of chosen sentences; its confidence is their mean agreement, what was before left out; 0 for none."""
    said = [row.agreement for row in chosen if row.section != "prior"]
    confidence = sum(said) / len(said) if said else 0.0
    rows = [(claim, row.section) for row in chosen for claim in (row.claim, *row.also)]
    draft = Draft(tuple(claim for claim, _ in rows), confidence=min(1.0, confidence))
    return Written(draft, tuple(section for _, section in rows))


def _labelled(cases: Sequence[SimilarCase]) -> bool:
    return sum(case.weight for case in cases if case.labels) >= 0.5


def _from_experts(hits: Sequence[Hit], agreed: Sequence[Agreed]) -> list[Chosen]:
    """What other models hold likely, unless the similar cases agree on the opposite."""
    denied = {one.label.lower() for one in agreed if one.polarity == "absent"}
    rows = []
    for hit in hits:
        fact = hit.passage.fact
        if hit.score >= EDGES[1] and fact is not None and fact[2].lower() not in denied:
            claim = DraftClaim(hit.passage.text, hit.passage.id, hit.passage.text)
            rows.append(Chosen(claim, "expert", hit.score))
    return rows
