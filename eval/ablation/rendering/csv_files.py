"""The figures and the questions of an ablation as CSV files, for whoever wants to compute on."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from eval.ablation.analysis import Analysis
from eval.ablation.comparison import CellFigures, MetricFigures
from eval.ablation.results import AblationResult

CELL_COLUMNS = (
    "cell", "name", "kind", "arm", "metric", "smaller_is_better", "n", "failed", "not_applicable", "clusters",
    "mean", "low", "high", "group", "baseline", "pairs", "pair_clusters", "difference", "difference_low",
    "difference_high", "test", "p", "family", "family_size", "p_holm", "p_bh", "significant", "result", "paired_d",
    "cliffs_delta", "wins", "ties", "losses",
)  # fmt: skip
"""The columns of cells.csv; one column `factor:NAME` per factor follows."""


def cells_csv(analysis: Analysis) -> str:
    """One row per cell and metric with all figures, unrounded; empty where there is none."""
    factors = list(analysis.result.factors)
    rows = [
        {**_cell(analysis, table, row), **{f"factor:{name}": row.cell.levels.get(name, "") for name in factors}}
        for table in analysis.tables
        for row in table.rows
    ]
    return _written([*CELL_COLUMNS, *(f"factor:{name}" for name in factors)], rows)


def _cell(analysis: Analysis, table: MetricFigures, row: CellFigures) -> dict[str, object]:
    figures: dict[str, object] = {
        "cell": row.cell.id,
        "name": analysis.labels[row.cell.id],
        "kind": row.cell.kind,
        "arm": row.cell.arm,
        "metric": table.metric,
        "smaller_is_better": table.smaller_is_better,
        "n": row.counts.scored,
        "failed": row.counts.failed,
        "not_applicable": row.counts.not_applicable,
        "clusters": row.clusters,
        "mean": row.mean.value,
        "low": row.mean.low,
        "high": row.mean.high,
        "group": row.letters,
        "baseline": analysis.result.baseline,
    }
    return {**figures, **_contrast(row)}


def _contrast(row: CellFigures) -> dict[str, object]:
    contrast = row.contrast
    if contrast is None:
        return {"result": "baseline"}
    compared = contrast.comparison
    return {
        "pairs": compared.n,
        "pair_clusters": compared.clusters,
        "difference": compared.difference.value,
        "difference_low": compared.difference.low,
        "difference_high": compared.difference.high,
        "test": contrast.test,
        "p": compared.p,
        "family": contrast.family,
        "family_size": contrast.family_size,
        "p_holm": compared.p_holm,
        "p_bh": compared.p_bh,
        "significant": contrast.significant,
        "result": ("better" if contrast.better else "worse") if contrast.significant else "not significant",
        "paired_d": compared.paired_d,
        "cliffs_delta": compared.cliffs_delta,
        "wins": compared.wins,
        "ties": compared.ties,
        "losses": compared.losses,
    }


def items_csv(result: AblationResult) -> str:
    """One row per cell and question: scores, groups, ranks, seconds, tokens and errors, in the order of the run.

    A score that failed is empty and the row has an error; one that does not apply is empty without.
    """
    rows = [
        {
            "cell": cell.cell.id,
            "item": item.item,
            "cluster": item.cluster,
            **_prefixed("group", item.groups),
            **_prefixed("metric", item.metrics),
            **_prefixed("rank", item.ranks),
            **_prefixed("seconds", item.seconds),
            "tokens": item.tokens,
            "error": item.error or "",
        }
        for cell in result.cells
        for item in cell.items
    ]
    named = {column for row in rows for column in row if ":" in column}
    order = {f"metric:{metric}": place for place, metric in enumerate(result.metrics)}
    ordered = sorted(named, key=lambda column: (column.split(":")[0], order.get(column, len(order)), column))
    return _written(["cell", "item", "cluster", *ordered, "tokens", "error"], rows)


def _prefixed(kind: str, values: Mapping[str, object]) -> dict[str, object]:
    return {f"{kind}:{name}": value for name, value in values.items()}


def _written(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    target = io.StringIO()
    writer = csv.DictWriter(target, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if value is None else value for name, value in row.items()})
    return target.getvalue()
