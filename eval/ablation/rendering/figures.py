"""Which charts a run gives rise to, and with what in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from eval.ablation.analysis import Analysis
from eval.ablation.comparison import CellFigures, MetricFigures
from eval.ablation.confidence import ConfidenceFigures
from eval.ablation.costs import cost_points
from eval.ablation.factorial import design_cells, is_crossed
from eval.ablation.rendering.charts import (
    ForestRow,
    HeatCell,
    Series,
    forest_chart,
    heat_map,
    legend,
    line_chart,
    pareto_chart,
)
from eval.ablation.rendering.wording import NOT_SIGNIFICANT, estimate, number, p_value, verdict, wins
from eval.ablation.results import Cell, Level, level_text
from eval.statistics import Estimate

MOST_LINES = 6
MOST_PAIRS = 6


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with its title and what to know when reading it. `chart` is safe HTML, the rest plain text."""

    title: str
    chart: str
    caption: str = ""


def forest_figure(analysis: Analysis, table: MetricFigures) -> Figure:
    """The differences of one metric to the baseline."""
    rows = [
        ForestRow(
            analysis.labels[row.cell.id],
            row.contrast.comparison.difference,
            _kind(row),
            _remark(row),
            row.cell.kind == "sanity",
        )
        for row in table.rows
        if row.contrast is not None
    ]
    title = f"{table.metric}: difference to the baseline"
    direction = "left is better" if table.smaller_is_better else "right is better"
    caption = (
        f"Paired differences with {analysis.options.interval.level:.0%} intervals; {direction}. Hollow and grey: "
        f"{NOT_SIGNIFICANT} after Holm's correction. An interval that leaves out 0 can be {NOT_SIGNIFICANT}: it is of "
        "one comparison, the p-value is corrected for all of its family."
    )
    return Figure(title, forest_chart(rows, title), caption)


def curve_figures(analysis: Analysis, metrics: Sequence[str]) -> tuple[Figure, ...]:
    """A chart for each numeric factor and metric: one line per setting of the other factors, the baseline's first."""
    cells = [row.cell for row in analysis.main.rows if row.cell.kind == "factorial"]
    made = []
    for factor in analysis.result.factors:
        if not _is_numeric(cells, factor):
            continue
        for table in analysis.tables:
            if table.metric in metrics:
                series, left_out = _lines(analysis, table, factor)
                if not series:
                    continue
                caption = "The band is the interval of the first line." + (
                    f" {left_out} more settings are in the table." if left_out else ""
                )
                chart = line_chart(series, (factor, table.metric)) + legend([one.name for one in series])
                made.append(Figure(f"{table.metric} by {factor}", chart, caption))
    return tuple(made)


def _is_numeric(cells: Sequence[Cell], factor: str) -> bool:
    levels = [cell.levels.get(factor) for cell in cells]
    numbers = {level for level in levels if isinstance(level, int | float) and not isinstance(level, bool)}
    return len(numbers) > 1 and all(level in numbers and not isinstance(level, bool) for level in levels)


def _lines(analysis: Analysis, table: MetricFigures, factor: str) -> tuple[list[Series], int]:
    lines: dict[tuple[tuple[str, Level], ...], list[tuple[float, Estimate]]] = {}
    for row in table.rows:
        if row.cell.kind == "factorial" and row.mean.value is not None:
            others = tuple((name, level) for name, level in row.cell.levels.items() if name != factor)
            lines.setdefault(others, []).append((float(row.cell.levels[factor]), row.mean))
    base = dict(analysis.baseline.levels)
    long = [(others, points) for others, points in lines.items() if len({x for x, _ in points}) > 1]
    long.sort(key=lambda line: (sum(level != base.get(name) for name, level in line[0]), str(line[0])))
    series = [
        Series(_setting(others, base), tuple(sorted(points, key=lambda point: point[0]))) for others, points in long
    ]
    return series[:MOST_LINES], max(0, len(series) - MOST_LINES)


