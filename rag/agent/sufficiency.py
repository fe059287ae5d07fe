"""Is the evidence enough? Rules decide; what a model thinks can only lower the confidence of the answer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rag.agent.state import ENOUGH, AgentState, SubQuestion


@dataclass(frozen=True, slots=True)
class Sufficiency:
    """The sub-questions without a passage of grade 2 or more, and the slots that no such passage fills, by part."""

    open: tuple[str, ...]
    missing: tuple[tuple[str, str], ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing is missing."""
        return not self.open and not self.missing


def sufficiency(state: AgentState) -> Sufficiency:
    """What is missing; a state without sub-questions lacks nothing but evidence."""
    lacking = tuple(part.id for part in state.parts if not _answers(state, part))
    missing = tuple(
        (part.id, slot)
        for part in state.parts
        if part.id not in lacking
        for slot in part.slots
        if not any(slot in one.fills for one in state.pool if one.serves.get(part.id, 0) >= ENOUGH)
    )
    return Sufficiency(lacking, missing)


def settled(state: AgentState) -> AgentState:
    """The state with the status of each sub-question brought up to date."""
    found = sufficiency(state)
    lacking = {*found.open, *(part for part, _ in found.missing)}
    parts = tuple(replace(part, status="open" if part.id in lacking else "answered") for part in state.parts)
    return replace(state, parts=parts)


def _answers(state: AgentState, part: SubQuestion) -> bool:
    return any(one.serves.get(part.id, 0) >= ENOUGH for one in state.pool)
