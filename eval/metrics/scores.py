"""A figure and what it is a share or a mean of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Score:
    """A mean or share with its denominator; `value` is None when the denominator is 0. `left_out` is not in `n`."""

    value: float | None
    n: int
    left_out: int = 0

    def as_json(self) -> dict[str, float | int | None]:
        """`{"value", "n", "left_out"}`, the value rounded to 6 digits."""
        return {
            "value": None if self.value is None else round(self.value, 6), "n": self.n, "left_out": self.left_out,
        }  # fmt: skip


def share(part: float, whole: int) -> Score:
    """`part` of `whole`; undefined of nothing."""
    return Score(part / whole if whole else None, whole)


def mean_score(values: Iterable[float | None]) -> Score:
    """The mean of the values that are there; None counts as left out."""
    given = list(values)
    kept = [value for value in given if value is not None]
    return Score(sum(kept) / len(kept) if kept else None, len(kept), len(given) - len(kept))


def f_measure(precision: float, recall: float, beta: float = 1.0) -> float:
    """The weighted harmonic mean of precision and recall; 0 when both are 0. van Rijsbergen, 1979, chapter 7."""
    below = beta**2 * precision + recall
    return (1 + beta**2) * precision * recall / below if below else 0.0