def _setting(others: Sequence[tuple[str, Level]], base: dict[str, Level]) -> str:
    return (
        ", ".join(f"{name}={level_text(level)}" for name, level in others if level != base.get(name))
        or "as the baseline"
    )


def pareto_figures(analysis: Analysis) -> tuple[Figure, ...]:
    """The main metric against seconds and against tokens, settings only."""
    table = analysis.main
    qualities = {row.cell.id: row.mean.value for row in table.rows if row.cell.kind == "factorial"}
    costs = {
        "seconds per question": {cell: cost.seconds for cell, cost in analysis.costs.items()},
        "tokens per question": {cell: cost.tokens for cell, cost in analysis.costs.items()},
    }
    made = []
    for name, by_cell in costs.items():
        points = cost_points(qualities, by_cell, smaller_is_better=table.smaller_is_better)
        if len(points) > 1:
            chart = pareto_chart(points, [analysis.labels[point.cell] for point in points], (name, table.metric))
            caption = "Filled: no other setting is at least as good and costs less. The front ignores uncertainty."
            made.append(Figure(f"{table.metric} against {name.split()[0]}", chart, caption))
    return tuple(made)


def confidence_figures_drawn(analysis: Analysis) -> tuple[Figure, ...]:
    """Risk against coverage, and reliability, of the baseline and the best cells."""
    chosen = _chosen(analysis)
    if not chosen:
        return ()
    names = legend([analysis.labels[one.cell] for one in chosen])
    risks = [Series(analysis.labels[one.cell], _thinned(one)) for one in chosen]
    bins = [
        Series(analysis.labels[one.cell], tuple((b.confidence, Estimate(b.accuracy, None, None)) for b in one.bins))
        for one in chosen
    ]
    shown = f"Baseline and best cells, {len(chosen)} of {len(analysis.confidence)}. " if len(chosen) > 1 else ""
    return (
        Figure(
            "Risk and coverage",
            line_chart(risks, ("coverage", "risk")) + names,
            f"{shown}Error rate among the most confident answers; lower is better, a rise to the right means that the "
            "confidence tells right from wrong.",
        ),
        Figure(
            "Reliability",
            line_chart(bins, ("confidence", "share right"), diagonal=True) + names,
            f"{shown}Bins of about equal size; on the dashed line confidence is what it says.",
        ),
    )


def _chosen(analysis: Analysis) -> list[ConfidenceFigures]:
    means = {row.cell.id: row.mean.value or 0.0 for row in analysis.main.rows if row.cell.kind == "factorial"}
    sign = 1 if analysis.main.smaller_is_better else -1
    known = [one for one in analysis.confidence if one.cell in means]
    known.sort(key=lambda one: (one.cell != analysis.baseline.id, sign * means[one.cell], one.cell))
    return known[:4]


def _thinned(one: ConfidenceFigures) -> tuple[tuple[float, Estimate], ...]:
    """At most 200 points of a curve: more cannot be seen."""
    size = one.curve.coverage.size
    places = np.unique(np.linspace(0, size - 1, min(size, 200)).round().astype(int)).tolist()
    return tuple(
        (float(one.curve.coverage[place]), Estimate(float(one.curve.risk[place]), None, None)) for place in places
    )


def metric_heat_map(analysis: Analysis, metrics: Sequence[str]) -> Figure:
    """Every cell in every metric: its difference to the baseline, shaded by the largest of the metric."""
    tables = [table for table in analysis.tables if table.metric in metrics]
    rows = [row for row in analysis.main.rows if row.contrast is not None]
    places = [place for place, row in enumerate(analysis.main.rows) if row.contrast is not None]
    largest = [max((abs(_gain(table, row)) for row in table.rows), default=0.0) or 1.0 for table in tables]
    cells = [
        [_heat_cell(table, table.rows[place], most) for table, most in zip(tables, largest, strict=True)]
        for place in places
    ]
    names = [analysis.labels[row.cell.id] for row in rows]
    caption = f"Differences to the baseline; colour by the largest of the column; grey text: {NOT_SIGNIFICANT}."
    return Figure("All metrics", heat_map(names, [table.metric for table in tables], cells), caption)


