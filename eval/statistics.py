"""Bootstrap intervals of means over queries, of their paired differences and of their ratios.

One `bootstrap` of a table (queries x columns) resamples whole rows, so every column of a resample has seen the same
queries: differences and ratios of two columns are paired by construction. With clusters (patients, images) whole
clusters are resampled; a mean is then the resampled clusters' sum over their number of queries.

Efron and Tibshirani, 1993, An Introduction to the Bootstrap, chapters 8, 13 and 14; for retrieval: Sakai, 2006,
https://doi.org/10.1145/1148170.1148261.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from rag.errors import ConfigError

Floats = npt.NDArray[np.float64]
Method = Literal["bca", "percentile"]

_BLOCK_DRAWS = 2_000_000
_TIE = 1e-12
"""Means of the same queries summed in another order differ by rounding; nearer than this they are equal."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its confidence interval. None: undefined (no query, a ratio to 0), or a bound without limit."""

    value: float | None
    low: float | None
    high: float | None

    def as_json(self) -> dict[str, float | None]:
        """`{"value", "low", "high"}`, rounded to 6 digits."""
        named = {"value": self.value, "low": self.low, "high": self.high}
        return {name: None if number is None else round(number, 6) for name, number in named.items()}


UNDEFINED = Estimate(None, None, None)


@dataclass(frozen=True, slots=True)
class BootstrapOptions:
    """How intervals are made: number of resamples, confidence level in (0, 1), seed, and method.

    `bca` corrects bias and skew (Efron, 1987, https://doi.org/10.1080/01621459.1987.10478410) and falls back to
    `percentile` where it is undefined: one cluster, or no spread.

    Raises:
        ConfigError: fewer than 100 resamples, or a level outside (0, 1).
    """

    resamples: int = 10_000
    level: float = 0.95
    seed: int = 0
    method: Method = "bca"

    def __post_init__(self) -> None:
        if self.resamples < 100:
            raise ConfigError(f"{self.resamples} resamples are too few for an interval; use at least 100")
        if not 0 < self.level < 1:
            raise ConfigError(f"a confidence level of {self.level} is impossible; choose one between 0 and 1")


@dataclass(frozen=True, slots=True, eq=False)
class Bootstrap:
    """The resampled means of a table's columns.

    `means` has shape (n_columns,), `replicates` (n_resamples, n_columns), and `left_out` (n_clusters, n_columns): the
    means without each cluster in turn. `n` is the number of queries, `clusters` of what was resampled.
    """

    means: Floats
    replicates: Floats
    left_out: Floats
    n: int
    clusters: int
    options: BootstrapOptions

    def mean(self, column: int) -> Estimate:
        """A column's mean."""
        if not self.n:
            return UNDEFINED
        return self._estimate(float(self.means[column]), self.replicates[:, column], self.left_out[:, column])

    def difference(self, first: int, second: int) -> Estimate:
        """The mean of column `first` minus that of `second`, over the same queries."""
        if not self.n:
            return UNDEFINED
        return self._estimate(
            float(self.means[first] - self.means[second]),
            self.replicates[:, first] - self.replicates[:, second],
            self.left_out[:, first] - self.left_out[:, second],
        )

    def ratio(self, first: int, second: int) -> Estimate:
        """The mean of column `first` over that of `second`, over the same queries; both must be non-negative.

        Undefined when the second mean is 0. A resample whose second mean is 0 counts as infinitely large, so `high`
        may be None: no upper limit.
        """
        if not self.n or self.means[second] <= 0:
            return UNDEFINED
        return self._estimate(
            float(self.means[first] / self.means[second]),
            _quotient(self.replicates[:, first], self.replicates[:, second]),
            _quotient(self.left_out[:, first], self.left_out[:, second]),
        )

    def _estimate(self, value: float, replicates: Floats, left_out: Floats) -> Estimate:
        tail = (1 - self.options.level) / 2
        probabilities = (tail, 1 - tail)
        if self.options.method == "bca":
            probabilities = _bca_probabilities(value, replicates, left_out, tail) or probabilities
        # Order statistics instead of interpolation: between a number and infinity there is nothing to interpolate.
        low, high = np.quantile(replicates, probabilities, method="inverted_cdf").tolist()
        return Estimate(value, low if np.isfinite(low) else None, high if np.isfinite(high) else None)


