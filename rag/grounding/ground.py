"""From a draft to an answer: every claim is checked against the passage it cites, what fails is dropped or marked.

The order of the checks follows SourceCheckup's finding that a citation which exists is not yet one that supports
(Wu et al., Nature Communications 2025): shown, verbatim, cited, supported, and equal in numbers, side, degree, polarity
and certainty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from string import ascii_uppercase
from typing import Any, Literal

from rag.chat import ChatError
from rag.errors import ConfigError, QueryError
from rag.grounding.checks import GATES, Gate
from rag.grounding.evidence_model import EvidenceModel
from rag.grounding.quotes import covering, line_boxes, locate
from rag.grounding.revision import FailedClaim, Revise
from rag.grounding.signals import evidence_signals, speaks_of
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
    answer abstains. Where an `evidence_model` was fitted, a question of text alone has the model's confidence, and
    needs `min_modelled_confidence`. A claim below `min_support`, or one that a gate refuses, is dropped, or marked
    "(unverified)", or (regenerate) written anew once with its failed checks named, and dropped when it fails again.
    Claims whose quote does not stand in a passage of the evidence are always dropped.
    """

    min_confidence: float = 0.5
    min_choice_confidence: float = 0.02
    min_support: float = 0.6
    unverified: Literal["drop", "mark", "regenerate"] = "drop"
    gates: Mapping[str, Gate] = field(default_factory=lambda: GATES)
    evidence_model: EvidenceModel | None = None
    min_modelled_confidence: float = 0.5

    def __post_init__(self) -> None:
        for name in ("min_confidence", "min_choice_confidence", "min_support", "min_modelled_confidence"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"grounding: {name} is {value}; it must be between 0 and 1")

    def confidence(self, query: Query, draft: Draft, evidence: Evidence) -> tuple[float, float]:
        """How sure it is that the evidence answers the question, and how sure it must be."""
        if self.evidence_model is not None and speaks_of(query):
            signals = evidence_signals(query, draft.confidence, evidence)
            return self.evidence_model.confidence(signals), self.min_modelled_confidence
        return draft.confidence, self.min_choice_confidence if query.options else self.min_confidence


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


@dataclass(frozen=True, slots=True)
class _Checked:
    """A drafted claim with the place of its quote (None: it has none) and the outcome of every check."""

    drafted: DraftClaim
    place: tuple[Passage, tuple[int, int]] | None
    support: float
    checks: Mapping[str, bool]

    @property
    def failed(self) -> tuple[str, ...]:
        return tuple(name for name, passed in self.checks.items() if not passed)


def ground(
    query: Query, draft: Draft, evidence: Evidence, judge: Judge, policy: GroundingPolicy, revise: Revise | None = None
) -> Answer:
    """The answer that the draft's verified claims make, or an abstention with its reason.

    Claims of equal text become one, with all citations that hold. `revise` writes failed claims anew, at most once,
    when the policy says so; what it gives is checked like the rest. Passages of the evidence must be whole, as
    `Store.get` returns them, for page boxes to be found.

    Raises:
        QueryError: the draft chose an option that the query does not have.
    """
    letter = _letter(query, draft.choice)
    if not evidence.hits:
        return _abstain(query, draft, evidence, "no_evidence", "nothing was found in the library for this question")
    confidence, needed = policy.confidence(query, draft, evidence)
    draft = replace(draft, confidence=confidence)
    if not draft.claims or confidence < needed:
        reason = f"the evidence found does not answer the question: confidence {confidence:.2f}, needed {needed:.2f}"
        return _abstain(query, draft, evidence, "low_confidence", reason)
    shown = {hit.passage.id: hit.passage for hit in evidence.hits}
    checked = [_check(claim, shown, judge, policy) for claim in draft.claims]
    trace = _events(checked, policy)
    if policy.unverified == "regenerate" and revise is not None and any(row.failed for row in checked):
        checked, usage, events = _revised(query, draft, evidence, checked, (judge, policy, revise))
        draft, trace = replace(draft, usage=usage), [*trace, *events]
    numbering = _Numbering()
    claims = [claim for rows in _by_text(checked) if (claim := _claim(rows, policy, numbering)) is not None]
    if not claims:
        names = sorted({name for row in checked for name in row.failed})
        reason = f"no claim of the draft passed the checks; failed: {', '.join(names)}"
        return replace(_abstain(query, draft, evidence, "no_verified_claim", reason), trace=tuple(trace))
    text = "\n".join(_with_marks(claim) for claim in claims)
    return Answer(
        query.id, text, tuple(claims), tuple(numbering.citations), evidence, choice=letter,
        confidence=draft.confidence, usage=draft.usage, trace=tuple(trace),
    )  # fmt: skip


