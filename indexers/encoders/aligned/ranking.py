"""Where the right item stands among all candidates: ranks, and the figures made of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from indexers.encoders.aligned.features import Flags, Indices

Floats = npt.NDArray[np.float64]
DEPTHS = (1, 5, 10)


def gold_ranks(scores: npt.ArrayLike, gold: Indices) -> Floats:
    """Rank (from 1) of each query's own item, shape (n_queries,), by scores (n_queries, n_candidates).

    Items of equal score share the middle of their places: neither luck nor order helps. Two images with one caption
    thus have rank 1.5 each at best.
    """
    values = np.asarray(scores, dtype=np.float64)
    own = values[np.arange(len(values)), gold][:, None]
    above = (values > own + _TIE).sum(axis=1)
    level = (np.abs(values - own) <= _TIE).sum(axis=1)
    ranks: Floats = above + (level + 1) / 2
    return ranks


_TIE = 5e-7
"""Products of the same vectors in batches of another size differ by rounding; nearer than this they are equal."""


def accepted_ranks(scores: npt.ArrayLike, accepted: Flags) -> Floats:
    """Rank of the best of several right items, shape (n_queries,); infinite where nothing is right."""
    values = np.asarray(scores, dtype=np.float64)
    best = np.where(accepted, values, -np.inf).max(axis=1, initial=-np.inf)
    above: Floats = 1.0 + (values > best[:, None] + _TIE).sum(axis=1)
    return np.where(np.isfinite(best), above, np.inf)


@dataclass(frozen=True, slots=True)
class RankFigures:
    """R@1, R@5 and R@10 in [0, 1] (share of queries whose item is among the first k), and the median rank from 1."""

    r1: float
    r5: float
    r10: float
    median_rank: float

    def as_json(self) -> dict[str, float]:
        """`{"r1", "r5", "r10", "median_rank"}`, rounded."""
        recalls = {"r1": self.r1, "r5": self.r5, "r10": self.r10}
        return {name: round(value, 4) for name, value in recalls.items()} | {"median_rank": self.median_rank}


def figures_of(ranks: Floats) -> RankFigures:
    """The figures of some ranks; all 0 when there are none."""
    if not len(ranks):
        return RankFigures(0.0, 0.0, 0.0, 0.0)
    first, fifth, tenth = (float((ranks <= depth).mean()) for depth in DEPTHS)
    return RankFigures(first, fifth, tenth, float(np.median(ranks)))


def chance_of(n_candidates: int) -> RankFigures:
    """What drawing an order by lot gives on average."""
    first, fifth, tenth = (min(1.0, depth / max(1, n_candidates)) for depth in DEPTHS)
    return RankFigures(first, fifth, tenth, (n_candidates + 1) / 2)
