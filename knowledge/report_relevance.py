"""How alike two reports are in what they find: relevance judgements for a report corpus without human labels.

After FactMM-RAG (Sun et al., NAACL 2025), which labels every report with CheXbert and RadGraph: two reports belong
together when all 14 labels are equal and the RadGraph F1 is at least 0.4; pairs rank by the sum of both. Here the rules
of `knowledge.findings` give the labels, and F1 over statements (finding, polarity, side, degree, change) stands in for
RadGraph, so figures are not comparable with the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from knowledge.findings.labeller import LABELS, Finding, label_report
from knowledge.findings.study import study_labels
from rag.passages import Polarity

LABELS_AT_LEAST, DETAILS_AT_LEAST = 1.0, 0.4
"""FactMM-RAG's thresholds for a positive pair."""

_HALF_AGREED = frozenset((frozenset(("present", "uncertain")), frozenset(("absent", "uncertain"))))


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """What a report says, ready to be compared: states by label, and statements in detail."""

    labels: Mapping[str, Polarity]
    details: frozenset[tuple[str, ...]]


def report_facts(text: str) -> ReportFacts:
    """The facts of a report. Compute them once per report when many pairs are compared."""
    findings = label_report(text)
    details = {detail for finding in findings if finding.label != "No Finding" for detail in _details(finding)}
    return ReportFacts(study_labels(findings), frozenset(details))


def _details(finding: Finding) -> set[tuple[str, ...]]:
    """A statement and, one by one, what is added to it: two reports may agree on the side and not on the degree."""
    stated = (finding.label, finding.polarity)
    added = (("side", finding.laterality), ("degree", finding.severity), ("change", finding.change))
    return {stated, *((*stated, name, value) for name, value in added if value is not None)}


def label_agreement(a: ReportFacts, b: ReportFacts) -> float:
    """Share of the 14 labels with an equal state, in [0, 1]; not mentioned is a state too (as in FactMM-RAG)."""
    return sum(a.labels.get(label) == b.labels.get(label) for label in LABELS) / len(LABELS)


def detail_overlap(a: ReportFacts, b: ReportFacts) -> float:
    """F1 of the statements of two reports, in [0, 1]; 0 when either states nothing."""
    total = len(a.details) + len(b.details)
    return 2 * len(a.details & b.details) / total if a.details and b.details else 0.0


def is_relevant(
    a: ReportFacts, b: ReportFacts, *, labels: float = LABELS_AT_LEAST, details: float = DETAILS_AT_LEAST
) -> bool:
    """FactMM-RAG's positive pair: label agreement and detail overlap both reach their thresholds."""
    informative = bool(a.labels) and bool(b.labels)
    same_normal = a.labels == b.labels and a.labels.get("No Finding") == "present"
    return informative and label_agreement(a, b) >= labels and (same_normal or detail_overlap(a, b) >= details)


def facts_relevance(a: ReportFacts, b: ReportFacts) -> float:
    """Graded relevance in [0, 1]: the mean of agreement over the labels mentioned in either and of `detail_overlap`.

    Equal states count 1, a certain and an uncertain one 0.5, all else 0: present against absent, and said against not
    said. Labels that neither mentions do not count, otherwise every two short reports would be alike. Symmetric; 1 for
    equal facts, 0 when either report states nothing.
    """
    mentioned = set(a.labels) | set(b.labels)
    if not a.labels or not b.labels:
        return 0.0
    agreed = sum(_agreement(a.labels.get(label), b.labels.get(label)) for label in mentioned) / len(mentioned)
    if not a.details and not b.details:
        return agreed  # both only call the study normal
    return (agreed + detail_overlap(a, b)) / 2


def _agreement(a: Polarity | None, b: Polarity | None) -> float:
    if a == b:
        return 1.0
    return 0.5 if a is not None and b is not None and frozenset((a, b)) in _HALF_AGREED else 0.0


def relevance(report_a: str, report_b: str) -> float:
    """`facts_relevance` of two report texts."""
    return facts_relevance(report_facts(report_a), report_facts(report_b))
