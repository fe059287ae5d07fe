"""The reports of an ablation: Markdown, LaTeX, CSV and one HTML page, all from the same figures."""

from __future__ import annotations

from pathlib import Path

from eval.ablation.analysis import Analysis, analyse
from eval.ablation.comparison import AnalysisOptions
from eval.ablation.rendering.csv_files import cells_csv, items_csv
from eval.ablation.rendering.drilldown import DrillDownLimits, drill_down
from eval.ablation.rendering.latex import latex_report
from eval.ablation.rendering.markdown import markdown_report
from eval.ablation.rendering.page import html_report
from eval.ablation.results import AblationResult


def write_reports(
    result: AblationResult,
    folder: Path,
    options: AnalysisOptions | None = None,
    limits: DrillDownLimits | None = None,
    run: Path | None = None,
) -> tuple[Path, ...]:
    """Write report.md, report.tex, report.html, cells.csv and items.csv into a folder, and return their paths.

    `samples.jsonl` and `pictures.json` of the run folder (none given: the same folder) are read for the questions,
    evidence and answers of the HTML page.

    Raises:
        UsageError: the run has no metric, a cell twice, or no results of its baseline.
    """
    return write_analysis(analyse(result, options), folder, limits, run)


def write_analysis(
    analysis: Analysis, folder: Path, limits: DrillDownLimits | None = None, run: Path | None = None
) -> tuple[Path, ...]:
    """As `write_reports`, of figures that have been computed already."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {
        "report.md": markdown_report(analysis),
        "report.tex": latex_report(analysis),
        "report.html": html_report(analysis, drill_down(analysis, run or folder, limits)),
        "cells.csv": cells_csv(analysis),
        "items.csv": items_csv(analysis.result),
    }
    for name, page in pages.items():
        (folder / name).write_text(page, encoding="utf-8", errors="replace", newline="\n")
    return tuple(folder / name for name in pages)
