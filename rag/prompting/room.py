"""How much evidence fits a prompt: tokens by a rule of thumb, and what is left out by the order of selection."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rag.types import Hit

TOKENS_PER_WORD = 1.3
"""A word of English prose is about 1.3 tokens; the server has the last word, and says so when a prompt is too long."""
LEAST_WORDS = 40
"""Words of a passage that are shown when not even the best one fits whole."""
_FRAME_WORDS = 12
"""Words that the lines around a passage add."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """The hits that fit in the order of selection, how many words of the last are shown (None: all), and the rest."""

    kept: tuple[Hit, ...]
    cut_at: int | None
    left_out: tuple[Hit, ...]


def tokens(text: str) -> int:
    """About how many tokens a text is, rounded up."""
    return math.ceil(TOKENS_PER_WORD * len(text.split()))


def fit(hits: Sequence[Hit], room: int) -> Fitted:
    """The longest run of hits from the front that fits into so many tokens.

    Where not even the first fits it is cut at a word, so that there is always something to read.
    """
    used, kept = 0, 0
    for hit in hits:
        used += tokens(hit.passage.text) + tokens("w " * _FRAME_WORDS)
        if used > room:
            break
        kept += 1
    if kept or not hits:
        return Fitted(tuple(hits[:kept]), None, tuple(hits[kept:]))
    words = max(LEAST_WORDS, int(room / TOKENS_PER_WORD) - _FRAME_WORDS)
    whole = len(hits[0].passage.text.split())
    return Fitted((hits[0],), words if words < whole else None, tuple(hits[1:]))
