"""How well a passage answers a sub-question: 0 nothing, 1 its topic, 2 it answers, 3 it answers plainly. By rules."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, runtime_checkable

from rag.agent.state import SubQuestion
from rag.sentences import content_stems, split_sentences
from rag.types import Hit

FUSED = "fused"
"""The channel under which a hit shows its standard score among those of its own kind."""

_FILLS = {
    "side": re.compile(r"\b(?:left|right|bilateral(?:ly)?|both sides)\b", re.IGNORECASE),
    "number": re.compile(r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|twice|half)\b", re.IGNORECASE),
    "modality": re.compile(
        r"\b(?:x-?rays?|radiograph\w*|ct|mri|ultraso\w+|echocardio\w+|endoscop\w+|scintigra\w+|pet|angiogra\w+)\b",
        re.IGNORECASE,
    ),
}


@runtime_checkable
class Scorer(Protocol):
    """Scores sentences against a question; scores of one scorer are comparable across questions."""

    def score(self, question: str, sentences: Sequence[str]) -> list[float]: ...


@dataclass(frozen=True, slots=True)
class GradeOptions:
    """How grades are given.

    midpoint, scale: a scorer's score s is the log-odds (s - midpoint) / scale that the sentence answers; the defaults
        belong to the ms-marco cross-encoder, calibrated in `rag.generators.extractive`. plain, answers, topic: the
        probabilities from which a grade is 3, 2, 1.
    cover_plain, cover_answers, cover_topic: the same for the share of the sub-question's rare words that two
        neighbouring sentences hold, used without a scorer. Judgement.
    sentences: how many of a passage the scorer reads, those that share most words with the sub-question.
    stands_out: from this standard score of the fused list on, a passage is at least on the topic.
    """

    midpoint: float = 0.0
    scale: float = 1.5
    plain: float = 0.9
    answers: float = 0.5
    topic: float = 0.1
    cover_plain: float = 0.85
    cover_answers: float = 0.65
    cover_topic: float = 0.35
    sentences: int = 3
    stands_out: float = 1.0


@dataclass(frozen=True, slots=True)
class Graded:
    """A grade, the sentence that earned it, and the slots it fills."""

    grade: int
    sentence: str = ""
    fills: tuple[str, ...] = ()


class Grader:
    """Grades hits for a sub-question, with a scorer of sentences where there is one and by words otherwise."""

    def __init__(self, scorer: Scorer | None = None, options: GradeOptions | None = None) -> None:
        self._scorer, self._options = scorer, options or GradeOptions()

    def grade(self, part: SubQuestion, hits: Sequence[Hit]) -> dict[str, Graded]:
        """The grade of each hit, by passage id."""
        wanted = frozenset(content_stems(part.text))
        if not wanted:
            # An image alone asks for what is like it: the list that was found by likeness is all there is to go by.
            return {hit.passage.id: Graded(2 if self._stands_out(hit) else 1) for hit in hits}
        read = {hit.passage.id: _windows(hit.passage.text) for hit in hits}
        weights = _rarity([bag for windows in read.values() for _, bag in windows])
        best = {
            name: sorted(windows, key=lambda window: -_cover(wanted, window[1], weights))[: self._options.sentences]
            for name, windows in read.items()
        }
        scores = self._scores(part.text, best)
        return {hit.passage.id: self._graded(hit, wanted, best[hit.passage.id], weights, scores) for hit in hits}

    def _scores(self, question: str, best: dict[str, list[tuple[str, frozenset[str]]]]) -> dict[str, float]:
        """The scorer's probability that a sentence answers, by sentence."""
        texts = list(dict.fromkeys(text for windows in best.values() for text, _ in windows))
        if self._scorer is None or not texts:
            return {}
        options = self._options
        said = self._scorer.score(question, texts)
        return {
            text: 1 / (1 + math.exp(-max(-60.0, min(60.0, (score - options.midpoint) / options.scale))))
            for text, score in zip(texts, said, strict=True)
        }

    def _graded(
        self, hit: Hit, wanted: frozenset[str], windows: list[tuple[str, frozenset[str]]],
        weights: dict[str, float], scores: dict[str, float],
    ) -> Graded:  # fmt: skip
        options = self._options
        if scores:
            value, text = max(((scores[text], text) for text, _ in windows), default=(0.0, ""))
            marks = (options.plain, options.answers, options.topic)
        else:
            value, text = max(((_cover(wanted, bag, weights), text) for text, bag in windows), default=(0.0, ""))
            marks = (options.cover_plain, options.cover_answers, options.cover_topic)
        grade = next((3 - place for place, mark in enumerate(marks) if value >= mark), 0)
        if grade == 0 and self._stands_out(hit):
            grade = 1
        return Graded(grade, text, tuple(name for name, pattern in _FILLS.items() if pattern.search(text)))

    def _stands_out(self, hit: Hit) -> bool:
        fused = hit.channels.get(FUSED)
        return fused is not None and fused.score >= self._options.stands_out


@lru_cache(maxsize=512)
def _windows(text: str) -> list[tuple[str, frozenset[str]]]:
    """Each sentence of a passage together with the one after it, and their stems."""
    sentences = [one for one in split_sentences(text) if one.kind != "heading"]
    found = []
    for place, one in enumerate(sentences):
        following = sentences[place + 1].text if place + 1 < len(sentences) else ""
        joined = " ".join(f"{one.heading}: {one.text} {following}".split()[:80]).lstrip(": ")
        found.append((joined, frozenset(content_stems(joined))))
    return found


def _rarity(bags: Sequence[frozenset[str]]) -> dict[str, float]:
    """Inverse document frequency over the sentences read, `ln(1 + (n - df + 0.5) / (df + 0.5))` (Lucene)."""
    counts = Counter(stem for bag in bags for stem in bag)
    return {stem: math.log(1 + (len(bags) - df + 0.5) / (df + 0.5)) for stem, df in counts.items()}


def _cover(wanted: frozenset[str], bag: frozenset[str], weights: dict[str, float]) -> float:
    """The weight of the wanted stems that the bag holds, over that of all; stems that nothing holds weigh most."""
    unseen = max(weights.values(), default=1.0)
    total = sum(weights.get(stem, unseen) for stem in wanted)
    return sum(weights.get(stem, unseen) for stem in wanted & bag) / total if total else 0.0
