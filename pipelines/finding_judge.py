"""The finding-level judge: does a quote report the findings of a claim, with equal state, side, degree and change?

Chest findings by the rule labeller of `knowledge.findings`, after the entity-level factuality checks of report
generation (Miura et al., NAACL 2021, https://arxiv.org/abs/2010.10042). It stands here because `rag` knows no findings.
"""

from __future__ import annotations

from functools import lru_cache

from knowledge.findings import Finding, label_text
from rag.grounding.checks import GATES
from rag.grounding.judge import LexicalJudge


@lru_cache(maxsize=2048)
def _findings(text: str) -> tuple[Finding, ...]:
    # Line breaks of print end no sentence of a claim; a quote must be read like the claim that repeats it.
    return label_text(" ".join(text.split()))


def findings_agree(claim: str, quote: str) -> bool:
    """No finding of the claim contradicts each of the quote's findings of its name: state, side, degree or change.

    Left against right, present against absent. What the claim merely adds is for the other checks and for support.
    """
    held = _findings(quote)
    for finding in _findings(claim):
        alike = [other for other in held if other.label == finding.label]
        if alike and all(_contradicts(finding, other) for other in alike):
            return False
    return True


class FindingJudge:
    """The share of the claim's findings that the quote reports alike; 0 for a claim without any finding.

    It reads findings only. Beside them a claim may say things that this judge does not see, so `floor` asks for that
    much word overlap too.
    """

    def __init__(self, floor: float = 0.5) -> None:
        self._floor, self._lexical = floor, LexicalJudge(GATES)

    def support(self, claim: str, quote: str) -> float:
        """In [0, 1]; 0 where a finding disagrees, or too few of the claim's words stand in the quote."""
        wanted = _findings(claim)
        if not wanted or not findings_agree(claim, quote) or self._lexical.support(claim, quote) < self._floor:
            return 0.0
        held = _findings(quote)
        return sum(any(_alike(finding, other) for other in held) for finding in wanted) / len(wanted)


def _alike(ours: Finding, theirs: Finding) -> bool:
    return ours.label == theirs.label and _same(ours, theirs)


def _same(ours: Finding, theirs: Finding) -> bool:
    """Whether a finding says no more than another of its label."""
    side = ours.laterality in {None, theirs.laterality} or theirs.laterality == "bilateral"
    degree = ours.severity is None or ours.severity == theirs.severity
    change = ours.change is None or ours.change == theirs.change
    return ours.polarity == theirs.polarity and side and degree and change


def _contradicts(ours: Finding, theirs: Finding) -> bool:
    """Whether both say something of one respect, and not the same. A doubt contradicts nothing."""
    states = {ours.polarity, theirs.polarity} == {"present", "absent"}
    sides = {ours.laterality, theirs.laterality} == {"left", "right"}
    degrees = ours.severity is not None and theirs.severity is not None and ours.severity != theirs.severity
    changes = ours.change is not None and theirs.change is not None and ours.change != theirs.change
    return states or sides or degrees or changes
