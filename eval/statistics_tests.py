"""Tests of paired results: sign-flip randomisation, exact McNemar, and Wilson's interval of a proportion.

Questions about one patient are not independent. Every test that takes `clusters` treats a cluster as one observation,
and its result says how many there were.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, ndtri

from eval.statistics import Estimate
from rag.errors import ConfigError

Floats = npt.NDArray[np.float64]

EXACT_UP_TO = 16
"""With this many observations or fewer all 2**n sign patterns are gone through: 65,536 at most."""

_BLOCK = 4_000_000
_ROUNDING = 1e-12
"""Sums in another order differ by rounding; a pattern this near the observed sum, relatively, equals it."""
_NO_GAP = 1e-12
"""Scores nearer than this are equal: means of the same numbers in another order differ by some 1e-16."""


@dataclass(frozen=True, slots=True)
class RandomisationOptions:
    """How many random patterns are drawn, and from which seed.

    Raises:
        ConfigError: fewer than 99 patterns, with which no p-value below 0.01 is possible.
    """

    resamples: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 99:
            raise ConfigError(f"{self.resamples} random patterns are too few for a test; use at least 99")


@dataclass(frozen=True, slots=True)
class PairedTest:
    """A two-sided test of a mean paired difference.

    `n` is the number of pairs, `clusters` of what was flipped as a whole. `exact`: every pattern was gone through.
    `p` is None when there is no pair.
    """

    difference: float | None
    p: float | None
    n: int
    clusters: int
    exact: bool


@dataclass(frozen=True, slots=True)
class McNemarTest:
    """Exact McNemar test. `only_first` and `only_second` count the pairs that one system alone got right."""

    p: float | None
    only_first: int
    only_second: int
    n: int


def sign_flip_test(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    options: RandomisationOptions | None = None,
) -> PairedTest:
    """Is the mean of `first - second` (shapes (n,)) further from 0 than chance allows, if the labels could be swapped?

    Fisher's randomisation test: the sign of each difference, or of a whole cluster's, is flipped. All patterns up to
    16 clusters; beyond, p = (1 + number of patterns at least as extreme) / (patterns + 1), which is never 0.
    Smucker, Allan and Carterette, 2007, https://doi.org/10.1145/1321440.1321528; the +1: Phipson and Smyth, 2010,
    https://doi.org/10.2202/1544-6115.1585.

    Raises:
        ValueError: the lengths differ, or a number is not finite.
    """
    options = options or RandomisationOptions()
    gaps = paired_gaps(first, second)
    sums = cluster_sums(gaps, clusters)
    if not gaps.size:
        return PairedTest(None, None, 0, 0, exact=True)
    observed = abs(float(sums.sum()))
    reach = observed - _ROUNDING * float(np.abs(sums).sum())
    exact = sums.size <= EXACT_UP_TO
    if exact:
        p = float(np.mean(np.abs(all_signs(sums.size) @ sums) >= reach))
    else:
        p = (1 + _as_extreme(sums, reach, options)) / (options.resamples + 1)
    return PairedTest(float(gaps.mean()), p, gaps.size, sums.size, exact)


def mcnemar_test(first: npt.ArrayLike, second: npt.ArrayLike) -> McNemarTest:
    """Do two systems' right answers (booleans, shapes (n,)) differ? Exact and two-sided, on the pairs that differ.

    p = 2 P(X <= smaller count), X binomial with one half, at most 1. McNemar, 1947,
    https://doi.org/10.1007/BF02295996. Pairs count as independent: with several questions per patient use
    `sign_flip_test` with clusters.

    Raises:
        ValueError: the lengths differ, or a value is neither 0 nor 1.
    """
    ours, theirs = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    paired_gaps(ours, theirs)
    if not np.isin(ours, (0, 1)).all() or not np.isin(theirs, (0, 1)).all():
        raise ValueError("McNemar's test needs right or wrong; for scores use the sign-flip test")
    only_first, only_second = int(np.sum(ours > theirs)), int(np.sum(ours < theirs))
    total = only_first + only_second
    p = min(1.0, 2.0 * float(bdtr(min(only_first, only_second), total, 0.5))) if total else 1.0
    return McNemarTest(p if ours.size else None, only_first, only_second, ours.size)


def wilson_interval(right: int, n: int, level: float = 0.95) -> Estimate:
    """A proportion with Wilson's score interval; undefined without a trial.

    Wilson, 1927, https://doi.org/10.1080/01621459.1927.10502953. For independent trials only.

    Raises:
        ValueError: more right than trials, or a negative count.
    """
    if not 0 <= right <= n:
        raise ValueError(f"{right} right of {n} is impossible")
    if not 0 < level < 1:
        raise ConfigError(f"a confidence level of {level} is impossible; choose one between 0 and 1")
    if not n:
        return Estimate(None, None, None)
    z2 = float(ndtri(0.5 + level / 2)) ** 2
    share = right / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = (z2 * share * (1 - share) / n + z2**2 / (4 * n**2)) ** 0.5 / (1 + z2 / n)
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half))


def paired_gaps(first: npt.ArrayLike, second: npt.ArrayLike) -> Floats:
    """`first - second` of two systems on the same questions, shape (n,); 0 where only rounding makes a difference.

    Raises:
        ValueError: the lengths differ, or a number is not finite.
    """
    ours, theirs = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if ours.shape != theirs.shape or ours.ndim != 1:
        raise ValueError(f"paired values of shapes {ours.shape} and {theirs.shape} are not of the same questions")
    gaps = ours - theirs
    if not np.isfinite(gaps).all():
        raise ValueError("a paired comparison needs finite numbers; leave out or score 0 what failed, in both systems")
    return without_rounding(gaps)


def without_rounding(gaps: Floats) -> Floats:
    """Differences with those below 1e-12 as 0: rounding, which a test of signs would take for an effect."""
    return np.where(np.abs(gaps) < _NO_GAP, 0.0, gaps)


def cluster_sums(values: Floats, clusters: Sequence[Hashable] | None) -> Floats:
    """The sum of each cluster's values, in order of first appearance; the values themselves without clusters.

    Raises:
        ValueError: there are more or fewer names than values.
    """
    if clusters is None:
        return values
    member = cluster_numbers(clusters, len(values))
    return np.bincount(member, weights=values).astype(np.float64) if len(values) else values


def cluster_numbers(clusters: Sequence[Hashable], n: int) -> npt.NDArray[np.intp]:
    """Each row's cluster as a number from 0, in order of first appearance. Raises ValueError on another length."""
    if len(clusters) != n:
        raise ValueError(f"{len(clusters)} cluster names for {n} questions")
    number = {name: position for position, name in enumerate(dict.fromkeys(clusters))}
    return np.array([number[name] for name in clusters], dtype=np.intp)


def all_signs(n: int) -> Floats:
    """Every pattern of n signs, shape (2**n, n)."""
    return (1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)).astype(np.float64)


def _as_extreme(sums: Floats, reach: float, options: RandomisationOptions) -> int:
    """How many random sign patterns have a sum of at least `reach`, in absolute value."""
    rng = np.random.default_rng(options.seed)
    block = max(1, _BLOCK // sums.size)
    found = 0
    for start in range(0, options.resamples, block):
        rows = min(block, options.resamples - start)
        signs = 1.0 - 2.0 * rng.integers(0, 2, size=(rows, sums.size), dtype=np.int8)
        found += int(np.sum(np.abs(signs @ sums) >= reach))
    return found
