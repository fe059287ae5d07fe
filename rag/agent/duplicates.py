"""Queries that were asked before, in other words or the same: they are refused, and cost a step."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rag.agent.state import LoggedQuery
from rag.sentences import content_stems, stem, words
from rag.types import Matrix

Embed = Callable[[Sequence[str]], Matrix]
"""Unit vectors of queries, shape (n, dim)."""
Likeness = Literal["exact", "words", "meaning"]

_TELLING = re.compile(
    r"\b(?:left|right|upper|lower|anterior|posterior|medial|lateral|proximal|distal|acute|chronic|benign|malignant|"
    r"systolic|diastolic|arter(?:y|ies|ial)|veins?|venous|afferent|efferent|sympathetic|parasympathetic|h(?:yper|ypo)\w+|not?|without|"
    r"\d[\d.,]*)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class DuplicateOptions:
    """From which likeness on two queries are one: Jaccard of their sets of stems, and cosine of their vectors.

    The thresholds are judgements (reference loop: 0.8 and 0.95). Queries that differ in a word that turns the meaning
    (a side, a number, a negation) are never taken for one.
    """

    jaccard: float = 0.8
    cosine: float = 0.95


def normalised(text: str) -> str:
    """A query as it is compared: its words in lower case, in order, without punctuation."""
    return " ".join(words(text))


def repeats(
    asked: LoggedQuery, earlier: Sequence[LoggedQuery], embed: Embed | None = None,
    options: DuplicateOptions | None = None,
) -> Likeness | None:  # fmt: skip
    """How a query repeats an earlier one of the same kinds, images and filters; None when it is new.

    Searches that never ran (too late, failed) do not count: asking again is the remedy.
    """
    options = options or DuplicateOptions()
    alike = [one for one in earlier if _same_place(one, asked) and one.outcome == "found"]
    text = normalised(asked.text)
    if any(normalised(one.text) == text for one in alike):
        return "exact"
    near = [one for one in alike if one.text.strip() and _turns(one.text) == _turns(asked.text)]
    stems = frozenset(content_stems(asked.text))
    if any(_jaccard(stems, frozenset(content_stems(one.text))) >= options.jaccard for one in near):
        return "words"
    if embed is not None and near and text:
        vectors = embed([asked.text, *(one.text for one in near)])
        if float(np.max(vectors[1:] @ vectors[0])) >= options.cosine:
            return "meaning"
    return None


def _same_place(one: LoggedQuery, other: LoggedQuery) -> bool:
    return (set(one.kinds), one.images, one.filters) == (set(other.kinds), other.images, other.filters)


def _turns(text: str) -> frozenset[str]:
    return frozenset(stem(match.lower()) for match in _TELLING.findall(text))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one and other else 0.0
