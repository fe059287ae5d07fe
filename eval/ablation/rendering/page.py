"""The report of an ablation as one HTML page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from string import Template

from eval.ablation.analysis import Analysis
from eval.ablation.rendering.drawing import SERIES
from eval.ablation.rendering.drilldown import DrillDown
from eval.ablation.rendering.figures import (
    Figure,
    confidence_figures_drawn,
    curve_figures,
    factor_heat_maps,
    forest_figure,
    metric_heat_map,
    pareto_figures,
)
from eval.ablation.rendering.markup import text
from eval.ablation.rendering.tables import (
    TableCell,
    TextTable,
    confidence_table,
    cost_table,
    effect_tables,
    metric_table,
    subgroup_tables,
)
from eval.ablation.rendering.wording import findings, interval, not_run, notes, number, shown_metrics, summary
from eval.ablation.sanity import SanityCheck

CURVE_METRICS = 2
"""k-curves are drawn for so many metrics, from the first."""


def html_report(analysis: Analysis, samples: DrillDown) -> str:
    """The whole page, well-formed as XML too."""
    template = Template(files("eval.ablation.rendering").joinpath("templates/report.html").read_text(encoding="utf-8"))
    sections = [section for section in _sections(analysis, samples) if section[2]]
    links = "".join(f'<a href="#{anchor}">{text(title)}</a>' for anchor, title, _ in sections)
    body = [
        *(f'<p class="summary">{text(line)}</p>' for line in summary(analysis)),
        _tiles(analysis),
        f"<nav>{links}</nav>",
        *(f'<h2 id="{anchor}">{text(title)}</h2>\n{content}' for anchor, title, content in sections),
    ]
    return template.substitute(
        title=text(analysis.result.name),
        body="\n".join(body),
        data=samples.document,
        series="\n".join(_series_style(place) for place in range(SERIES)),
    )


def _sections(analysis: Analysis, samples: DrillDown) -> list[tuple[str, str, str]]:
    """Anchor, title and content; a section without content is left out."""
    shown = shown_metrics(analysis)
    tables = [table for table in analysis.tables if table.metric in shown]
    effects = [table for figures in analysis.factorial for table in effect_tables(analysis, figures)]
    pictures = [*curve_figures(analysis, shown[:CURVE_METRICS]), *factor_heat_maps(analysis)]
    cost = cost_table(analysis)
    confidence = confidence_table(analysis)
    return [
        ("findings", "Findings", _lines(findings(analysis))),
        ("sanity", "Sanity", _checks(analysis.sanity)),
        ("differences", "Differences", _first_open([_figure(forest_figure(analysis, one)) for one in tables], shown)),
        ("cells", "Cells", _first_open([_table(metric_table(analysis, one)) for one in tables], shown)),
        ("metrics", "Across metrics", _figure(metric_heat_map(analysis, shown)) if len(shown) > 1 else ""),
        ("factors", "Factors", _grid(map(_figure, pictures)) + _folded("Effects", map(_table, effects))),
        ("cost", "Quality and cost", _grid(map(_figure, pareto_figures(analysis))) + _optional(cost)),
        ("confidence", "Confidence", _grid(map(_figure, confidence_figures_drawn(analysis))) + _optional(confidence)),
        ("subgroups", "Subgroups", _subgroups(analysis)),
        ("questions-asked", "Single questions", _samples(samples)),
        ("not-run", "Not run", _lines(not_run(analysis))),
        ("reading", "How to read", _lines(notes(analysis))),
        ("provenance", "Provenance", _definitions(sorted(analysis.result.provenance.items()))),
    ]


def _tiles(analysis: Analysis) -> str:
    base = analysis.main.row(analysis.baseline.id)
    settings = [row for row in analysis.main.rows if row.cell.kind == "factorial" and row.contrast is not None]
    better = sum(row.contrast is not None and row.contrast.significant and row.contrast.better for row in settings)
    worse = sum(row.contrast is not None and row.contrast.significant and not row.contrast.better for row in settings)
    ran = [check for check in analysis.sanity if check.verdict != "not run"]
    passed = sum(check.verdict == "passed" for check in ran)
    state = "passed" if ran and passed == len(ran) else "failed" if ran else ""
    mean = base.mean if base is not None else None
    tiles = [
        ("", number(None if mean is None else mean.value), f"baseline {analysis.main.metric} "
         + ("" if mean is None else interval(mean))),
        ("", f"{better} of {len(settings)}", "settings significantly better"),
        ("", f"{worse} of {len(settings)}", "settings significantly worse"),
        (state, f"{passed} of {len(ran)}" if ran else "none", "sanity checks passed"),
    ]  # fmt: skip
    made = (
        f'<div class="tile {kind}"><b>{text(value)}</b><span>{text(words)}</span></div>' for kind, value, words in tiles
    )
    return f'<div class="tiles">{"".join(made)}</div>'


def _lines(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f'<ul class="lines">{items}</ul>' if items else ""


def _checks(checks: Sequence[SanityCheck]) -> str:
    kinds = {"passed": "passed", "failed": "failed", "not run": "none"}
    items = "".join(
        f'<li class="{kinds[check.verdict]}"><b>{check.verdict}</b> '
        f"{text(check.expectation)} ({text(check.detail)})</li>"
        for check in checks
    )
    return f'<ul class="checks">{items}</ul>'


def _figure(figure: Figure) -> str:
    caption = f"<figcaption>{text(figure.caption)}</figcaption>" if figure.caption else ""
    return f'<figure><h3>{text(figure.title)}</h3><div class="plot">{figure.chart}</div>{caption}</figure>'


def _grid(blocks: Iterable[str]) -> str:
    inside = "\n".join(blocks)
    return f'<div class="grid2">{inside}</div>' if inside else ""


def _first_open(blocks: Sequence[str], names: Sequence[str]) -> str:
    """The first block, the others folded under their metric's name."""
    folded = (_folded(name, [block]) for name, block in zip(names[1:], blocks[1:], strict=True))
    return "\n".join([*blocks[:1], *folded])


