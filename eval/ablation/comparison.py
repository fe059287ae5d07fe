"""From results to numbers: every cell against the baseline, metric by metric, on the questions that both have.

A comparison that is not significant after Holm's correction is no finding, and the reports print it as such.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from eval.ablation.pairing import Counts, Scores, difference_intervals, mean_intervals, measured_cells, scores_of
from eval.ablation.results import AblationResult, Cell, level_text
from eval.statistics import BootstrapOptions, Estimate, wins_ties_losses
from eval.statistics_effects import Comparison, cliffs_delta, paired_d
from eval.statistics_families import all_pairs_test, benjamini_hochberg, group_letters, holm, significant_pairs
from eval.statistics_tests import RandomisationOptions, mcnemar_test, sign_flip_test
from rag.errors import UsageError

TestName = Literal["sign-flip", "McNemar"]

COMBINATIONS = "combinations"
"""The family of the cells that differ from the baseline in several factors."""
CONTROLS = "controls"
"""The family of the sanity arms."""

_ROUNDING = 1e-12
"""Scores nearer than this differ by the rounding of sums, whose signs a test must not read."""


@dataclass(frozen=True, slots=True)
class AnalysisOptions:
    """How figures are made: intervals, tests, the level of significance.

    `ties` draws the permutations that find tied groups; with 2,000 no adjusted p-value is below 0.0005.
    `effect_metrics`: for how many metrics, from the first, main effects and interactions are computed.
    """

    interval: BootstrapOptions = field(default_factory=BootstrapOptions)
    test: RandomisationOptions = field(default_factory=RandomisationOptions)
    ties: RandomisationOptions = field(default_factory=lambda: RandomisationOptions(resamples=2_000))
    level: float = 0.05
    effect_metrics: int = 3


@dataclass(frozen=True, slots=True)
class Contrast:
    """A cell against the baseline. `comparison` counts pairs in `n`, and is adjusted within `family`.

    `wins` and `losses` of the comparison say where the cell is better, also when smaller values are.
    """

    comparison: Comparison
    test: TestName
    family: str
    family_size: int
    significant: bool
    better: bool


@dataclass(frozen=True, slots=True)
class CellFigures:
    """A cell in one metric: its mean with interval, what it rests on, and its contrast (None for the baseline).

    Cells that share one of the `letters` cannot be told apart; controls have none.
    """

    cell: Cell
    mean: Estimate
    counts: Counts
    clusters: int
    letters: str
    contrast: Contrast | None


@dataclass(frozen=True, slots=True)
class MetricFigures:
    """All cells in one metric, in the order of the run."""

    metric: str
    smaller_is_better: bool
    binary: bool
    rows: tuple[CellFigures, ...]

    def row(self, cell: str) -> CellFigures | None:
        """The figures of a cell, None when it has not been run."""
        return next((row for row in self.rows if row.cell.id == cell), None)


def compare_cells(result: AblationResult, options: AnalysisOptions | None = None) -> tuple[MetricFigures, ...]:
    """Every metric's figures of every cell that has been run.

    Raises:
        UsageError: the baseline is not among the cells that have been run.
    """
    options = options or AnalysisOptions()
    baseline = baseline_cell(result)
    return tuple(_compare_metric(result, baseline, scores_of(result, metric), options) for metric in result.metrics)


def baseline_cell(result: AblationResult) -> Cell:
    """The cell that others are compared with.

    Raises:
        UsageError: it is not among the cells that have been run.
    """
    for measured in measured_cells(result):
        if measured.cell.id == result.baseline:
            return measured.cell
    raise UsageError(
        f"the baseline cell {result.baseline!r} of {result.name!r} has no results, so nothing can be compared with it; "
        "run it first (ablate run continues an interrupted run)"
    )


def differing_factors(cell: Cell, baseline: Cell, factors: Sequence[str]) -> tuple[str, ...]:
    """The factors in which a cell differs from the baseline, in the order of the run."""
    names = dict.fromkeys((*factors, *cell.levels, *baseline.levels))
    return tuple(name for name in names if str(cell.levels.get(name)) != str(baseline.levels.get(name)))


def family_of(cell: Cell, baseline: Cell, factors: Sequence[str]) -> str:
    """The comparisons of one factor are a family; cells that differ in several, and the controls, are one each."""
    if cell.kind == "sanity":
        return CONTROLS
    differing = differing_factors(cell, baseline, factors)
    return differing[0] if len(differing) == 1 else COMBINATIONS


def cell_labels(result: AblationResult) -> dict[str, str]:
    """A short unique label per cell: what it changes of the baseline. Equal labels get their cell's id."""
    baseline = next((cell.cell for cell in result.cells if cell.cell.id == result.baseline), None)
    labels: dict[str, str] = {}
    for measured in result.cells:
        cell = measured.cell
        if baseline is None or cell.kind == "sanity":
            labels[cell.id] = cell.name
        elif cell.id == baseline.id:
            labels[cell.id] = "baseline"
        else:
            changed = differing_factors(cell, baseline, tuple(result.factors))
            labels[cell.id] = (
                ", ".join(f"{name}={level_text(cell.levels.get(name, '-'))}" for name in changed) or cell.name
            )
    often = Counter(labels.values())
    return {cell: label if often[label] == 1 and label else f"{label} ({cell})" for cell, label in labels.items()}


