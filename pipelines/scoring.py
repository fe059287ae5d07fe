"""The cross-encoder as a scorer of sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class PairScorer(Protocol):
    """Scores (question, text) pairs; higher answers better."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]: ...


class CrossEncoderScorer:
    """Lets the extractive answerer read sentences with a model of pairs."""

    def __init__(self, model: PairScorer) -> None:
        self._model = model

    def score(self, question: str, sentences: Sequence[str]) -> list[float]:
        """One logit per sentence."""
        return self._model.score([(question, sentence) for sentence in sentences])
