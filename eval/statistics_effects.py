"""How large a difference is, and one system against another in a single record."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from eval.statistics import BootstrapOptions, Estimate, bootstrap, mean_interval, wins_ties_losses
from eval.statistics_families import benjamini_hochberg, holm
from eval.statistics_tests import RandomisationOptions, paired_gaps, sign_flip_test

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ComparisonOptions:
    """How two systems are compared: interval, test, and the difference below which a question counts as a tie."""

    interval: BootstrapOptions = field(default_factory=BootstrapOptions)
    test: RandomisationOptions = field(default_factory=RandomisationOptions)
    tie: float = 1e-12


@dataclass(frozen=True, slots=True)
class Comparison:
    """`first` against `second` on the same n questions.

    `difference` is the mean of first - second with its interval; `p` is the sign-flip test's, `p_holm` and `p_bh` are
    adjusted within the family the comparison was made in. `paired_d` is the standardised difference, `cliffs_delta`
    in [-1, 1] the unpaired dominance.
    """

    first: str
    second: str
    n: int
    clusters: int
    means: tuple[float | None, float | None]
    difference: Estimate
    p: float | None
    paired_d: float | None
    cliffs_delta: float | None
    wins: int
    ties: int
    losses: int
    p_holm: float | None = None
    p_bh: float | None = None

    def is_significant(self, level: float = 0.05) -> bool:
        """Whether the Holm-adjusted p-value (the plain one outside a family) is below the level."""
        p = self.p if self.p_holm is None else self.p_holm
        return p is not None and p < level


@dataclass(frozen=True, slots=True)
class Subgroup:
    """The mean within one subgroup, with n questions from so many clusters."""

    name: str
    n: int
    clusters: int
    mean: Estimate


def paired_d(first: npt.ArrayLike, second: npt.ArrayLike) -> float | None:
    """Mean difference over the standard deviation of the differences (n - 1); None when undefined.

    Cohen's d_z: Lakens, 2013, https://doi.org/10.3389/fpsyg.2013.00863. Undefined for fewer than two pairs or equal
    differences.
    """
    gaps = paired_gaps(first, second)
    if gaps.size < 2:
        return None
    spread = float(gaps.std(ddof=1))
    return float(gaps.mean()) / spread if spread > 1e-12 * max(1.0, float(np.abs(gaps).max())) else None


def cliffs_delta(first: npt.ArrayLike, second: npt.ArrayLike) -> float | None:
    """Share of pairs (x of first, y of second) with x > y minus the share with x < y, in [-1, 1].

    Cliff, 1993, https://doi.org/10.1037/0033-2909.114.3.494. Every x meets every y: the pairing is not used.
    """
    ours, theirs = np.asarray(first, dtype=np.float64).ravel(), np.sort(np.asarray(second, dtype=np.float64).ravel())
    if not ours.size or not theirs.size:
        return None
    above = np.searchsorted(theirs, ours, side="left").sum()
    below = theirs.size * ours.size - np.searchsorted(theirs, ours, side="right").sum()
    return float(above - below) / (ours.size * theirs.size)


def compare_paired(
    named: Mapping[str, npt.ArrayLike],
    clusters: Sequence[Hashable] | None = None,
    options: ComparisonOptions | None = None,
) -> Comparison:
    """The first of two named systems against the second, one value per question each.

    Raises:
        ValueError: not two systems, different lengths, or a number that is not finite.
    """
    options = options or ComparisonOptions()
    if len(named) != 2:
        raise ValueError(f"a paired comparison needs two systems, not {len(named)}")
    (first, ours), (second, theirs) = ((name, np.asarray(value, dtype=np.float64)) for name, value in named.items())
    test = sign_flip_test(ours, theirs, clusters, options.test)
    resampled = bootstrap(np.column_stack([ours, theirs]), options.interval, clusters)
    wins, ties, losses = wins_ties_losses(ours, theirs, options.tie)
    means = (float(ours.mean()), float(theirs.mean())) if test.n else (None, None)
    return Comparison(
        first, second, test.n, test.clusters, means, resampled.difference(0, 1), test.p,
        paired_d(ours, theirs), cliffs_delta(ours, theirs), wins, ties, losses,
    )  # fmt: skip


def compare_to_baseline(
    systems: Mapping[str, npt.ArrayLike],
    baseline: str,
    clusters: Sequence[Hashable] | None = None,
    options: ComparisonOptions | None = None,
) -> tuple[Comparison, ...]:
    """Every other system against the baseline as one family, with Holm's and Benjamini-Hochberg's p-values.

    Raises:
        ValueError: the baseline is not among the systems, or as `compare_paired`.
    """
    if baseline not in systems:
        raise ValueError(f"the baseline {baseline!r} is not among the systems {', '.join(systems)}")
    made = [
        compare_paired({name: values, baseline: systems[baseline]}, clusters, options)
        for name, values in systems.items()
        if name != baseline
    ]
    p_values = [one.p for one in made if one.p is not None]
    if len(p_values) != len(made):  # no question at all
        return tuple(made)
    adjusted = zip(made, holm(p_values).tolist(), benjamini_hochberg(p_values).tolist(), strict=True)
    return tuple(replace(one, p_holm=p_holm, p_bh=p_bh) for one, p_holm, p_bh in adjusted)


def subgroup_means(
    values: npt.ArrayLike,
    groups: Sequence[str],
    clusters: Sequence[Hashable] | None = None,
    options: BootstrapOptions | None = None,
) -> tuple[Subgroup, ...]:
    """The mean of each subgroup with its interval and n, largest first, ties by name.

    Raises:
        ValueError: the lengths differ.
    """
    scores = np.asarray(values, dtype=np.float64)
    if len(groups) != len(scores) or (clusters is not None and len(clusters) != len(scores)):
        raise ValueError(f"{len(scores)} values, but {len(groups)} group names or another number of clusters")
    names = np.array(groups, dtype=object)
    made = []
    for name in dict.fromkeys(groups):
        rows = np.flatnonzero(names == name).tolist()
        own = None if clusters is None else [clusters[row] for row in rows]
        count = len(rows) if own is None else len(set(own))
        made.append(Subgroup(name, len(rows), count, mean_interval(scores[rows], options, own)))
    return tuple(sorted(made, key=lambda group: (-group.n, group.name)))
