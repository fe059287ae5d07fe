"""Everything that a report of an ablation says, computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eval.ablation.comparison import AnalysisOptions, MetricFigures, baseline_cell, cell_labels, compare_cells
from eval.ablation.confidence import ConfidenceFigures, confidence_figures
from eval.ablation.costs import CellCost, cell_costs
from eval.ablation.factorial import FactorialFigures, factorial_figures
from eval.ablation.pairing import question_clusters
from eval.ablation.results import AblationResult, Cell
from eval.ablation.sanity import SanityCheck, sanity_checks
from eval.ablation.subgroups import Subgroups, subgroup_figures
from rag.errors import UsageError


@dataclass(frozen=True, slots=True)
class Analysis:
    """A run and all its figures. `labels` names each cell by what it changes of the baseline."""

    result: AblationResult
    options: AnalysisOptions
    labels: Mapping[str, str]
    tables: tuple[MetricFigures, ...]
    factorial: tuple[FactorialFigures, ...]
    subgroups: Subgroups
    costs: Mapping[str, CellCost]
    confidence: tuple[ConfidenceFigures, ...]
    sanity: tuple[SanityCheck, ...]
    questions: int
    clusters: int

    @property
    def main(self) -> MetricFigures:
        """The figures of the main metric."""
        return self.tables[0]

    @property
    def baseline(self) -> Cell:
        """The cell that others are compared with."""
        return baseline_cell(self.result)

    @property
    def impossible(self) -> tuple[Cell, ...]:
        """The cells that could not be run."""
        return tuple(cell.cell for cell in self.result.cells if cell.cell.impossible is not None)

    @property
    def unfinished(self) -> tuple[Cell, ...]:
        """The cells that could be run and have no question yet."""
        return tuple(cell.cell for cell in self.result.cells if cell.cell.impossible is None and not cell.items)


def analyse(result: AblationResult, options: AnalysisOptions | None = None) -> Analysis:
    """All figures of a run.

    Raises:
        UsageError: the run has no metric, two cells with one id, or no results of its baseline.
    """
    options = options or AnalysisOptions()
    if not result.metrics:
        raise UsageError(f"the ablation {result.name!r} has no metric to report; name one in the experiment file")
    ids = [cell.cell.id for cell in result.cells]
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise UsageError(f"the ablation {result.name!r} has the cell {twice!r} twice; its results cannot be told apart")
    tables = compare_cells(result, options)
    clusters = question_clusters(result)
    return Analysis(
        result=result,
        options=options,
        labels=cell_labels(result),
        tables=tables,
        factorial=factorial_figures(result, options),
        subgroups=subgroup_figures(result, options),
        costs=cell_costs(result),
        confidence=confidence_figures(result),
        sanity=sanity_checks(result, tables),
        questions=len(clusters),
        clusters=len(set(clusters.values())),
    )
