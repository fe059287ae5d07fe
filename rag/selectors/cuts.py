"""Cuts: how many of some scores to keep. Pure functions over scores sorted in descending order.

Every cut keeps a leading part of the list. Those with a parameter keep more when it grows (`Above`: when it falls), so
a parameter can be calibrated: `critical` is its tightest value with which the score at some place is still kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from rag.errors import ConfigError
from rag.unions import two_groups


@runtime_checkable
class Cut(Protocol):
    """Decides how many of the scores are kept."""

    def count(self, scores: Sequence[float]) -> int:
        """The length of the leading part that is kept, in [0, len(scores)]. Scores descend and are finite."""
        ...

    def words(self) -> str:
        """Why a hit behind the cut is dropped, for a person."""
        ...


@dataclass(frozen=True, slots=True)
class TopK:
    """The first k. Scores are not read: the baseline of all others, and what RULE certifies a k for."""

    k: int

    def __post_init__(self) -> None:
        if self.k < 0:
            raise ConfigError(f"selection: k is {self.k}; it must be 0 or more")

    def count(self, scores: Sequence[float]) -> int:
        return min(self.k, len(scores))

    def words(self) -> str:
        return f"after the first {self.k}"

    @staticmethod
    def critical(scores: Sequence[float], place: int) -> float:
        """The least k that keeps the score at `place` (from 0)."""
        return place + 1.0 if place < len(scores) else math.inf


@dataclass(frozen=True, slots=True)
class Above:
    """Scores of at least `threshold`: what split conformal calibration fits."""

    threshold: float

    def __post_init__(self) -> None:
        if math.isnan(self.threshold):
            raise ConfigError("selection: the threshold is not a number")

    def count(self, scores: Sequence[float]) -> int:
        return sum(score >= self.threshold for score in scores)

    def words(self) -> str:
        return f"below the threshold {self.threshold:.4g}"

    @staticmethod
    def critical(scores: Sequence[float], place: int) -> float:
        """Minus the greatest threshold that keeps the score at `place`: negated, it grows as the cut loosens."""
        return -scores[place]


@dataclass(frozen=True, slots=True)
class LogRatio:
    """Up to the first drop of log(s_i / s_i+1) greater than `gamma`, as MMed-RAG's paper has it.

    Xia et al., ICLR 2025, https://arxiv.org/abs/2410.13085: with similarities s_1 >= s_2 >= ... and
    u_i = log(s_i / s_i+1), the list ends behind the first i with u_i > gamma. Logarithms need positive scores: a score
    of 0 or below ends the list before it.
    """

    gamma: float

    def __post_init__(self) -> None:
        if not self.gamma >= 0:
            raise ConfigError(f"selection: gamma of log-ratio is {self.gamma}; it must be 0 or more")

    def count(self, scores: Sequence[float]) -> int:
        positive = _positive(scores)
        for place in range(1, positive):
            if _log_ratio(scores[place - 1], scores[place]) > self.gamma:
                return place
        return positive

    def words(self) -> str:
        return f"behind a drop of log(s_i / s_i+1) above {self.gamma:.4g}"

    @staticmethod
    def critical(scores: Sequence[float], place: int) -> float:
        """The least gamma that keeps the score at `place`; infinite when that is not positive."""
        if place >= _positive(scores):
            return math.inf
        return max((_log_ratio(scores[i], scores[i + 1]) for i in range(place)), default=0.0)


@dataclass(frozen=True, slots=True)
class TopRatio:
    """Scores with top / score < `ratio`, as MMed-RAG's released code has it.

    The code keeps every negative score, because the ratio is then negative and passes the test; here scores of 0 or
    below are never kept.
    """

    ratio: float

    def __post_init__(self) -> None:
        if not self.ratio >= 1:
            raise ConfigError(f"selection: the ratio of top-ratio is {self.ratio}; it must be at least 1")

    def count(self, scores: Sequence[float]) -> int:
        # At exactly 1 the strict test would drop the best hit itself.
        passing = (score > 0 and (scores[0] / score < self.ratio or score == scores[0]) for score in scores)
        return sum(passing)

    def words(self) -> str:
        return f"the best score is {self.ratio:.4g} times as high or more"

    @staticmethod
    def critical(scores: Sequence[float], place: int) -> float:
        """The least ratio that keeps the score at `place`; infinite when that is not positive."""
        if scores[place] <= 0:
            return math.inf
        # The test is strict, so the least ratio is the next number above.
        return 1.0 if scores[place] == scores[0] else math.nextafter(scores[0] / scores[place], math.inf)


@dataclass(frozen=True, slots=True)
class LargestGap:
    """Up to the largest difference between neighbours, and `buffer` more behind it.

    Adaptive-k (Taguchi et al., EMNLP 2025, https://arxiv.org/abs/2506.08479) cuts there without any fitting. The gap is
    looked for behind the places `least` to `most`; the first of equal gaps counts. Equal scores have no gap: then
    `most` are kept.
    """

    least: int = 1
    most: int = 20
    buffer: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most or self.buffer < 0:
            raise ConfigError(
                f"selection: a gap behind places {self.least} to {self.most} with a buffer of {self.buffer} is "
                "impossible; use 1 <= least <= most and a buffer of 0 or more"
            )

    def count(self, scores: Sequence[float]) -> int:
        if len(scores) <= self.least:
            return len(scores)
        gaps = [scores[i - 1] - scores[i] for i in range(self.least, min(self.most, len(scores) - 1) + 1)]
        widest = max(gaps)
        if widest <= 0:
            return min(self.most, len(scores))
        return min(self.least + gaps.index(widest) + self.buffer, self.most, len(scores))

    def words(self) -> str:
        return "behind the largest gap between scores"


@dataclass(frozen=True, slots=True)
class TwoGroups:
    """The group of the best score, when the first `head` scores are two groups: a mixture of two normal distributions.

    ViDoRAG, 2025, https://arxiv.org/abs/2502.18017 (there: head 20, at least 5 and at most 10 kept). A wide group can
    enclose a narrow one; then what lies behind the narrow one is not kept. With one or two scores, or equal ones, there
    is one group, or one score each: fits on so few scores say little.
    """

    head: int = 20

    def __post_init__(self) -> None:
        if self.head < 1:
            raise ConfigError(f"selection: head of the mixture is {self.head}; it must be at least 1")

    def count(self, scores: Sequence[float]) -> int:
        groups = two_groups(np.array(scores[: self.head], dtype=np.float64))
        return next((place for place, group in enumerate(groups) if group != groups[0]), len(groups))

    def words(self) -> str:
        return "in the lower of two groups of scores"


def _positive(scores: Sequence[float]) -> int:
    return sum(score > 0 for score in scores)


def _log_ratio(first: float, second: float) -> float:
    # A difference of logarithms, because the quotient of very small numbers overflows.
    return math.log(first) - math.log(second)
