"""The retriever gate: how well a channel finds what belongs together, beside chance. Pure.

A retriever whose vectors say nothing still returns hits that look like results, and an answer built on them is worse
than none. So each library measures its own channels on pairs it knows to belong together, before it is asked anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DEPTHS = (1, 5, 10)
FEWEST_QUERIES = 20
"""With fewer queries the interval is too wide for a verdict."""
_NORMAL_95 = 1.6449
"""One-sided 95 % quantile of the normal distribution: a channel is suspected for its lower bound only."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One query: the best rank of a right candidate, from 1 (None: not within the depth), and what was to be found."""

    rank: int | None
    right: int
    candidates: int


@dataclass(frozen=True, slots=True)
class GateFigure:
    """What one channel finds. `recall`, its lower bound and `chance` are shares of queries, in [0, 1], by depth.

    recall: queries with a right candidate among the first 1, 5 or 10. low: lower end of its 95 % interval (one-sided).
    chance: the same of a random order. candidates: the mean number searched.
    """

    check: str
    channel: str
    queries: int
    candidates: float
    recall: Mapping[int, float]
    low: Mapping[int, float]
    chance: Mapping[int, float]

    @property
    def above_chance(self) -> bool | None:
        """Whether the lower bound is above chance at one depth at least; None with too few queries or candidates."""
        telling = [depth for depth in self.chance if self.chance[depth] < 1]
        if self.queries < FEWEST_QUERIES or not telling:
            return None
        return any(self.low[depth] > self.chance[depth] for depth in telling)


def gate_figure(check: str, channel: str, trials: Sequence[Trial]) -> GateFigure | None:
    """The figure of some queries, which should be independent (one per patient); None without any."""
    n = len(trials)
    if not n:
        return None
    recall = {depth: sum(_within(trial, depth) for trial in trials) / n for depth in DEPTHS}
    return GateFigure(
        check,
        channel,
        n,
        sum(trial.candidates for trial in trials) / n,
        recall,
        {depth: lower_bound(share, n) for depth, share in recall.items()},
        {depth: sum(chance_of(depth, trial.right, trial.candidates) for trial in trials) / n for depth in DEPTHS},
    )


def chance_of(depth: int, right: int, candidates: int) -> float:
    """The probability that a random order has one of the right candidates among its first `depth` (hypergeometric)."""
    missed = 1.0
    for drawn in range(min(depth, candidates)):
        missed *= max(candidates - right - drawn, 0) / (candidates - drawn)
    return 1 - missed


def lower_bound(share: float, n: int) -> float:
    """The lower end of Wilson's score interval for a share of n, one-sided 95 %.

    Wilson, 1927, https://doi.org/10.1080/01621459.1927.10502953
    """
    z = _NORMAL_95
    middle = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (middle - spread) / (1 + z * z / n))


def _within(trial: Trial, depth: int) -> bool:
    return trial.rank is not None and trial.rank <= depth
