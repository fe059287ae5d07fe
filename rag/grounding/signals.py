"""What of some evidence speaks for it answering a question: numbers that one model weighs together. Pure.

None reads a rank: what an index holds beside the answer must not change them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from rag.sentences import content_stems
from rag.types import Evidence, Hit, Query

_EDGE = 1e-4
"""A confidence nearer to 0 or 1 than this tells no more."""


def evidence_signals(query: Query, confidence: float, evidence: Evidence) -> dict[str, float]:
    """The signals of a question of text, by name.

    answer: log-odds of the answerer's own confidence. dense: the best cosine among the hits kept. bm25: the best word
    score among them, a sum over the question's words, divided by the root of their number. A channel that scored no hit
    gives 0. Of some twenty signals (docs/abstain.md) these held up on questions that nothing was fitted on.
    """
    sure = min(1 - _EDGE, max(_EDGE, confidence))
    length = math.sqrt(max(1, len(set(content_stems(query.text)))))
    return {
        "answer": math.log(sure / (1 - sure)),
        "dense": _best(evidence.hits, "dense"),
        "bm25": _best(evidence.hits, "bm25") / length,
    }


def _best(hits: Iterable[Hit], channel: str) -> float:
    return max((hit.channels[channel].score for hit in hits if channel in hit.channels), default=0.0)


def speaks_of(query: Query) -> bool:
    """Whether the signals speak of a question: it is text alone, and names no options to choose from."""
    return bool(query.text.strip()) and not query.images and not query.options
