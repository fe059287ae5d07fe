"""How well a sentence answers a question: the scorer's interface, and one that needs no model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from rag.sentences import content_stems


@runtime_checkable
class SentenceScorer(Protocol):
    """Scores sentences against a question. Scores of one scorer are comparable, also across questions.

    The score of a sentence does not depend on the other sentences, except where the implementation says so.
    """

    def score(self, question: str, sentences: Sequence[str]) -> list[float]:
        """One finite score per sentence, higher is better, in the order given."""
        ...


class LexicalScorer:
    """The share of a question's meaning words that a sentence has, each weighted by how rare it is among the sentences.

    In [0, 1]. A rare word's weight is its inverse document frequency (Sparck Jones, 1972), counted over the sentences
    given: no corpus is needed, and a word that all candidates share tells nothing. So here scores do depend on the
    company.
    """

    def score(self, question: str, sentences: Sequence[str]) -> list[float]:
        """Weighted coverage of the question by each sentence."""
        bags = [frozenset(content_stems(sentence)) for sentence in sentences]
        wanted = frozenset(content_stems(question))
        weights = rarity(bags)
        return [coverage(wanted, bag, weights) for bag in bags]


def rarity(bags: Sequence[frozenset[str]]) -> Mapping[str, float]:
    """Inverse document frequency of every stem, never negative: `ln(1 + (n - df + 0.5) / (df + 0.5))` (Lucene)."""
    counts = Counter(stem for bag in bags for stem in bag)
    n = len(bags)
    return {stem: math.log(1 + (n - df + 0.5) / (df + 0.5)) for stem, df in counts.items()}


def coverage(wanted: frozenset[str], bag: frozenset[str], weights: Mapping[str, float]) -> float:
    """The weight of the wanted stems that are in the bag over the weight of all wanted stems; 0 if none is wanted.

    A stem that no sentence has weighs as much as the rarest one: that nothing mentions it counts against all.
    """
    if not wanted:
        return 0.0
    unseen = max(weights.values(), default=1.0)
    total = sum(weights.get(stem, unseen) for stem in wanted)
    held = sum(weights.get(stem, unseen) for stem in wanted & bag)
    return held / total if total else 0.0


def sigmoid(log_odds: float) -> float:
    """The probability of some log-odds, without overflow at the ends."""
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, log_odds))))
