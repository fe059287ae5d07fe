"""From a draft to an answer: every claim is checked against the passage it cites, what fails is dropped or marked.

The order of the checks follows SourceCheckup's finding that a citation which exists is not yet one that supports
(Wu et al., Nature Communications 2025): shown, verbatim, cited, supported, and equal in numbers, side and polarity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from string import ascii_uppercase
from typing import Any, Literal

from rag.errors import ConfigError, QueryError
from rag.grounding.checks import numbers_agree, polarity_agrees, sides_agree
from rag.grounding.quotes import covering, line_boxes, locate
from rag.protocols import Judge
from rag.types import Answer, Citation, Claim, Draft, DraftClaim, Evidence, Passage, Query

DISCLAIMER = (
    "Not a medical device; for research and teaching. Answers are assembled from the cited sources, which may be "
    "incomplete or out of date, and do not replace the judgement of a clinician."
)


@dataclass(frozen=True, slots=True)
class GroundingPolicy:
    """What an answer must reach. All shares are in [0, 1].

    Below `min_confidence` (`min_choice_confidence` for multiple choice, where a weak preference is still useful) the
    answer abstains. A claim below `min_support`, or with a differing number, side or polarity, is dropped or marked
    "(unverified)". Claims whose quote does not stand in a passage of the evidence are always dropped.
    """

    min_confidence: float = 0.5
    min_choice_confidence: float = 0.02
    min_support: float = 0.6
    unverified: Literal["drop", "mark"] = "drop"

    def __post_init__(self) -> None:
        for name in ("min_confidence", "min_choice_confidence", "min_support"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"grounding: {name} is {value}; it must be between 0 and 1")


@dataclass(slots=True)
class _Numbering:
    """Citation numbers from 1 in order of first use; the same words of the same passage share one."""

    citations: list[Citation] = field(default_factory=list)
    numbers: dict[tuple[str, int, int], int] = field(default_factory=dict)

    def number(self, passage: Passage, span: tuple[int, int]) -> int:
        key = (passage.id, *span)
        if key not in self.numbers:
            self.numbers[key] = len(self.citations) + 1
            lines = line_boxes(passage, *span)
            quote = passage.text[span[0] : span[1]]
            self.citations.append(Citation(self.numbers[key], passage, quote, covering(lines), lines))
        return self.numbers[key]


def ground(query: Query, draft: Draft, evidence: Evidence, judge: Judge, policy: GroundingPolicy) -> Answer:
    """The answer that the draft's verified claims make, or an abstention with its reason.

    Passages of the evidence must be whole, as `Store.get` returns them, for page boxes to be found.

    Raises:
        QueryError: the draft chose an option that the query does not have.
    """
    letter = _letter(query, draft.choice)
    if not evidence.hits:
        return _abstain(query, draft, evidence, "no_evidence", "nothing was found in the library for this question")
    needed = policy.min_choice_confidence if query.options else policy.min_confidence
    if not draft.claims or draft.confidence < needed:
        reason = (
            f"the evidence found does not answer the question: confidence {draft.confidence:.2f}, needed {needed:.2f}"
        )
        return _abstain(query, draft, evidence, "low_confidence", reason)
    shown = {hit.passage.id: hit.passage for hit in evidence.hits}
    numbering = _Numbering()
    claims: list[Claim] = []
    trace: list[Mapping[str, Any]] = []
    for i, drafted in enumerate(draft.claims):
        claim, failed = _verify(drafted, shown, judge, policy, numbering)
        if claim is not None:
            claims.append(claim)
        if failed:
            trace.append({"step": "ground", "claim": i, "kept": claim is not None, "failed": failed})
    if not claims:
        names = sorted({name for row in trace for name in row["failed"]})
        reason = f"no claim of the draft passed the checks; failed: {', '.join(names)}"
        return replace(_abstain(query, draft, evidence, "no_verified_claim", reason), trace=tuple(trace))
    text = "\n".join(_with_marks(claim) for claim in claims)
    return Answer(
        query.id, text, tuple(claims), tuple(numbering.citations), evidence, choice=letter,
        confidence=draft.confidence, usage=draft.usage, trace=tuple(trace),
    )  # fmt: skip


def _verify(
    drafted: DraftClaim, shown: Mapping[str, Passage], judge: Judge, policy: GroundingPolicy, numbering: _Numbering
) -> tuple[Claim | None, list[str]]:
    """The claim as it may be shown, None if it may not, and the names of the checks it failed."""
    passage = shown.get(drafted.passage_id)
    if passage is None:
        return None, ["shown"]
    span = locate(drafted.quote, passage.text)
    if span is None:
        return None, ["verbatim"]
    if not drafted.text.strip():
        return None, ["cited"]
    quote = passage.text[span[0] : span[1]]
    support = min(1.0, max(0.0, judge.support(drafted.text, quote)))
    checks = {
        "shown": True,
        "verbatim": True,
        "cited": True,
        "supported": support >= policy.min_support,
        "numbers": numbers_agree(drafted.text, quote),
        "laterality": sides_agree(drafted.text, quote),
        "polarity": polarity_agrees(drafted.text, quote),
    }
    failed = [name for name, passed in checks.items() if not passed]
    if failed and policy.unverified == "drop":
        return None, failed
    return Claim(drafted.text.strip(), (numbering.number(passage, span),), support, checks), failed


def _with_marks(claim: Claim) -> str:
    marks = "".join(f"[{n}]" for n in claim.citations)
    return f"{claim.text} {marks}" if all(claim.checks.values()) else f"{claim.text} {marks} (unverified)"


def _letter(query: Query, choice: int | None) -> str | None:
    if choice is None:
        return None
    if not 0 <= choice < min(len(query.options), len(ascii_uppercase)):
        raise QueryError(
            f"question {query.id}: the draft chose option {choice + 1}, but there are {len(query.options)} options "
            f"(at most {len(ascii_uppercase)} have a letter)"
        )
    return ascii_uppercase[choice]


def _abstain(query: Query, draft: Draft, evidence: Evidence, stop: str, reason: str) -> Answer:
    text = f"No answer: {reason}."
    return Answer(
        query.id, text, (), (), evidence, abstained=True, reason=reason, confidence=draft.confidence,
        stop_reason=stop, usage=draft.usage,
    )  # fmt: skip
