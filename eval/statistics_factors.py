"""Main effects and two-way interactions of a factorial experiment.

Each effect is a contrast per question: the mean over matched cells, which differ in nothing but the factors looked at.
So its interval and its test are those of a paired difference, with clusters. An incomplete design uses the matched
cells that it has; how many is part of the result.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import numpy.typing as npt

from eval.statistics import Estimate, mean_interval
from eval.statistics_effects import ComparisonOptions
from eval.statistics_tests import sign_flip_test, without_rounding

Floats = npt.NDArray[np.float64]
Level = tuple[str, str]
"""A factor and its value."""


@dataclass(frozen=True, slots=True)
class Design:
    """The cells of an experiment (factor to value each) and their scores, shape (n_questions, n_cells).

    `clusters` names each question's patient or study.

    Raises:
        ValueError: the table does not fit, two cells are equal, or a cell lacks a factor.
    """

    cells: Sequence[Mapping[str, str]]
    scores: Floats
    clusters: Sequence[Hashable] | None = None

    def __post_init__(self) -> None:
        if self.scores.ndim != 2 or self.scores.shape[1] != len(self.cells):
            raise ValueError(f"scores of shape {self.scores.shape} for {len(self.cells)} cells")
        if len({frozenset(cell.items()) for cell in self.cells}) != len(self.cells):
            raise ValueError("two cells have the same values in every factor; average the repeats first")
        if len({frozenset(cell) for cell in self.cells}) > 1:
            raise ValueError("the cells do not have the same factors")

    @property
    def factors(self) -> dict[str, tuple[str, ...]]:
        """Each factor's values in order of first appearance."""
        names = list(self.cells[0]) if self.cells else []
        return {name: tuple(dict.fromkeys(cell[name] for cell in self.cells)) for name in names}

    def column(self, cell: Mapping[str, str]) -> int | None:
        """The column of a cell, None when the design does not have it."""
        return next((place for place, known in enumerate(self.cells) if known == cell), None)


@dataclass(frozen=True, slots=True)
class Effect:
    """A contrast of levels: two for a main effect (value, reference), four for an interaction.

    `matched` counts the sets of cells it is averaged over; without any, `size` and `p` are undefined.
    """

    levels: tuple[Level, ...]
    reference: tuple[Level, ...]
    matched: int
    n: int
    size: Estimate
    p: float | None


def main_effects(
    design: Design, reference: Mapping[str, str] | None = None, options: ComparisonOptions | None = None
) -> tuple[Effect, ...]:
    """What each value of each factor changes against the factor's reference value, all else equal.

    `reference` names the reference value of factors; the first value otherwise.

    Raises:
        ValueError: a reference names an unknown factor or value.
    """
    base = _reference(design, reference)
    return tuple(
        _effect(design, ((factor, value),), ((factor, base[factor]),), options)
        for factor, values in design.factors.items()
        for value in values
        if value != base[factor]
    )


def interactions(
    design: Design, reference: Mapping[str, str] | None = None, options: ComparisonOptions | None = None
) -> tuple[Effect, ...]:
    """By how much the effect of one factor's value depends on another's: (ab - a'b) - (ab' - a'b'), all else equal.

    Montgomery, Design and Analysis of Experiments, chapter 5, without the factor one half of two-level designs.
    """
    base = _reference(design, reference)
    found = []
    for (one, ones), (two, twos) in combinations(design.factors.items(), 2):
        for a, b in product(ones, twos):
            if a != base[one] and b != base[two]:
                found.append(_effect(design, ((one, a), (two, b)), ((one, base[one]), (two, base[two])), options))
    return tuple(found)


def _reference(design: Design, given: Mapping[str, str] | None) -> dict[str, str]:
    base = {factor: values[0] for factor, values in design.factors.items()}
    for factor, value in (given or {}).items():
        if factor not in base or value not in design.factors[factor]:
            raise ValueError(f"the design has no {factor} = {value}; it has {design.factors}")
        base[factor] = value
    return base


def _effect(
    design: Design, levels: tuple[Level, ...], reference: tuple[Level, ...], options: ComparisonOptions | None
) -> Effect:
    options = options or ComparisonOptions()
    contrasts = _contrasts(design, levels, reference)
    if not contrasts:
        return Effect(levels, reference, 0, 0, Estimate(None, None, None), None)
    per_question = without_rounding(np.mean(contrasts, axis=0))
    size = mean_interval(per_question, options.interval, design.clusters)
    test = sign_flip_test(per_question, np.zeros_like(per_question), design.clusters, options.test)
    return Effect(levels, reference, len(contrasts), test.n, size, test.p)


def _contrasts(design: Design, levels: tuple[Level, ...], reference: tuple[Level, ...]) -> list[Floats]:
    """One contrast per question, shape (n_questions,), for each setting of the other factors that has all cells."""
    looked_at = {factor for factor, _ in levels}
    settings = dict.fromkeys(
        tuple((factor, value) for factor, value in cell.items() if factor not in looked_at) for cell in design.cells
    )
    found = []
    for setting in settings:
        total: Floats | None = np.zeros(len(design.scores))
        for choice in product((True, False), repeat=len(levels)):
            chosen = tuple(levels[i] if kept else reference[i] for i, kept in enumerate(choice))
            column = design.column({**dict(setting), **dict(chosen)})
            if column is None or total is None:
                total = None
                break
            total = total + (-1.0) ** choice.count(False) * design.scores[:, column]
        if total is not None:
            found.append(total)
    return found