def _check(drafted: DraftClaim, shown: Mapping[str, Passage], judge: Judge, policy: GroundingPolicy) -> _Checked:
    """The outcome of every check; those that cannot be made any more after one failed are left out."""
    if not drafted.text.strip() or not drafted.passage_id:
        return _Checked(drafted, None, 0.0, {"cited": False})
    passage = shown.get(drafted.passage_id)
    if passage is None:
        return _Checked(drafted, None, 0.0, {"shown": False})
    span = locate(drafted.quote, passage.text)
    if span is None:
        return _Checked(drafted, None, 0.0, {"shown": True, "verbatim": False})
    quote = passage.text[span[0] : span[1]]
    support = min(1.0, max(0.0, judge.support(drafted.text, quote)))
    checks = {"shown": True, "verbatim": True, "cited": True, "supported": support >= policy.min_support}
    checks |= {name: agrees(drafted.text, quote) for name, agrees in policy.gates.items()}
    return _Checked(drafted, (passage, span), support, checks)


def _revised(
    query: Query,
    draft: Draft,
    evidence: Evidence,
    checked: Sequence[_Checked],
    reading: tuple[Judge, GroundingPolicy, Revise],
) -> tuple[list[_Checked], Mapping[str, int], list[Mapping[str, Any]]]:
    """One more try at what failed: the claims that hold, then the new ones that do; what it cost; and its events."""
    judge, policy, revise = reading
    failed = tuple(FailedClaim(row.drafted, row.failed) for row in checked if row.failed)
    try:
        again = revise(query, evidence, draft, failed)
    except ChatError as error:
        return (
            list(checked),
            draft.usage,
            [{"step": "regenerate", "failed": len(failed), "kept": 0, "error": error.kind}],
        )
    shown = {hit.passage.id: hit.passage for hit in evidence.hits}
    new = [_check(claim, shown, judge, policy) for claim in again.claims]
    good = [row for row in new if not row.failed]
    usage = {name: draft.usage.get(name, 0) + again.usage.get(name, 0) for name in {**draft.usage, **again.usage}}
    events = [{"step": "regenerate", "failed": len(failed), "kept": len(good)}, *_events(new, policy)]
    kept = [row for row in checked if not row.failed]
    return [*kept, *good] or list(checked), usage, events


def _events(checked: Sequence[_Checked], policy: GroundingPolicy) -> list[Mapping[str, Any]]:
    marks = policy.unverified == "mark"
    return [
        {"step": "ground", "claim": i, "kept": marks and row.place is not None, "failed": list(row.failed)}
        for i, row in enumerate(checked)
        if row.failed
    ]


def _by_text(checked: Sequence[_Checked]) -> list[list[_Checked]]:
    """Claims of equal words together, in the order in which they were first made."""
    found: dict[str, list[_Checked]] = {}
    for row in checked:
        found.setdefault(" ".join(row.drafted.text.split()), []).append(row)
    return list(found.values())


def _claim(rows: Sequence[_Checked], policy: GroundingPolicy, numbering: _Numbering) -> Claim | None:
    """The claim as it may be shown, with a citation for every quote that holds; None if it may not be shown."""
    good = [row for row in rows if row.place is not None and not row.failed]
    if not good and policy.unverified == "mark":
        placed = [row for row in rows if row.place is not None]
        good = [max(placed, key=lambda row: (-len(row.failed), row.support))] if placed else []
    if not good:
        return None
    numbers = [numbering.number(*row.place) for row in good if row.place is not None]
    best = max(good, key=lambda row: row.support)
    return Claim(best.drafted.text.strip(), tuple(dict.fromkeys(numbers)), best.support, best.checks)


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
