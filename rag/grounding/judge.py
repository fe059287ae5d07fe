"""Judges: how far a quote supports a claim."""

from __future__ import annotations

from rag.grounding.checks import numbers_agree, polarity_agrees, sides_agree
from rag.sentences import content_stems


class LexicalJudge:
    """The share of the claim's content words that the quote holds, and 0 when a number, a side or a polarity differs.

    Containment in [0, 1] on stems, order ignored: a lower bar than entailment, which catches invented words and the
    medical errors that word overlap alone would pass (left for right, no for with, 5 mg for 50 mg).
    """

    def support(self, claim: str, quote: str) -> float:
        """Gated containment of the claim in the quote."""
        wanted = set(content_stems(claim))
        if not wanted:
            return 0.0
        if not (numbers_agree(claim, quote) and sides_agree(claim, quote) and polarity_agrees(claim, quote)):
            return 0.0
        return len(wanted & set(content_stems(quote))) / len(wanted)
