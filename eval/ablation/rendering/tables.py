"""The tables of a report as plain text, from which Markdown and HTML are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eval.ablation.analysis import Analysis
from eval.ablation.comparison import CellFigures, MetricFigures
from eval.ablation.factorial import AdjustedEffect, FactorialFigures
from eval.ablation.rendering.wording import (
    NONE,
    NOT_SIGNIFICANT,
    denominator,
    estimate,
    number,
    p_value,
    stars,
    verdict,
    wins,
)
from eval.ablation.subgroups import SubgroupFigures


@dataclass(frozen=True, slots=True)
class TableCell:
    """A cell's text. `strong`: a significant difference. `quiet`: not significant. `order`: the value to sort by."""

    text: str
    strong: bool = False
    quiet: bool = False
    order: float | None = None


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table with a title. The first column names the row, the others are figures."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    note: str = ""


def metric_table(analysis: Analysis, table: MetricFigures) -> TextTable:
    """Every cell in one metric, against the baseline."""
    columns = ("cell", "n", "mean", "difference", "result", "Holm p", "p", "pairs", "W/T/L", "d", "group")
    tests = sorted({row.contrast.test for row in table.rows if row.contrast is not None})
    direction = "Smaller is better. " if table.smaller_is_better else ""
    note = f"{direction}Test: {' and '.join(tests)}." if tests else direction.strip()
    return TextTable(table.metric, columns, tuple(_metric_row(analysis, row) for row in table.rows), note)


def _metric_row(analysis: Analysis, row: CellFigures) -> tuple[TableCell, ...]:
    name = TableCell(analysis.labels[row.cell.id])
    first = (
        TableCell(denominator(row), order=float(row.counts.scored)),
        TableCell(estimate(row.mean), order=row.mean.value),
    )
    group = TableCell(row.letters or NONE)
    if row.contrast is None:
        empty = tuple(TableCell(NONE) for _ in range(5))
        return (name, *first, TableCell(NONE), TableCell("baseline"), *empty, group)
    compared, significant = row.contrast.comparison, row.contrast.significant
    said = verdict(row.contrast)
    mark = stars(compared.p_holm, analysis.options.level)
    return (
        name,
        *first,
        TableCell(estimate(compared.difference, sign="+"), significant, not significant, compared.difference.value),
        TableCell(f"{said} {mark}".strip(), significant, not significant),
        TableCell(p_value(compared.p_holm), order=compared.p_holm),
        TableCell(p_value(compared.p), order=compared.p),
        TableCell(str(compared.n), order=float(compared.n)),
        TableCell(wins(row.contrast), order=float(compared.wins - compared.losses)),
        TableCell(number(compared.paired_d, 2, "+"), order=compared.paired_d),
        group,
    )


def effect_tables(analysis: Analysis, figures: FactorialFigures) -> tuple[TextTable, ...]:
    """The main effects and the interactions of one metric; no table without a row."""
    note = f"{figures.n} questions that all {figures.cells} cells have; mean over matched cells."
    columns = ("effect", "size", "matched", "p", "Holm p", "result")
    made = []
    for title, effects in (("main effects", figures.main), ("interactions", figures.interactions)):
        if effects:
            rows = tuple(_effect_row(effect, analysis.options.level) for effect in effects)
            made.append(TextTable(f"{figures.metric}: {title}", columns, rows, note))
    return tuple(made)


def _effect_row(adjusted: AdjustedEffect, level: float) -> tuple[TableCell, ...]:
    effect, significant = adjusted.effect, adjusted.significant
    said = ("better" if adjusted.better else "worse") if len(effect.levels) == 1 else ""
    result = f"{said or 'significant'} {stars(adjusted.p_holm, level)}" if significant else NOT_SIGNIFICANT
    return (
        TableCell(adjusted.name),
        TableCell(estimate(effect.size, sign="+"), significant, not significant, effect.size.value),
        TableCell(str(effect.matched), order=float(effect.matched)),
        TableCell(p_value(effect.p), order=effect.p),
        TableCell(p_value(adjusted.p_holm), order=adjusted.p_holm),
        TableCell(result, significant, not significant),
    )


def subgroup_tables(analysis: Analysis) -> tuple[TextTable, ...]:
    """One table per field: a row per cell, a column per value with its number of questions."""
    groups: dict[str, list[SubgroupFigures]] = {}
    for group in analysis.subgroups.groups:
        groups.setdefault(group.field, []).append(group)
    note = "Exploratory: intervals without tests or correction. The number in brackets is n of the column."
    tables = []
    for field, members in groups.items():
        columns = ("cell", *(f"{group.value} ({group.n})" for group in members))
        rows = tuple(_subgroup_row(analysis, row.cell.id, members) for row in analysis.main.rows)
        tables.append(TextTable(f"{analysis.subgroups.metric} by {field}", columns, rows, note))
    return tuple(tables)


def _subgroup_row(analysis: Analysis, cell: str, members: Sequence[SubgroupFigures]) -> tuple[TableCell, ...]:
    figures = [
        TableCell(
            estimate(group.cells[cell].mean) + (f" n={group.cells[cell].n}" if group.cells[cell].n != group.n else ""),
            order=group.cells[cell].mean.value,
        )
        for group in members
    ]
    return (TableCell(analysis.labels[cell]), *figures)


def cost_table(analysis: Analysis) -> TextTable | None:
    """Seconds and tokens per question; None when nothing was recorded."""
    costs = analysis.costs
    stages = sorted({stage for cost in costs.values() for stage in cost.stages})
    if not stages and all(cost.tokens is None for cost in costs.values()):
        return None
    columns = ("cell", "seconds", "median", "tokens", *(f"{stage} s" for stage in stages))
    rows = []
    for row in analysis.main.rows:
        cost = costs[row.cell.id]
        figures = (cost.seconds, cost.median_seconds, cost.tokens, *(cost.stages.get(stage) for stage in stages))
        digits = (3, 3, 0, *(3 for _ in stages))
        cells = (TableCell(number(value, places), order=value) for value, places in zip(figures, digits, strict=True))
        rows.append((TableCell(analysis.labels[row.cell.id]), *cells))
    note = "Means per question without an error; times are of this machine, compare them within the table only."
    return TextTable("cost per question", columns, tuple(rows), note)


def confidence_table(analysis: Analysis) -> TextTable | None:
    """Calibration and selective accuracy of the cells that report confidences."""
    if not analysis.confidence:
        return None
    columns = ("cell", "answers", "AURC", "risk at 80 % coverage", "ECE", "Brier")
    rows = tuple(
        (
            TableCell(analysis.labels[one.cell]),
            TableCell(f"{one.n} of {one.asked}", order=float(one.n)),
            *(
                TableCell(number(value), order=value)
                for value in (one.curve.aurc, one.curve.risk_at(0.8), one.calibration_error, one.brier)
            ),
        )
        for one in analysis.confidence
    )
    outcome = analysis.confidence[0].outcome
    note = f"Right means {outcome} = 1. Abstentions are not answered: coverage is a share of the questions asked."
    return TextTable("confidence", columns, rows, note)
