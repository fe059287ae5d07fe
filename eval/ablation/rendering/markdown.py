"""The report of an ablation as a Markdown page."""

from __future__ import annotations

import re
from collections.abc import Iterable

from eval.ablation.analysis import Analysis
from eval.ablation.rendering.tables import (
    TableCell,
    TextTable,
    confidence_table,
    cost_table,
    effect_tables,
    metric_table,
    subgroup_tables,
)
from eval.ablation.rendering.wording import findings, not_run, notes, shown_metrics, summary

_SPECIAL = re.compile(r"([\\`*|~$]|(?<!\w)_|_(?!\w)|\](?=[\[(:])|\[(?=\^)|<(?=[A-Za-z/!?])|&(?=[#A-Za-z]))")
"""What Markdown would take for mark-up where it stands: an underscore inside a word is left alone."""
_START = re.compile(r"^([>#=+-]|\d+(?=[.)]))")


def markdown_report(analysis: Analysis) -> str:
    """The whole page: summary, findings, checks, tables, how to read them, and where the run came from."""
    shown = shown_metrics(analysis)
    metric_tables = [metric_table(analysis, table) for table in analysis.tables if table.metric in shown]
    effects = [table for figures in analysis.factorial for table in effect_tables(analysis, figures)]
    rest = [table for table in (cost_table(analysis), confidence_table(analysis)) if table is not None]
    left_out = ", ".join(analysis.subgroups.left_out)
    provenance = [f"{name}: {value}" for name, value in sorted(analysis.result.provenance.items())]
    parts = [
        f"# {plain(analysis.result.name)}",
        *_section("", summary(analysis)),
        *_section("Findings", findings(analysis)),
        *_section("Sanity", (check.line for check in analysis.sanity)),
        *_tables("Cells", metric_tables),
        *_tables("Factors", effects),
        *_tables("Subgroups", subgroup_tables(analysis)),
        *(_section("", [f"Left out, too many values: {left_out}"]) if left_out else []),
        *_tables("Cost and confidence", rest),
        *_section("Not run", not_run(analysis)),
        *_section("How to read", notes(analysis)),
        *_section("Provenance", provenance),
    ]
    return "\n".join(parts) + "\n"


def plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def list_line(text: str) -> str:
    """Text for the start of a line or list item, where a number, a hash or a hyphen would begin something new."""
    return _START.sub(lambda found: found[0] + "\\" if found[0].isdigit() else "\\" + found[0], plain(text))


def _section(title: str, lines: Iterable[str]) -> list[str]:
    items = [f"- {list_line(line)}" for line in lines]
    if not items:
        return []
    return ["", *([f"## {title}", ""] if title else []), *items]


def _tables(title: str, tables: Iterable[TextTable]) -> list[str]:
    lines = [line for table in tables for line in markdown_table(table)]
    return ["", f"## {title}", *lines] if lines else []


def markdown_table(table: TextTable) -> list[str]:
    """The lines of a table under its title."""
    head = f"| {' | '.join(plain(column) for column in table.columns)} |"
    rule = "|---" + "|---:" * (len(table.columns) - 1) + "|"
    rows = [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in table.rows]
    note = ["", plain(table.note)] if table.note else []
    return ["", f"### {plain(table.title)}", "", head, rule, *rows, *note]


def _cell(cell: TableCell) -> str:
    text = plain(cell.text)
    return f"**{text}**" if cell.strong else text
