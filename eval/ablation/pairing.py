"""The scores of a run as tables: one value per question and cell, in an order that no file order can change.

Resampling reads rows in order. So questions are sorted by id and cells by id before any statistic is computed: a run
whose questions or cells come in another order has the same figures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eval.ablation.results import AblationResult, CellResult, ItemResult
from eval.statistics import UNDEFINED, BootstrapOptions, Estimate, bootstrap
from eval.statistics_tests import wilson_interval

Floats = npt.NDArray[np.float64]
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Counts:
    """Of a cell's questions: with a score, with an error instead, and those that the metric does not apply to."""

    scored: int
    failed: int
    not_applicable: int


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """One metric: for each cell a value per question, shape (n_questions,), NaN where there is none.

    `items` are sorted; `clusters` names each question's cluster. Repeats of a question in a cell are averaged.
    `counts` counts questions, not repeats.
    """

    metric: str
    items: tuple[str, ...]
    clusters: tuple[str, ...]
    values: Mapping[str, Floats]
    counts: Mapping[str, Counts]

    @property
    def binary(self) -> bool:
        """Whether every value is 0 or 1: right or wrong."""
        return all(bool(np.isin(column[np.isfinite(column)], (0.0, 1.0)).all()) for column in self.values.values())

    def shared(self, cells: Sequence[str]) -> npt.NDArray[np.intp]:
        """The positions of the questions for which all these cells have a value."""
        kept = np.ones(len(self.items), dtype=np.bool_)
        for cell in cells:
            kept &= np.isfinite(self.values[cell])
        return np.flatnonzero(kept)

    def clusters_at(self, rows: npt.NDArray[np.intp]) -> tuple[str, ...]:
        """The clusters of some questions."""
        return tuple(self.clusters[row] for row in rows.tolist())


def scores_of(result: AblationResult, metric: str) -> Scores:
    """One metric of all cells that have been run, cells in order of id."""
    clusters = question_clusters(result)
    items = tuple(sorted(clusters))
    place = {item: row for row, item in enumerate(items)}
    values: dict[str, Floats] = {}
    counts: dict[str, Counts] = {}
    for cell in sorted(measured_cells(result), key=lambda cell: cell.cell.id):
        values[cell.cell.id], counts[cell.cell.id] = _column(cell, metric, place)
    return Scores(metric, items, tuple(clusters[item] for item in items), values, counts)


def measured_cells(result: AblationResult) -> tuple[CellResult, ...]:
    """The cells that could be run, in the order of the run."""
    return tuple(cell for cell in result.cells if cell.cell.impossible is None and cell.items)


def question_clusters(result: AblationResult) -> dict[str, str]:
    """Each question's cluster. Where cells disagree, the alphabetically first name holds for all of them."""
    found: dict[str, str] = {}
    for cell in measured_cells(result):
        for item in cell.items:
            found[item.item] = min(found.get(item.item, item.cluster), item.cluster)
    return found


def has_failed(item: ItemResult, metric: str) -> bool:
    """Whether a question has an error in place of a score: the metric failed, or the whole question did."""
    if metric in item.metrics:
        return not _is_number(item.metrics[metric])
    return item.error is not None and not any(value is None for value in item.metrics.values())


def mean_intervals(scores: Scores, options: BootstrapOptions) -> dict[str, Estimate]:
    """Each cell's mean over its scored questions, with the interval of a bootstrap of whole clusters.

    Right-or-wrong scores that are all equal have no spread to resample; their interval is Wilson's, with a cluster as
    one trial.
    """
    found: dict[str, Estimate] = {}
    for cells, rows in _same_rows(scores, {(cell, cell) for cell in scores.values}).items():
        names = [cell for cell, _ in cells]
        table = np.column_stack([scores.values[cell][rows] for cell in names])
        resampled = bootstrap(table, options, scores.clusters_at(rows))
        for column, cell in enumerate(names):
            plain = resampled.mean(column) if len(rows) else UNDEFINED
            found[cell] = _interval_without_spread(scores, table[:, column], resampled.clusters, options) or plain
    return found


def difference_intervals(scores: Scores, pairs: Sequence[Pair], options: BootstrapOptions) -> dict[Pair, Estimate]:
    """The mean of the first cell minus that of the second over the questions that both have, with its interval."""
    found: dict[Pair, Estimate] = {}
    for group, rows in _same_rows(scores, set(pairs)).items():
        names = sorted({cell for pair in group for cell in pair})
        table = np.column_stack([scores.values[cell][rows] for cell in names])
        resampled = bootstrap(table, options, scores.clusters_at(rows))
        for first, second in group:
            found[first, second] = resampled.difference(names.index(first), names.index(second))
    return found


def _same_rows(scores: Scores, pairs: set[Pair]) -> dict[tuple[Pair, ...], npt.NDArray[np.intp]]:
    """Pairs of cells grouped by the questions that both have: one bootstrap serves a whole group."""
    groups: dict[bytes, list[Pair]] = defaultdict(list)
    rows: dict[bytes, npt.NDArray[np.intp]] = {}
    for pair in sorted(pairs):
        shared = scores.shared(pair)
        groups[shared.tobytes()].append(pair)
        rows[shared.tobytes()] = shared
    return {tuple(group): rows[key] for key, group in groups.items()}


def _interval_without_spread(
    scores: Scores, values: Floats, clusters: int, options: BootstrapOptions
) -> Estimate | None:
    if not scores.binary or not values.size or np.ptp(values) > 0:
        return None
    return wilson_interval(clusters if values[0] else 0, clusters, options.level)


def _column(cell: CellResult, metric: str, place: Mapping[str, int]) -> tuple[Floats, Counts]:
    sums, times = np.zeros(len(place)), np.zeros(len(place))
    failed: set[Hashable] = set()
    for item in sorted(cell.items, key=lambda item: (item.item, str(item.metrics.get(metric)))):
        value = item.metrics.get(metric)
        if _is_number(value):
            sums[place[item.item]] += float(value or 0.0)
            times[place[item.item]] += 1
        elif has_failed(item, metric):
            failed.add(item.item)
    with np.errstate(invalid="ignore"):
        column = sums / np.where(times > 0, times, np.nan)
    asked = {item.item for item in cell.items}
    without = {item for item in asked if times[place[item]] == 0}
    counts = Counts(len(asked) - len(without), len(without & failed), len(without - failed))
    return column, counts


def _is_number(value: float | None) -> bool:
    return value is not None and bool(np.isfinite(value))
