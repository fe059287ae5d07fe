"""The report of a run over questions: Markdown, and one HTML page with charts and every single sample to open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.ablation.rendering.markdown import plain
from eval.ablation.rendering.markup import shortened, text
from eval.answers_intervals import Figure
from eval.retrieval_pages import show

Table = Sequence[Sequence[str]]
"""Rows of cells, the header first."""

MOST_SAMPLES = 500
"""So many samples can be opened on the page; the others stand in `samples.jsonl`."""

_STYLE = """
:root{color-scheme:light dark;--ink:#1f2328;--paper:#fff;--quiet:#666;--rule:#ddd;--c0:#1d5f8a;--c1:#c2571a}
@media (prefers-color-scheme:dark){:root{--ink:#e6e4df;--paper:#16181b;--quiet:#9a9ea5;--rule:#333;--c0:#8cc4ea}}
body{font:15px/1.5 sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:var(--ink);background:var(--paper)}
table{border-collapse:collapse;margin:1rem 0;font-size:13px}
td,th{border-bottom:1px solid var(--rule);padding:.25rem .6rem;text-align:left;vertical-align:top}
.note,summary small{color:var(--quiet)}details{border-bottom:1px solid var(--rule);padding:.3rem 0}
.wrong{color:#b4481f}.right{color:#1f7a55}.charts{display:flex;flex-wrap:wrap;gap:1rem}
.chart{max-width:100%;height:auto}.chart text{font-size:12px;fill:var(--ink)}
.grid{stroke:var(--rule)}.axis,.zero{stroke:var(--quiet)}.zero{stroke-dasharray:4 3}
polyline.line{fill:none;stroke-width:2;stroke:var(--c0)}circle.point{fill:var(--c0)}.band{fill:var(--c0);opacity:.13}
"""


@dataclass(frozen=True, slots=True)
class Part:
    """A section: lines of text, a table, and charts as SVG that is safe already."""

    title: str
    lines: tuple[str, ...] = ()
    table: Table = ()
    charts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report."""

    title: str
    legend: str
    parts: tuple[Part, ...]


def figure_cells(figures: Mapping[str, Figure], names: Iterable[str]) -> list[str]:
    """`0.564 [0.510, 0.617], n 84` per name; a dash where there is none."""
    return [f"{show(figures[name].estimate)}, n {figures[name].n}" if name in figures else "-" for name in names]


def figure_table(rows: Mapping[str, Mapping[str, Figure]], corner: str = "set") -> Table:
    """Named rows of figures; every figure that any row has is a column."""
    names = list(dict.fromkeys(name for figures in rows.values() for name in figures))
    return [[corner, *names], *([name, *figure_cells(figures, names)] for name, figures in rows.items())]


def markdown_page(page: Page) -> str:
    """The report as Markdown; charts are left to the HTML page."""
    blocks = [f"# {plain(page.title)}", plain(page.legend)]
    for part in page.parts:
        blocks.append(f"## {plain(part.title)}")
        if part.lines:
            blocks.append("\n".join(f"- {plain(line)}" for line in part.lines))
        if part.table:
            blocks.append(_markdown_table(part.table))
    return "\n\n".join(blocks) + "\n"


def html_page(page: Page, rows: Sequence[Mapping[str, Any]]) -> str:
    """The report as one page that needs nothing else, no script either."""
    blocks = [f"<h1>{text(page.title)}</h1>", f'<p class="note">{text(page.legend)}</p>']
    for part in page.parts:
        blocks.append(f"<h2>{text(part.title)}</h2>")
        blocks += [f"<p>{text(line)}</p>" for line in part.lines]
        if part.charts:
            blocks.append(f'<div class="charts">{"".join(part.charts)}</div>')
        if part.table:
            blocks.append(_html_table(part.table))
    shown = sorted(rows, key=_order)[:MOST_SAMPLES]
    blocks.append(f"<h2>Samples</h2><p>{len(shown)} of {len(rows)}; errors first, then what is wrong.</p>")
    blocks += [_sample(row) for row in shown]
    head = (
        '<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        f"style-src 'unsafe-inline'\"><title>{text(page.title)}</title><style>{_STYLE}</style>"
    )
    return f'<!doctype html><html lang="en"><head>{head}</head><body>\n' + "\n".join(blocks) + "\n</body></html>\n"


def _state(row: Mapping[str, Any]) -> str:
    """In a word how the sample went."""
    if "error" in row:
        return "error"
    if row.get("abstained"):
        return "abstained"
    right = row.get("right")
    return "" if right is None else "right" if right else "wrong"


def _order(row: Mapping[str, Any]) -> tuple[bool, bool]:
    return "error" not in row, row.get("right") is not False


def _sample(row: Mapping[str, Any]) -> str:
    """One sample: question, options, answer, checks, evidence. Everything in it is text, never mark-up."""
    state = _state(row)
    colour = {"right": "right", "wrong": "wrong", "error": "wrong"}.get(state, "note")
    title = shortened(str(row.get("question") or row["id"]), 140)
    lines = [
        ("question", row.get("question")),
        ("images", ", ".join(row.get("images", ()))),
        ("options", "; ".join(f"{letter}: {option}" for letter, option in row.get("options", {}).items())),
        ("right", ", ".join(row.get("answers", ())) or row.get("reference")),
        ("answer", row.get("reply")),
        ("choice", row.get("parsed")),
        ("reason", row.get("reason")),
        ("confidence", row.get("confidence")),
        ("failed checks", "; ".join(", ".join(names) for names in row.get("failed_checks", ()))),
        ("values", ", ".join(_values(row))),
        ("error", row.get("error")),
    ]
    told = "".join(
        f"<tr><th>{name}</th><td>{text(value)}</td></tr>" for name, value in lines if value not in (None, "")
    )
    pieces = "".join(
        f"<tr><td>{text('/'.join(one['unit']))}</td><td>{one['score']:.3f}</td><td>{text(one['text'])}</td></tr>"
        for one in row.get("evidence", ())
    )
    evidence = f"<table><tr><th>evidence</th><th>score</th><th>begins</th></tr>{pieces}</table>" if pieces else ""
    return (
        f'<details><summary>{text(title)} <small>{text(row.get("set", ""))}</small> <b class="{colour}">{state}</b>'
        f"</summary><table>{told}</table>{evidence}</details>"
    )


def _values(row: Mapping[str, Any]) -> Iterable[str]:
    for name, value in row.get("values", {}).items():
        inner = value if isinstance(value, Mapping) else {"": value}
        for key, number in inner.items():
            if isinstance(number, int | float):
                yield f"{name} {key} {number:.3f}".replace("  ", " ")


def _markdown_table(table: Table) -> str:
    header, *rows = ([plain(cell) for cell in row] for row in table)
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows])


def _html_table(table: Table) -> str:
    header, *rows = table
    head = "".join(f"<th>{text(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