def bootstrap(
    table: npt.ArrayLike, options: BootstrapOptions | None = None, clusters: Sequence[Hashable] | None = None
) -> Bootstrap:
    """Resample the rows of a table (n_queries, n_columns) with replacement, or whole clusters of rows.

    The same seed gives the same resamples, whatever the number of columns. `clusters` names each row's cluster.

    Raises:
        ValueError: the table is not two-dimensional, holds a non-finite number, or `clusters` has another length.
    """
    options = options or BootstrapOptions()
    values = np.asarray(table, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ValueError("a bootstrap needs a table of finite numbers, one row per query")
    sums, sizes = _cluster_sums(values, clusters)
    if not len(values):
        empty = np.zeros((0, values.shape[1]))
        return Bootstrap(np.zeros(values.shape[1]), empty, empty, 0, 0, options)
    with np.errstate(divide="ignore", invalid="ignore"):  # one cluster: nothing is left when it is left out
        left_out = (sums.sum(axis=0) - sums) / (len(values) - sizes)[:, None]
    return Bootstrap(
        means=sums.sum(axis=0) / len(values),
        replicates=_replicates(sums, sizes, options),
        left_out=left_out,
        n=len(values),
        clusters=len(sums),
        options=options,
    )


def mean_interval(
    values: npt.ArrayLike, options: BootstrapOptions | None = None, clusters: Sequence[Hashable] | None = None
) -> Estimate:
    """The mean of one value per query, shape (n_queries,), with its interval."""
    return bootstrap(np.asarray(values, dtype=np.float64).reshape(-1, 1), options, clusters).mean(0)


def paired_ratio(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    options: BootstrapOptions | None = None,
    clusters: Sequence[Hashable] | None = None,
) -> Estimate:
    """Mean of `first` over mean of `second`, two systems on the same queries, shapes (n_queries,)."""
    return bootstrap(np.column_stack([first, second]), options, clusters).ratio(0, 1)


def wins_ties_losses(first: Floats, second: Floats, tie: float = _TIE) -> tuple[int, int, int]:
    """On how many queries the first system is better, equal, worse; a gap of at most `tie` is a tie."""
    gap = first - second
    wins, losses = int(np.sum(gap > tie)), int(np.sum(gap < -tie))
    return wins, len(gap) - wins - losses, losses


def _cluster_sums(values: Floats, clusters: Sequence[Hashable] | None) -> tuple[Floats, Floats]:
    """Column sums (n_clusters, n_columns) and sizes (n_clusters,); clusters in order of first appearance."""
    if clusters is None:
        return values, np.ones(len(values))
    if len(clusters) != len(values):
        raise ValueError(f"{len(clusters)} cluster names for {len(values)} queries")
    number = {name: position for position, name in enumerate(dict.fromkeys(clusters))}
    member = np.array([number[name] for name in clusters], dtype=np.intp)
    sums = np.zeros((len(number), values.shape[1]))
    np.add.at(sums, member, values)
    return sums, np.bincount(member, minlength=len(number)).astype(np.float64)


def _replicates(sums: Floats, sizes: Floats, options: BootstrapOptions) -> Floats:
    """Means of every resample, shape (n_resamples, n_columns): how often each cluster was drawn, times its sums."""
    rng = np.random.default_rng(options.seed)
    n = len(sums)
    block = max(1, _BLOCK_DRAWS // n)
    blocks = []
    for start in range(0, options.resamples, block):
        rows = min(block, options.resamples - start)
        draws = rng.integers(0, n, size=(rows, n)) + np.arange(rows)[:, None] * n
        times = np.bincount(draws.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)
        blocks.append((times @ sums) / (times @ sizes)[:, None])
    return np.concatenate(blocks)


def _bca_probabilities(value: float, replicates: Floats, left_out: Floats, tail: float) -> tuple[float, float] | None:
    """The bias-corrected and accelerated tail probabilities; None where they are undefined.

    Efron and Tibshirani, 1993, equations 14.9 to 14.15; replicates equal to the value count half.
    """
    below = float(np.mean(replicates < value - _TIE) + np.mean(replicates <= value + _TIE)) / 2
    if not 0 < below < 1 or not np.isfinite(left_out).all():
        return None
    gap = left_out.mean() - left_out
    spread = float(np.sum(gap**2))
    if spread <= _TIE**2:
        return None
    acceleration = float(np.sum(gap**3)) / (6 * spread**1.5)
    bias = float(ndtri(below))
    points = bias + ndtri(np.array([tail, 1 - tail]))
    low, high = ndtr(bias + points / (1 - acceleration * points)).tolist()
    return low, high


def _quotient(first: Floats, second: Floats) -> Floats:
    """The first over the second, infinite where the second is 0."""
    return np.divide(first, second, out=np.full_like(first, np.inf), where=second > 0)
