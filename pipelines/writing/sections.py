"""Lays the claims of a checked answer out in sections, such as findings and impression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rag.generators.vlm_request import Written
from rag.types import Answer, Claim

TITLES: Mapping[str, str] = {
    "prior": "Earlier study", "change": "Change", "findings": "Findings", "impression": "Impression",
    "expert": "Other models", "cases": "Similar cases of other patients", "known": "What is known of it",
}  # fmt: skip


def sections_of(answer: Answer, written: Written) -> tuple[str, ...]:
    """The section of every claim of an answer, told by the statement of the draft that it came from.

    A check may have split a statement: a claim without one of its own belongs where the claim before it does.
    """
    known = {
        " ".join(claim.text.split()): name for claim, name in zip(written.draft.claims, written.sections, strict=True)
    }
    found: list[str] = []
    for claim in answer.claims:
        said = " ".join(claim.text.split())
        holding = (name for text, name in known.items() if said.rstrip(".") in text)
        found.append(known.get(said) or next(holding, found[-1] if found else ""))
    return tuple(found)


def laid_out(answer: Answer, sections: Sequence[str], order: Sequence[str]) -> Answer:
    """The answer with its claims in the order of sections, and its text under their titles; citation numbers stay."""
    if answer.abstained:
        return answer
    rows = sorted(zip(sections, answer.claims, strict=True), key=lambda row: _place(row[0], order))
    lines: list[str] = []
    last = None
    for section, claim in rows:
        if section != last and section in TITLES:
            lines.append(f"{TITLES[section]}:")
        last = section
        lines.append(_line(claim))
    return replace(answer, text="\n".join(lines), claims=tuple(claim for _, claim in rows))


def section_rows(sections: Sequence[str], order: Sequence[str]) -> dict[str, Any]:
    """An event that says which claims, counted from 0 in the laid-out answer, make up which section."""
    ranked = sorted(sections, key=lambda name: _place(name, order))
    return {
        "step": "sections",
        "of": {name: [i for i, own in enumerate(ranked) if own == name] for name in ranked if name},
    }


def _place(section: str, order: Sequence[str]) -> int:
    return order.index(section) if section in order else len(order)


def _line(claim: Claim) -> str:
    marks = "".join(f"[{n}]" for n in claim.citations)
    return f"{claim.text} {marks}" if all(claim.checks.values()) else f"{claim.text} {marks} (unverified)"
