"""Main effects and interactions of an ablation, where its design crosses factors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from eval.ablation.comparison import AnalysisOptions, baseline_cell
from eval.ablation.confidence import ABSTAINED, CONFIDENCE
from eval.ablation.pairing import Scores, measured_cells, scores_of
from eval.ablation.results import AblationResult, Cell, level_text
from eval.statistics_effects import ComparisonOptions
from eval.statistics_factors import Design, Effect, interactions, main_effects
from eval.statistics_families import holm


@dataclass(frozen=True, slots=True)
class AdjustedEffect:
    """An effect with its p-value adjusted by Holm: main effects within their factor, interactions all together."""

    effect: Effect
    p_holm: float | None
    significant: bool
    better: bool

    @property
    def name(self) -> str:
        """What was changed, in words."""
        pairs = zip(self.effect.levels, self.effect.reference, strict=True)
        return " x ".join(f"{factor}: {value} instead of {other}" for (factor, value), (_, other) in pairs)


@dataclass(frozen=True, slots=True)
class FactorialFigures:
    """The effects of one metric, on the `n` questions that every cell of the design has, of `cells` cells."""

    metric: str
    n: int
    cells: int
    main: tuple[AdjustedEffect, ...]
    interactions: tuple[AdjustedEffect, ...]


def factorial_figures(result: AblationResult, options: AnalysisOptions | None = None) -> tuple[FactorialFigures, ...]:
    """Effects of the first metrics (how many: the options); nothing when no two factors are crossed.

    The levels of the baseline are the reference.
    """
    options = options or AnalysisOptions()
    cells = design_cells(result)
    if not is_crossed(cells):
        return ()
    found = []
    judging = [metric for metric in result.metrics if metric not in {CONFIDENCE, ABSTAINED}]
    for metric in judging[: options.effect_metrics]:
        scores = scores_of(result, metric)
        scored = [cell for cell in cells if scores.counts[cell.id].scored]
        rows = scores.shared([cell.id for cell in scored]) if scored else np.array([], dtype=np.intp)
        if len(rows) and is_crossed(scored):
            found.append(_effects(result, scores, scored, options))
    return tuple(found)


def design_cells(result: AblationResult) -> list[Cell]:
    """The cells of the design in order of id, if all have the same factors; repeats of a setting only once."""
    cells = sorted(
        (cell.cell for cell in measured_cells(result) if cell.cell.kind == "factorial"), key=lambda cell: cell.id
    )
    if len({frozenset(cell.levels) for cell in cells}) != 1:
        return []
    return list({tuple(sorted(_levels(cell).items())): cell for cell in reversed(cells)}.values())[::-1]


def is_crossed(cells: list[Cell]) -> bool:
    """Whether some two factors have all four combinations of two levels, with everything else equal."""
    settings = {tuple(sorted(_levels(cell).items())) for cell in cells}
    return any(
        len(differing) == 2
        and all(tuple(sorted({**one, factor: other[factor]}.items())) in settings for factor in differing)
        for one in map(_levels, cells)
        for other in map(_levels, cells)
        if (differing := [factor for factor in one if one[factor] != other.get(factor)])
    )


def _levels(cell: Cell) -> dict[str, str]:
    return {factor: level_text(level) for factor, level in cell.levels.items()}


def _effects(result: AblationResult, scores: Scores, cells: list[Cell], options: AnalysisOptions) -> FactorialFigures:
    rows = scores.shared([cell.id for cell in cells])
    table = np.column_stack([scores.values[cell.id][rows] for cell in cells])
    design = Design([_levels(cell) for cell in cells], table, scores.clusters_at(rows))
    base = _levels(baseline_cell(result))
    reference = {factor: base[factor] for factor, values in design.factors.items() if base.get(factor) in values}
    how = ComparisonOptions(interval=options.interval, test=options.test)
    smaller = scores.metric in result.smaller_is_better
    order = _level_order(result)
    main = [effect for effect in main_effects(design, reference, how) if effect.matched]
    families: dict[str, list[Effect]] = {}
    for effect in sorted(main, key=lambda effect: [order(level) for level in effect.levels]):
        families.setdefault(effect.levels[0][0], []).append(effect)
    adjusted = [one for family in families.values() for one in _family(family, options.level, smaller=smaller)]
    crossed = [effect for effect in interactions(design, reference, how) if effect.matched]
    crossed.sort(key=lambda effect: [order(level) for level in effect.levels])
    pairs = _family(crossed, options.level, smaller=smaller)
    return FactorialFigures(scores.metric, len(rows), len(cells), tuple(adjusted), tuple(pairs))


def _level_order(result: AblationResult) -> Callable[[tuple[str, str]], tuple[int, int, str]]:
    """The place of a factor's level in the file; what the file does not name comes last."""
    factors = {factor: place for place, factor in enumerate(result.factors)}
    levels = {
        (factor, level_text(level)): place
        for factor, known in result.factors.items()
        for place, level in enumerate(known)
    }
    last = len(factors) + len(levels)
    return lambda level: (factors.get(level[0], last), levels.get(level, last), level[1])


def _family(effects: list[Effect], level: float, *, smaller: bool) -> list[AdjustedEffect]:
    effects = [replace(effect, p=1.0) if _is_rounding(effect) else effect for effect in effects]
    p_values = [1.0 if effect.p is None else effect.p for effect in effects]
    adjusted = holm(p_values).tolist() if effects else []
    return [
        AdjustedEffect(effect, p, p < level, (effect.size.value or 0.0) * (-1 if smaller else 1) > 0)
        for effect, p in zip(effects, adjusted, strict=True)
    ]


def _is_rounding(effect: Effect) -> bool:
    """Whether an effect is 0 for every question but for the rounding of sums, whose signs a test must not read."""
    return all(bound is not None and abs(bound) < 1e-12 for bound in (effect.size.low, effect.size.high))
