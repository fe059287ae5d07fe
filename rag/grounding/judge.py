"""Judges: how far a quote supports a claim. These two need no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rag.errors import ConfigError
from rag.grounding.checks import GATES, Gate, disagreements
from rag.grounding.modifiers import NUMBER, Token, tokens
from rag.grounding.terms import Terms, common_terms
from rag.protocols import Judge


class LexicalJudge:
    """The share of the claim's content words that the quote holds, and 0 when any gate finds a disagreement.

    Containment in [0, 1] on stems, order ignored: a lower bar than entailment, which catches invented words and the
    medical errors that word overlap alone would pass (left for right, no for with, 5 mg for 50 mg). Synonyms of
    `terms` count as equal, and so do an abbreviation and its long form, and words of one value of a scale (rises,
    increases).
    """

    def __init__(self, gates: Mapping[str, Gate] = GATES, terms: Terms | None = None) -> None:
        self._gates = gates
        self._terms = common_terms() if terms is None else terms

    def support(self, claim: str, quote: str) -> float:
        """Gated containment of the claim in the quote."""
        share = self.overlap(claim, quote)
        return 0.0 if share == 0.0 or disagreements(claim, quote, self._gates) else share

    def overlap(self, claim: str, quote: str) -> float:
        """Containment without the gates."""
        wanted = set(tokens(claim))
        if not wanted:
            return 0.0
        held = tokens(quote)
        bag = {self._terms.idea(token.key) for token in held if not token.group}
        return sum(self._holds(token, held, bag) for token in wanted) / len(wanted)

    def _holds(self, token: Token, held: Sequence[Token], bag: set[str]) -> bool:
        if token.group == NUMBER:
            amounts = [amount for other in held for amount in other.amounts]
            return all(any(ours.equals(theirs) for theirs in amounts) for ours in token.amounts)
        if token.group:
            return any(token.group == other.group and token.values & other.values for other in held)
        return self._terms.idea(token.key) in bag


class CombinedJudge:
    """The most that any of several judges says, under hard gates: one disagreement and the support is 0.

    The gates hold for all, because a similarity or a model may overlook what a rule sees (a side, a unit, a denial).
    """

    def __init__(self, judges: Sequence[Judge], gates: Mapping[str, Gate] = GATES) -> None:
        if not judges:
            raise ConfigError("grounding: a combined judge needs at least one judge")
        self._judges, self._gates = tuple(judges), gates

    def support(self, claim: str, quote: str) -> float:
        """The greatest support, in [0, 1]; 0 for an empty quote or a disagreement."""
        if not quote.strip() or disagreements(claim, quote, self._gates):
            return 0.0
        return max(min(1.0, max(0.0, judge.support(claim, quote))) for judge in self._judges)
