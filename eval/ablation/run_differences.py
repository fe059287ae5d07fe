"""Two runs of the same questions: what changed in the setting, in the scores, and whether more than chance did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from eval.ablation.comparison import AnalysisOptions, cell_labels, compare_pair
from eval.ablation.pairing import Scores, difference_intervals, measured_cells, question_clusters, scores_of
from eval.ablation.rendering.markdown import list_line, markdown_table, plain
from eval.ablation.rendering.tables import TableCell, TextTable
from eval.ablation.rendering.wording import NOT_SIGNIFICANT, estimate, number, p_value, stars
from eval.ablation.results import AblationResult
from eval.statistics_effects import Comparison
from eval.statistics_families import benjamini_hochberg, holm
from rag.errors import UsageError

DATA_ENTRIES = ("data", "question")
"""Provenance entries that begin with one of these name the questions and their digests."""

_LISTED = 5
_NOTE = (
    "Differences are the second run minus the first, on the questions scored in both, with intervals; p is corrected "
    "by Holm over the cells of a metric. The tests say whether the runs differ by more than the choice of questions "
    "explains."
)


@dataclass(frozen=True, slots=True)
class CellChange:
    """A cell of both runs in one metric: the second run minus the first, on the questions scored in both.

    `changed` counts the questions whose score is another one, or is missing in one of the runs.
    """

    cell: str
    metric: str
    changed: int
    comparison: Comparison
    better: bool


@dataclass(frozen=True, slots=True)
class RunDifferences:
    """What differs between two runs. `provenance` holds the entries that differ, with both values, "" for none."""

    first: str
    second: str
    questions: int
    labels: Mapping[str, str]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    metrics_left_out: tuple[str, ...]
    provenance: Mapping[str, tuple[str, str]]
    changes: tuple[CellChange, ...]
    level: float

    @property
    def same_results(self) -> bool:
        """Whether both runs have the same cells and metrics, and every question the same scores."""
        alone = self.only_first or self.only_second or self.metrics_left_out
        return not alone and all(change.changed == 0 for change in self.changes)


def compare_runs(a: AblationResult, b: AblationResult, options: AnalysisOptions | None = None) -> RunDifferences:
    """Every cell that both runs have, metric by metric, with paired tests; Holm's family is the cells of one metric.

    Raises:
        UsageError: the runs asked different questions, or of different data.
    """
    options = options or AnalysisOptions()
    _refuse_other_data(a, b)
    first, second = ({cell.cell.id for cell in measured_cells(run)} for run in (a, b))
    shared = [cell.cell.id for cell in measured_cells(a) if cell.cell.id in second]
    metrics = [metric for metric in a.metrics if metric in b.metrics]
    changes = tuple(change for metric in metrics for change in _changes(a, b, metric, shared, options))
    keys = sorted({*a.provenance, *b.provenance})
    return RunDifferences(
        first=a.name,
        second=b.name,
        questions=len(question_clusters(a)),
        labels={**cell_labels(b), **cell_labels(a)},
        only_first=tuple(sorted(first - second)),
        only_second=tuple(sorted(second - first)),
        metrics_left_out=tuple(sorted(set(a.metrics) ^ set(b.metrics))),
        provenance={
            key: (a.provenance.get(key, ""), b.provenance.get(key, ""))
            for key in keys
            if a.provenance.get(key) != b.provenance.get(key)
        },
        changes=changes,
        level=options.level,
    )


def differences_markdown(found: RunDifferences) -> str:
    """The differences as a page."""
    verdict = "Every score is the same." if found.same_results else "The scores are not the same."
    parts = [f"# {plain(found.first)} and {plain(found.second)}", "", f"{found.questions} questions. {verdict}"]
    alone = (("first", found.only_first), ("second", found.only_second))
    facts = [f"only in the {name} run: {found.labels[cell]}" for name, cells in alone for cell in cells]
    facts += [f"metric of one run only: {metric}" for metric in found.metrics_left_out]
    facts += [f"{key}: {old or 'none'} -> {new or 'none'}" for key, (old, new) in found.provenance.items()]
    if facts:
        parts += ["", "## Settings and cells", "", *(f"- {list_line(fact)}" for fact in facts)]
    for metric in dict.fromkeys(change.metric for change in found.changes):
        parts += markdown_table(_table(found, metric))
    parts += ["", _NOTE]
    return "\n".join(parts) + "\n"


def _table(found: RunDifferences, metric: str) -> TextTable:
    columns = ("cell", "first", "second", "difference", "result", "Holm p", "pairs", "changed", "W/T/L")
    rows = tuple(_row(found, change) for change in found.changes if change.metric == metric)
    return TextTable(metric, columns, rows)


def _row(found: RunDifferences, change: CellChange) -> tuple[TableCell, ...]:
    compared = change.comparison
    significant = compared.is_significant(found.level)
    said = f"{'better' if change.better else 'worse'} {stars(compared.p_holm, found.level)}"
    same = "same" if not change.changed else NOT_SIGNIFICANT
    return (
        TableCell(found.labels[change.cell]),
        TableCell(number(compared.means[1])),
        TableCell(number(compared.means[0])),
        TableCell(estimate(compared.difference, sign="+"), strong=significant),
        TableCell(said if significant else same, strong=significant),
        TableCell(p_value(compared.p_holm)),
        TableCell(str(compared.n)),
        TableCell(str(change.changed)),
        TableCell(f"{compared.wins}/{compared.ties}/{compared.losses}"),
    )


def _refuse_other_data(a: AblationResult, b: AblationResult) -> None:
    for key in sorted({*a.provenance, *b.provenance}):
        old, new = a.provenance.get(key), b.provenance.get(key)
        if key.lower().startswith(DATA_ENTRIES) and old != new:
            raise UsageError(
                f"{a.name!r} and {b.name!r} were run on different data ({key}: {old or 'none'} and {new or 'none'}), "
                "so their scores cannot be compared; run both on the same questions"
            )
    first, second = set(question_clusters(a)), set(question_clusters(b))
    if first != second:
        alone = sorted(first ^ second)
        listed = ", ".join(alone[:_LISTED]) + (", ..." if len(alone) > _LISTED else "")
        raise UsageError(
            f"{a.name!r} and {b.name!r} asked different questions: {len(alone)} are in one run only ({listed}); finish "
            "or repeat the run that lacks them"
        )


def _changes(
    a: AblationResult, b: AblationResult, metric: str, cells: list[str], options: AnalysisOptions
) -> list[CellChange]:
    old, new = scores_of(a, metric), scores_of(b, metric)
    sides = {f"{side}{cell}": scores.values[cell] for side, scores in (("-", old), ("+", new)) for cell in cells}
    both = Scores(metric, old.items, old.clusters, sides, {})
    intervals = difference_intervals(both, [(f"+{cell}", f"-{cell}") for cell in cells], options.interval)
    smaller = metric in a.smaller_is_better
    made = []
    for cell in cells:
        pair = (f"+{cell}", f"-{cell}")
        compared, _ = compare_pair(both, pair, intervals[pair], options)
        if smaller:
            compared = replace(compared, wins=compared.losses, losses=compared.wins)
        before, after = old.values[cell], new.values[cell]
        same = np.isclose(before, after, rtol=0.0, atol=1e-12, equal_nan=True)
        gain = (compared.difference.value or 0.0) * (-1 if smaller else 1)
        named = replace(compared, first=cell, second=cell)
        made.append(CellChange(cell, metric, int((~same).sum()), named, gain > 0))
    return _corrected(made)


def _corrected(changes: list[CellChange]) -> list[CellChange]:
    tested = [place for place, change in enumerate(changes) if change.comparison.p is not None]
    values = [changes[place].comparison.p or 0.0 for place in tested]
    adjusted = zip(tested, holm(values).tolist(), benjamini_hochberg(values).tolist(), strict=True)
    made = list(changes)
    for place, by_holm, by_rate in adjusted:
        compared = replace(changes[place].comparison, p_holm=by_holm, p_bh=by_rate)
        made[place] = replace(changes[place], comparison=compared)
    return made
