"""A mean over questions with its interval and its denominator."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eval.statistics import UNDEFINED, BootstrapOptions, Estimate, mean_interval
from eval.statistics_tests import wilson_interval

Valued = tuple[float | None, str]
"""A question's value (None: it has none) and its cluster: the patient, study or image that it shares with others."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean with its interval over `n` questions; `left_out` had no value."""

    estimate: Estimate
    n: int
    left_out: int = 0

    @property
    def value(self) -> float | None:
        """The mean; None of nothing."""
        return self.estimate.value

    def as_json(self) -> dict[str, float | int | None]:
        """`{"value", "low", "high", "n", "left_out"}`."""
        return {**self.estimate.as_json(), "n": self.n, "left_out": self.left_out}


def figure(values: Iterable[Valued], options: BootstrapOptions | None = None) -> Figure:
    """The mean of one value per question.

    Of values that are 0 or 1 of independent questions: Wilson's interval. Else a bootstrap over clusters, which shrinks
    to a point when all are right or all wrong: then Wilson's with the clusters as trials.
    """
    given = list(values)
    kept = [(value, cluster) for value, cluster in given if value is not None]
    n, left_out = len(kept), len(given) - len(kept)
    if not kept:
        return Figure(UNDEFINED, 0, left_out)
    numbers, clusters = [value for value, _ in kept], [cluster for _, cluster in kept]
    trials = len(set(clusters))
    if set(numbers) <= {0.0, 1.0} and (trials == n or len(set(numbers)) == 1):
        level = (options or BootstrapOptions()).level
        return Figure(wilson_interval(round(sum(numbers) * trials / n), trials, level), n, left_out)
    return Figure(mean_interval(numbers, options, clusters), n, left_out)


def figures(columns: Sequence[tuple[str, Iterable[Valued]]]) -> dict[str, Figure]:
    """Several figures by name; those of which no question has a value are left out."""
    made = {name: figure(values) for name, values in columns}
    return {name: one for name, one in made.items() if one.n}
