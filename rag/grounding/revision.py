"""One more try: a generator is told which of its claims failed, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rag.types import Draft, DraftClaim, Evidence, Query

WHY: Mapping[str, str] = {
    "shown": "it cites something that was not among the evidence",
    "verbatim": "its quotation does not stand in the passage it cites",
    "cited": "it cites nothing",
    "supported": "the passage it cites does not say this",
    "numbers": "a number or unit differs from the passage",
    "laterality": "a side differs from the passage",
    "qualifiers": "a degree, direction or time differs from the passage",
    "polarity": "the passage says the opposite",
    "certainty": "the passage only thinks it possible",
    "findings": "a finding differs from the passage",
}
"""What each failed check means, in words for a model or a reader."""


@dataclass(frozen=True, slots=True)
class FailedClaim:
    """A claim that may not be shown, with the names of the checks it failed."""

    claim: DraftClaim
    failed: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Why, in words."""
        return "; ".join(WHY.get(name, name) for name in self.failed)


Revise = Callable[[Query, Evidence, Draft, Sequence[FailedClaim]], Draft]
"""Writes failed claims anew, from the same evidence. Called at most once per question."""


@runtime_checkable
class Reviser(Protocol):
    """A generator that can write failed claims anew."""

    def revise(self, query: Query, evidence: Evidence, draft: Draft, failed: Sequence[FailedClaim]) -> Draft: ...


def failure_note(failed: Sequence[FailedClaim]) -> str:
    """What a prompt for the second try says: the failed claims with the reasons, and what may be done about them."""
    rows = [f'{i}. "{row.claim.text}": {row.reason}.' for i, row in enumerate(failed, start=1)]
    rule = (
        "These statements of the last answer failed the check against the evidence. Write each of them anew so that a "
        "passage of the evidence says exactly this, quote the words, and leave out what no passage says."
    )
    return "\n".join((rule, *rows))