def _heat_cell(table: MetricFigures, row: CellFigures, largest: float) -> HeatCell:
    if row.contrast is None or row.contrast.comparison.difference.value is None:
        return HeatCell("-", 0.0, quiet=True, hint="no shared question")
    compared = row.contrast.comparison
    hint = f"{estimate(compared.difference, sign='+')}, {_remark(row)}, {compared.n} pairs, W/T/L {wins(row.contrast)}"
    shade = _gain(table, row) / largest * (1.0 if row.contrast.significant else 0.35)
    return HeatCell(number(compared.difference.value, sign="+"), shade, not row.contrast.significant, hint)


def _gain(table: MetricFigures, row: CellFigures) -> float:
    value = row.contrast.comparison.difference.value if row.contrast is not None else None
    return (value or 0.0) * (-1 if table.smaller_is_better else 1)


def factor_heat_maps(analysis: Analysis) -> tuple[Figure, ...]:
    """The mean of the main metric for every pair of crossed factors, over the cells with both levels."""
    if not is_crossed(design_cells(analysis.result)):
        return ()
    made = []
    for one, two in list(combinations(analysis.result.factors, 2))[:MOST_PAIRS]:
        means: dict[tuple[str, str], list[float]] = {}
        for row in analysis.main.rows:
            if row.cell.kind == "factorial" and row.mean.value is not None and {one, two} <= set(row.cell.levels):
                key = (level_text(row.cell.levels[one]), level_text(row.cell.levels[two]))
                means.setdefault(key, []).append(row.mean.value)
        rows, columns = (list(dict.fromkeys(key[side] for key in means)) for side in (0, 1))
        if len(rows) < 2 or len(columns) < 2:
            continue
        middle = float(np.mean([value for values in means.values() for value in values]))
        widest = max(abs(float(np.mean(values)) - middle) for values in means.values())
        spread = max(widest, _noise(analysis)) or 1.0
        sign = -1 if analysis.main.smaller_is_better else 1
        cells = [[_mean_cell(means.get((r, c)), middle, sign * spread) for c in columns] for r in rows]
        chart = heat_map([f"{one}={r}" for r in rows], [f"{two}={c}" for c in columns], cells)
        caption = (
            "Mean over the cells with both levels; colour by the distance from the mean of all, pale where it is "
            "within the baseline's interval."
        )
        made.append(Figure(f"{analysis.main.metric} by {one} and {two}", chart, caption))
    return tuple(made)


def _noise(analysis: Analysis) -> float:
    """Half the width of the baseline's interval: means that lie nearer to each other keep pale colours."""
    row = analysis.main.row(analysis.baseline.id)
    if row is None or row.mean.low is None or row.mean.high is None:
        return 0.0
    return (row.mean.high - row.mean.low) / 2


def _mean_cell(values: list[float] | None, middle: float, spread: float) -> HeatCell:
    if not values:
        return HeatCell("-", 0.0, quiet=True, hint="no cell with both levels")
    mean = float(np.mean(values))
    return HeatCell(number(mean), (mean - middle) / spread, quiet=False, hint=f"{len(values)} cells")


def _kind(row: CellFigures) -> str:
    if row.contrast is None or not row.contrast.significant:
        return "quiet"
    return "better" if row.contrast.better else "worse"


def _remark(row: CellFigures) -> str:
    if row.contrast is None or not row.contrast.significant:
        return verdict(row.contrast)
    p = p_value(row.contrast.comparison.p_holm)
    return f"p {p}" if p.startswith("<") else f"p = {p}"
