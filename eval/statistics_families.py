"""Corrections for many comparisons, and which systems cannot be told apart.

A family is every contrast of one metric on one dataset. Holm for the contrasts planned beforehand, Benjamini-Hochberg
for an exploratory grid, the joint permutation for all pairs of a leader board.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from eval.statistics_tests import RandomisationOptions, cluster_numbers

Floats = npt.NDArray[np.float64]

_BLOCK = 1_000_000
_ROUNDING = 1e-12


def holm(p_values: npt.ArrayLike) -> Floats:
    """Adjusted p-values that keep the chance of any false claim in the family below the level; shape (n,).

    Holm, 1979, https://www.jstor.org/stable/4615733: the i-th smallest times (n - i + 1), never falling, at most 1.
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    return _back(np.minimum(steps, 1.0), order)


def benjamini_hochberg(p_values: npt.ArrayLike) -> Floats:
    """Adjusted p-values that keep the expected share of false claims among the claims below the level; shape (n,).

    Benjamini and Hochberg, 1995, https://doi.org/10.1111/j.2517-6161.1995.tb02031.x: the i-th smallest times n / i,
    never rising towards the smaller ones, at most 1.
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    raised = p[order] * p.size / np.arange(1, p.size + 1)
    steps = np.minimum.accumulate(raised[::-1])[::-1]
    return _back(np.minimum(steps, 1.0), order)


def all_pairs_test(
    table: npt.ArrayLike, clusters: Sequence[Hashable] | None = None, options: RandomisationOptions | None = None
) -> Floats:
    """Adjusted p-values of every pair of systems, shape (n_systems, n_systems), diagonal 1.

    The labels of the systems are permuted within each question (or for a whole cluster alike), and each observed
    difference of means is compared with the greatest difference of any pair: the family-wise error is kept without
    assuming anything of the distribution. Westfall and Young, 1993, Resampling-Based Multiple Testing, chapter 2;
    for retrieval: Carterette, 2012, https://doi.org/10.1145/2094072.2094076. `table` has shape
    (n_questions, n_systems).

    Raises:
        ValueError: the table is not two-dimensional and finite, or has no question.
    """
    options = options or RandomisationOptions()
    values = np.asarray(table, dtype=np.float64)
    if values.ndim != 2 or not len(values) or not np.isfinite(values).all():
        raise ValueError("a comparison of all pairs needs a table of finite numbers, one row per question")
    sums = _summed(values, clusters)
    totals = sums.sum(axis=0)
    observed = np.abs(totals[:, None] - totals[None, :])
    reach = observed - _ROUNDING * float(np.abs(sums).sum())
    rng = np.random.default_rng(options.seed)
    exceeded = np.zeros_like(observed)
    block = max(1, _BLOCK // sums.size)
    for start in range(0, options.resamples, block):
        rows = min(block, options.resamples - start)
        shuffled = rng.permuted(np.broadcast_to(sums, (rows, *sums.shape)), axis=2).sum(axis=1)
        exceeded += (np.ptp(shuffled, axis=1)[:, None, None] >= reach).sum(axis=0)
    adjusted: Floats = (1 + exceeded) / (options.resamples + 1)
    np.fill_diagonal(adjusted, 1.0)
    return adjusted


def significant_pairs(names: Sequence[str], adjusted: Floats, level: float = 0.05) -> frozenset[frozenset[str]]:
    """The pairs of systems whose adjusted p-value is below the level."""
    return frozenset(
        frozenset((names[i], names[j]))
        for i in range(len(names))
        for j in range(i + 1, len(names))
        if adjusted[i, j] < level
    )


def tied_groups(names: Sequence[str], different: Collection[frozenset[str]]) -> list[frozenset[str]]:
    """The largest sets of systems without a significant difference among them; a system may be in several.

    Insert and absorb, Piepho, 2004, https://doi.org/10.1198/1061860043515. `names` are best first and give the order
    of the groups.
    """
    groups: list[frozenset[str]] = [frozenset(names)]
    for pair in sorted(different, key=sorted):
        split: list[frozenset[str]] = []
        for group in groups:
            split.extend([group - {name} for name in sorted(pair)] if pair <= group else [group])
        whole = list(dict.fromkeys(split))
        groups = [group for group in whole if not any(group < other for other in whole)]
    place = {name: position for position, name in enumerate(names)}
    return sorted(groups, key=lambda group: sorted(place[name] for name in group))


def group_letters(names: Sequence[str], different: Collection[frozenset[str]]) -> Mapping[str, str]:
    """A compact letter display: systems that share a letter cannot be told apart. The best system has an `a`."""
    groups = tied_groups(names, different)
    return {
        name: "".join(_letter(position) for position, group in enumerate(groups) if name in group) for name in names
    }


def _letter(position: int) -> str:
    """The letters a to z, then a1, b1 and so on."""
    letter = chr(ord("a") + position % 26)
    return letter if position < 26 else f"{letter}{position // 26}"


def _summed(values: Floats, clusters: Sequence[Hashable] | None) -> Floats:
    if clusters is None:
        return values
    member = cluster_numbers(clusters, len(values))
    sums = np.zeros((int(member.max()) + 1, values.shape[1]))
    np.add.at(sums, member, values)
    return sums


def _checked(p_values: npt.ArrayLike) -> Floats:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p-values are numbers from 0 to 1; leave out the contrasts that have none")
    return p


def _back(adjusted: Floats, order: npt.NDArray[np.intp]) -> Floats:
    placed = np.empty_like(adjusted)
    placed[order] = adjusted
    return placed
