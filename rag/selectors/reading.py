"""Which score of a hit a cut reads.

A ranking over several kinds is made of reciprocal ranks, whose gaps are the same for every query: a cut of them is a
fixed k in disguise. What a channel said of a hit, or the fused score within the hit's own kind, still says how near
the hit is. Scores of two channels or two kinds are never compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rag.types import Hit, Passage

SCORE = "score"
"""The score that ranks the hit now, whatever it is made of."""
RANK = "rank"
"""The place in the list, as 1 / rank: all that is known when scores are not to be trusted."""
FUSED = "fused"
"""The channel under which a search notes the fused score within a kind, before kinds meet by rank."""


@dataclass(frozen=True, slots=True)
class ScoreReading:
    """Reads one score of each hit: `hit.score` for "score", otherwise the raw score of the named channel.

    "rank" reads the order alone: a list whose head was reranked has scores of two scales.
    """

    channel: str = FUSED

    def score(self, hit: Hit, rank: int) -> float | None:
        """The score of the hit at a rank, from 1; None when that channel did not find it, or said no finite number."""
        if self.channel == RANK:
            return 1 / rank
        if self.channel == SCORE:
            value = hit.score
        elif self.channel in hit.channels:
            value = hit.channels[self.channel].score
        else:
            return None
        return value if math.isfinite(value) else None

    def descending(self, hits: Sequence[Hit]) -> tuple[list[int], list[float]]:
        """Places of the hits that have a score, best score first (ties in the order given), and those scores."""
        read = [(place, self.score(hit, place + 1)) for place, hit in enumerate(hits)]
        known = sorted(((place, score) for place, score in read if score is not None), key=lambda row: -row[1])
        return [place for place, _ in known], [score for _, score in known]


def domain_of(passage: Passage) -> str:
    """The part of a library that a passage belongs to: its kind, and its domain if it has one, as "case/radiology"."""
    domain = passage.meta.get("domain")
    return f"{passage.kind}/{domain}" if domain else passage.kind
