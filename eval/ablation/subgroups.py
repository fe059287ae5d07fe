"""Subgroups of the questions: how each cell does on each of them, with n. Exploratory: intervals, but no tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eval.ablation.comparison import AnalysisOptions, baseline_cell
from eval.ablation.pairing import Counts, Scores, difference_intervals, mean_intervals, measured_cells, scores_of
from eval.ablation.results import AblationResult
from eval.statistics import Estimate

MOST_GROUPS = 30
"""A field with more values than this (a patient's name, a page) is no subgrouping; it is left out and named."""


@dataclass(frozen=True, slots=True)
class SubgroupCell:
    """A cell within a subgroup: questions scored, mean, and difference to the baseline (undefined for itself)."""

    n: int
    mean: Estimate
    difference: Estimate


@dataclass(frozen=True, slots=True)
class SubgroupFigures:
    """One value of a field: so many questions from so many clusters, and each cell's figures."""

    field: str
    value: str
    n: int
    clusters: int
    cells: Mapping[str, SubgroupCell]


@dataclass(frozen=True, slots=True)
class Subgroups:
    """The subgroups of the main metric, largest first within a field; `left_out` names fields with too many values."""

    metric: str
    groups: tuple[SubgroupFigures, ...]
    left_out: tuple[str, ...]


def subgroup_figures(result: AblationResult, options: AnalysisOptions | None = None) -> Subgroups:
    """The main metric in every subgroup that the questions name. A field with a single value says nothing: no row."""
    options = options or AnalysisOptions()
    metric = result.metrics[0]
    scores = scores_of(result, metric)
    baseline = baseline_cell(result).id
    members = _members(result)
    found: list[SubgroupFigures] = []
    left_out = []
    for field in sorted(members):
        if len(members[field]) > MOST_GROUPS:
            left_out.append(field)
        elif len(members[field]) > 1:
            groups = [_figures(scores, field, value, members[field][value], baseline, options)
                      for value in members[field]]  # fmt: skip
            found += sorted(groups, key=lambda group: (-group.n, group.value))
    return Subgroups(metric, tuple(found), tuple(left_out))


def _members(result: AblationResult) -> dict[str, dict[str, set[str]]]:
    """The questions by field and value."""
    found: dict[str, dict[str, set[str]]] = {}
    seen: set[tuple[str, str]] = set()
    for cell in sorted(measured_cells(result), key=lambda cell: cell.cell.id):
        for item in cell.items:
            for field, value in item.groups.items():
                if (item.item, field) not in seen:
                    seen.add((item.item, field))
                    found.setdefault(field, {}).setdefault(value, set()).add(item.item)
    return found


def _figures(
    scores: Scores, field: str, value: str, questions: set[str], baseline: str, options: AnalysisOptions
) -> SubgroupFigures:
    part = _restricted(scores, questions)
    means = mean_intervals(part, options.interval)
    pairs = [(cell, baseline) for cell in part.values if cell != baseline]
    differences = difference_intervals(part, pairs, options.interval)
    none = Estimate(None, None, None)
    cells = {
        cell: SubgroupCell(part.counts[cell].scored, means[cell], differences.get((cell, baseline), none))
        for cell in part.values
    }
    return SubgroupFigures(field, value, len(part.items), len(set(part.clusters)), cells)


def _restricted(scores: Scores, questions: set[str]) -> Scores:
    rows = np.flatnonzero([item in questions for item in scores.items])
    values = {cell: column[rows] for cell, column in scores.values.items()}
    counts = {cell: Counts(int(np.isfinite(column).sum()), 0, 0) for cell, column in values.items()}
    items = tuple(scores.items[row] for row in rows.tolist())
    return Scores(scores.metric, items, scores.clusters_at(rows), values, counts)
