"""A generator that says what it is told: for tests of everything around a generator."""

from __future__ import annotations

from collections.abc import Callable

from rag.types import Draft, DraftClaim, Evidence, Query


class ScriptedGenerator:
    """Returns the drafts of a script, by turns; records the questions it was asked.

    Without a script it quotes the whole text of the best passage, which is the least an honest generator can do.
    """

    def __init__(self, *drafts: Draft | Callable[[Query, Evidence], Draft]) -> None:
        self.drafts = drafts
        self.asked: list[Query] = []

    def generate(self, query: Query, evidence: Evidence) -> Draft:
        turn = len(self.asked)
        self.asked.append(query)
        if self.drafts:
            draft = self.drafts[turn % len(self.drafts)]
            return draft(query, evidence) if callable(draft) else draft
        best = next((hit.passage for hit in evidence.hits if hit.passage.text.strip()), None)
        if best is None:
            return Draft(())
        choice = 0 if query.options else None
        return Draft((DraftClaim(" ".join(best.text.split()), best.id, best.text),), choice, 1.0)
