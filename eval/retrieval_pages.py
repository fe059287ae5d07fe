"""A retrieval report for people: Markdown and one self-contained HTML page, and the TREC files for other tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from urllib.parse import quote

from eval.charts import interval_chart
from eval.metrics.retrieval import METRICS
from eval.retrieval_report import Comparison, RetrievalReport, SetReport, SystemFigures
from eval.samples import FUSED, Sample
from eval.statistics import Estimate

Table = list[list[str]]
"""Rows of cells, the header first."""

LEGEND = (
    "r@k: share of queries with a right result among the first k. recall@k: share of a query's right results among "
    "the first k. Pages count once, with their figures. A query without a result counts 0 and as missing. Brackets: "
    "95 % bootstrap interval unless configured otherwise, resampled by patient, else image, else query."
)
_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0;font-size:13px}"
    "td,th{border-bottom:1px solid #ddd;padding:.25rem .6rem;text-align:left;white-space:nowrap}"
    ".note{color:#555}"
)


def markdown_page(report: RetrievalReport) -> str:
    """The report as Markdown: one section per set."""
    parts = ["# Retrieval", LEGEND]
    for name, figures in report.sets.items():
        parts += [f"## {name}", _summary(figures), _markdown_table(figure_table(figures))]
        if figures.against:
            parts += ["Fused against each, nDCG@5 on the same queries:", _markdown_table(comparison_table(figures))]
    parts += ["## Seconds per query", _markdown_table(latency_table(report)), *_failures(report)]
    return "\n\n".join(parts) + "\n"


def html_page(report: RetrievalReport) -> str:
    """The report as one HTML page that needs nothing else: tables, and nDCG@5 with error bars per system."""
    parts = ["<h1>Retrieval</h1>", f'<p class="note">{escape(LEGEND)}</p>']
    for name, figures in report.sets.items():
        rows = [(system, row.metrics["ndcg@5"]) for system, row in figures.systems.items()]
        parts += [
            f"<h2>{escape(name)}</h2><p>{escape(_summary(figures))}</p>",
            interval_chart(rows, f"nDCG@5 on {name}"),
            _html_table(figure_table(figures)),
        ]
        if figures.against:
            parts += ["<p>Fused against each, nDCG@5 on the same queries:</p>", _html_table(comparison_table(figures))]
    parts += ["<h2>Seconds per query</h2>", _html_table(latency_table(report))]
    parts += [f"<p>{escape(line)}</p>" for line in _failures(report)]
    head = f'<meta charset="utf-8"><title>Retrieval</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def figure_table(figures: SetReport) -> Table:
    """Systems by metrics; the strict and relaxed readings of the fused system below."""
    rows: list[tuple[str, SystemFigures]] = list(figures.systems.items())
    readings = {"fused, strict gold": figures.strict, "fused, relaxed gold": figures.relaxed}
    rows += [(name, reading) for name, reading in readings.items() if reading is not None]
    header = ["system", "n", "missing", *METRICS]
    return [header] + [
        [name, str(row.n), str(row.missing), *(show(row.metrics[metric]) for metric in METRICS)] for name, row in rows
    ]


def comparison_table(figures: SetReport) -> Table:
    """Fused against each other system in nDCG@5."""
    header = ["against", "difference", "ratio", "wins / ties / losses"]
    return [header] + [_comparison_row(name, row["ndcg@5"]) for name, row in figures.against.items()]


def latency_table(report: RetrievalReport) -> Table:
    """Median and 95th percentile of each system."""
    rows = [[name, f"{row['p50']:.4f}", f"{row['p95']:.4f}"] for name, row in report.seconds.items()]
    return [["system", "p50", "p95"], *rows]


def show(figure: Estimate) -> str:
    """`0.564 [0.510, 0.617]`; a dash for what is undefined."""
    if figure.value is None:
        return "-"
    low, high = ("-" if bound is None else f"{bound:.3f}" for bound in (figure.low, figure.high))
    return f"{figure.value:.3f} [{low}, {high}]"


def trec_run(samples: Sequence[Sample]) -> str:
    """The fused rankings as a TREC run: `query Q0 unit rank score tag`.

    The score is 1 / rank: tools rank by score again, and the order judged here is not always that of raw scores.
    """
    return "".join(
        f"{_word(sample.item.id)} Q0 {_word(entry.name)} {rank} {1 / rank:.9g} {FUSED}\n"
        for sample in samples
        for rank, entry in enumerate(sample.fused.ranked, start=1)
    )


def trec_judgements(samples: Sequence[Sample]) -> str:
    """The gold as TREC judgements: `query 0 unit 1`."""
    return "".join(
        f"{_word(sample.item.id)} 0 {_word(name)} 1\n"
        for sample in samples
        for name in sorted("/".join(unit) for unit in sample.item.gold)
    )


def _word(text: str) -> str:
    """A TREC field: white space and percent signs are percent-encoded, the rest stays readable."""
    return "".join(quote(letter) if letter.isspace() or letter == "%" else letter for letter in text)


def _summary(figures: SetReport) -> str:
    by_reason = ", ".join(f"{reason}: {count}" for reason, count in figures.withheld.items())
    reasons = f" ({by_reason})" if by_reason else ""
    told = (
        f"{figures.fused.n} queries in {figures.clusters} groups, searched in {', '.join(figures.kinds)}; "
        f"{figures.fused.missing} without a result, {figures.unjudged} without gold, {figures.errors} failed, "
        f"{sum(figures.withheld.values())} hits withheld by the leakage guard{reasons}."
    )
    left_out = "; ".join(f"{name} {reason}" for name, reason in figures.left_out.items())
    return f"{told} Not compared: {left_out}." if left_out else told


def _comparison_row(name: str, comparison: Comparison) -> list[str]:
    counts = f"{comparison.wins} / {comparison.ties} / {comparison.losses}"
    return [name, show(comparison.difference), show(comparison.ratio), counts]


def _failures(report: RetrievalReport) -> Iterator[str]:
    for identity, error in report.failed.items():
        yield f"Failed: {identity}: {error}"


def _markdown_table(table: Table) -> str:
    header, *rows = ([cell.replace("|", "\\|") for cell in row] for row in table)
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows])


def _html_table(table: Table) -> str:
    header, *rows = table
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