def _compare_metric(result: AblationResult, baseline: Cell, scores: Scores, options: AnalysisOptions) -> MetricFigures:
    smaller = scores.metric in result.smaller_is_better
    cells = {measured.cell.id: measured.cell for measured in measured_cells(result)}
    means = mean_intervals(scores, options.interval)
    letters = _letters(scores, [cell.id for cell in cells.values() if cell.kind == "factorial"], smaller, options)
    contrasts = _contrasts(result, baseline, scores, options)
    rows = tuple(
        CellFigures(
            cell=cell,
            mean=means[name],
            counts=scores.counts[name],
            clusters=len(set(scores.clusters_at(scores.shared([name])))),
            letters=letters.get(name, ""),
            contrast=contrasts.get(name),
        )
        for name, cell in cells.items()
    )
    return MetricFigures(scores.metric, smaller, scores.binary, rows)


def _contrasts(result: AblationResult, baseline: Cell, scores: Scores, options: AnalysisOptions) -> dict[str, Contrast]:
    others = {cell.cell.id: cell.cell for cell in measured_cells(result) if cell.cell.id != baseline.id}
    intervals = difference_intervals(scores, [(name, baseline.id) for name in others], options.interval)
    smaller = scores.metric in result.smaller_is_better
    made: dict[str, dict[str, tuple[Comparison, TestName]]] = {}
    for name, cell in others.items():
        family = family_of(cell, baseline, tuple(result.factors))
        compared = compare_pair(scores, (name, baseline.id), intervals[name, baseline.id], options)
        made.setdefault(family, {})[name] = (_oriented(compared[0], smaller=smaller), compared[1])
    found: dict[str, Contrast] = {}
    for family, members in made.items():
        adjusted = _adjusted({name: comparison for name, (comparison, _) in members.items()})
        for name, comparison in adjusted.items():
            gain = (comparison.difference.value or 0.0) * (-1 if smaller else 1)
            significant = comparison.is_significant(options.level)
            found[name] = Contrast(comparison, members[name][1], family, len(members), significant, gain > 0)
    return found


def compare_pair(
    scores: Scores, pair: tuple[str, str], difference: Estimate, options: AnalysisOptions
) -> tuple[Comparison, TestName]:
    """Two cells on the questions that both have.

    Right-or-wrong scores of independent questions are tested by McNemar's exact test; with several questions per
    cluster, and for other scores, whole clusters' signs are flipped.
    """
    rows = scores.shared(pair)
    second = scores.values[pair[1]][rows]
    first = scores.values[pair[0]][rows]
    first = np.where(np.abs(first - second) <= _ROUNDING, second, first)
    clusters = scores.clusters_at(rows)
    n_clusters = len(set(clusters))
    name: TestName = "McNemar" if scores.binary and n_clusters == len(rows) else "sign-flip"
    flipped = None if name == "McNemar" else sign_flip_test(first, second, clusters, options.test)
    p = flipped.p if flipped else mcnemar_test(first, second).p
    wins, ties, losses = wins_ties_losses(first, second)
    compared = Comparison(
        first=pair[0],
        second=pair[1],
        n=len(rows),
        clusters=n_clusters,
        means=(float(first.mean()), float(second.mean())) if len(rows) else (None, None),
        difference=difference,
        p=p,
        paired_d=paired_d(first, second),
        cliffs_delta=cliffs_delta(first, second),
        wins=wins,
        ties=ties,
        losses=losses,
    )
    return compared, name


def _adjusted(comparisons: Mapping[str, Comparison]) -> dict[str, Comparison]:
    """Holm's and Benjamini-Hochberg's p-values within one family; what has no p-value stays without."""
    tested = {name: comparison.p for name, comparison in comparisons.items() if comparison.p is not None}
    values = list(tested.values())
    by_holm = dict(zip(tested, holm(values).tolist(), strict=True)) if values else {}
    by_rate = dict(zip(tested, benjamini_hochberg(values).tolist(), strict=True)) if values else {}
    return {
        name: replace(comparison, p_holm=by_holm.get(name), p_bh=by_rate.get(name))
        for name, comparison in comparisons.items()
    }


def _oriented(comparison: Comparison, *, smaller: bool) -> Comparison:
    """Wins are where the cell is better, also when smaller values are."""
    return replace(comparison, wins=comparison.losses, losses=comparison.wins) if smaller else comparison


def _letters(scores: Scores, cells: Sequence[str], smaller: bool, options: AnalysisOptions) -> Mapping[str, str]:
    """Letters of the cells that share questions; cells without a score, or fewer than two, have none."""
    names = sorted(cell for cell in cells if scores.counts[cell].scored)
    rows = scores.shared(names) if names else np.array([], dtype=np.intp)
    if len(names) < 2 or not len(rows):
        return {}
    table = np.column_stack([scores.values[cell][rows] for cell in names])
    adjusted = all_pairs_test(table, scores.clusters_at(rows), options.ties)
    sign = 1 if smaller else -1
    means = table.mean(axis=0)
    best_first = [names[place] for place in sorted(range(len(names)), key=lambda place: (sign * means[place], place))]
    return group_letters(best_first, significant_pairs(names, adjusted, options.level))