def _folded(title: str, blocks: Iterable[str]) -> str:
    inside = "\n".join(blocks)
    return f"<details><summary>{text(title)}</summary>{inside}</details>" if inside else ""


def _optional(table: TextTable | None) -> str:
    return "" if table is None else _folded(f"Table: {table.title}", [_table(table)])


def _subgroups(analysis: Analysis) -> str:
    tables = [_folded(table.title, [_table(table)]) for table in subgroup_tables(analysis)]
    left_out = analysis.subgroups.left_out
    note = f'<p class="note">Left out, too many values: {text(", ".join(left_out))}</p>' if left_out else ""
    return "".join(tables) + note


def _table(table: TextTable) -> str:
    head = "".join(f'<th scope="col">{text(column)}</th>' for column in table.columns)
    body = "\n".join(f"<tr>{''.join(map(_table_cell, row))}</tr>" for row in table.rows)
    note = f'<p class="note">{text(table.note)}</p>' if table.note else ""
    return (
        f'<h3>{text(table.title)}</h3><div class="scroll"><table class="sortable"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{note}"
    )


def _table_cell(cell: TableCell) -> str:
    kind = ' class="strong"' if cell.strong else ' class="quiet"' if cell.quiet else ""
    order = "" if cell.order is None else f' data-order="{cell.order:.9g}"'
    return f"<td{kind}{order}>{text(cell.text)}</td>"


def _samples(samples: DrillDown) -> str:
    part = "All questions" if samples.shown == samples.total else f"{samples.shown} of {samples.total} questions"
    return (
        f'<p class="note">{part}; those on which the settings disagree most come first. items.csv has every score.</p>'
        '<details id="samples"><summary>Show the questions</summary>'
        '<input type="search" id="search" placeholder="Find a question" aria-label="Find a question"/>'
        '<div id="questions"></div></details>'
    )


def _definitions(pairs: Iterable[tuple[str, str]]) -> str:
    items = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in pairs)
    return f"<dl>{items}</dl>" if items else ""


def _series_style(place: int) -> str:
    name = f"c{place}"
    return (
        f"polyline.{name} {{ stroke: var(--{name}); }} circle.{name}, polygon.{name} {{ fill: var(--{name}); }} "
        f"i.{name} {{ background: var(--{name}); }}"
    )
