"""An index card in words: a table, a Markdown page, a chart, and a document of figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from eval.charts import interval_chart
from eval.index_card import CardRow, IndexCard
from eval.statistics import Estimate

_NONE = "-"


def card_document(card: IndexCard) -> dict[str, object]:
    """Every figure of a card as JSON values; bytes are per page."""
    return {
        "pages": len(card.pages.rows),
        "pages_held": card.pages.held,
        "pages_without_rows": card.pages.rowless,
        "rows_per_page": round(card.pages.mean_rows, 1),
        "dim": card.pages.dim,
        "queries": card.queries,
        "judged": card.judged,
        "rule": rule(card),
        "recommended": card.recommended.setup.name,
        "first_stage": None if card.first_stage is None else card.first_stage.setup.name,
        "rows": [_row_document(row) for row in card.rows],
        "staged": [_row_document(row) for row in card.staged],
    }


def _row_document(row: CardRow) -> dict[str, object]:
    setup = row.setup
    return {
        "name": setup.name,
        "storage": setup.storage,
        "pool": setup.pool,
        "coarse": setup.coarse,
        "grouping": setup.grouping if setup.coarse else None,
        "depth": setup.depth,
        "disk_bytes": round(row.disk),
        "memory_bytes": row.memory,
        "p50_ms": round(row.p50_ms, 3),
        "ndcg@5": row.ndcg.as_json(),
        "difference": row.difference.as_json(),
        "agreement@10": row.agreement.as_json(),
        "by_set": {name: round(value, 6) for name, value in row.by_set.items()},
    }


def rule(card: IndexCard) -> str:
    """By what the recommended storage was chosen."""
    options = card.options
    if not card.judged:
        return (
            f"the fewest bytes whose first ten hold at least {options.agreement:.0%} of the first ten of all rows in "
            "32 bits, on average; nothing here says how often the right page is found: give judged --queries for that"
        )
    return (
        f"the fewest bytes whose nDCG@5 is not worse than that of all rows in 32 bits by more than {options.margin:g}: "
        f"the lower end of the paired {options.bootstrap.level:.0%} interval stays above it, and no query set loses "
        f"more than {2 * options.margin:g}"
    )


def text_table(card: IndexCard) -> str:
    """The card for a terminal."""
    parts = [_pages_line(card), "", *_aligned(_table(card, card.rows))]
    if card.staged:
        parts += ["", f"first stages before {card.recommended.setup.name}:", *_aligned(_table(card, card.staged))]
    return "\n".join([*parts, "", *_verdict(card)])


def markdown_page(card: IndexCard, chart: str) -> str:
    """The card as a page; `chart` is the name of the SVG file beside it."""
    parts = [
        "# Index card",
        "",
        _pages_line(card),
        "",
        *_markdown(_table(card, card.rows)),
        "",
        f"![{_axis(card)}]({chart})",
    ]
    if card.staged:
        parts += [
            "",
            f"## First stages before {card.recommended.setup.name}",
            "",
            *_markdown(_table(card, card.staged)),
        ]
    notes = (
        "Bytes are those of the vectors on disk (graphs and codes included; text and write-ahead log are not). RAM is "
        "what the process grew by while all queries ran, mapped files and a fixed part of about 100 MB included. Times "
        "are medians of one search in this process on this machine; compare them within a table only."
    )
    return "\n".join([*parts, "", *_verdict(card), "", notes, ""])


def card_chart(card: IndexCard) -> str:
    """One line per setup, fewest bytes first: its quality with the interval. The recommended one leads."""
    rest = sorted((row for row in card.rows if row is not card.recommended), key=lambda row: row.disk)
    rows = [(f"{row.setup.name} ({_kilobytes(row.disk)} kB)", _quality(card, row)) for row in (card.recommended, *rest)]
    return interval_chart(rows, _axis(card))


def write_card(card: IndexCard, folder: Path) -> None:
    """Write report.md and quality.svg into an existing folder; figures go beside them as the caller likes."""
    (folder / "quality.svg").write_text(card_chart(card), encoding="utf-8")
    (folder / "report.md").write_text(markdown_page(card, "quality.svg"), encoding="utf-8")


def _quality(card: IndexCard, row: CardRow) -> Estimate:
    return row.ndcg if card.judged else row.agreement


def _axis(card: IndexCard) -> str:
    return "nDCG@5" if card.judged else "share of the exact first ten that is found"


def _pages_line(card: IndexCard) -> str:
    pages = card.pages
    part = f" of {pages.held} (a sample that holds the queries' own pages)" if pages.sampled else ""
    rowless = f", {pages.rowless} more without rows" if pages.rowless else ""
    asked = f"{card.judged} judged queries" if card.judged else f"{card.queries} sentences of the pages as queries"
    return f"{len(pages.rows)} pages{part}{rowless}, {pages.mean_rows:.0f} rows x {pages.dim} each; {asked}."


def _verdict(card: IndexCard) -> list[str]:
    best, exact = card.recommended, card.rows[0]
    lines = [f"Recommended: **{best.setup.name}**, {exact.disk / best.disk:.1f} times smaller than {exact.setup.name}."]
    lines.append(f"Rule: {rule(card)}.")
    if card.first_stage is not None:
        stage = card.first_stage.setup
        lines.append(
            f"First stage: {stage.coarse} {stage.grouping} rows, depth {stage.depth} "
            f"({best.p50_ms / card.first_stage.p50_ms:.1f} times faster here): the least depth that keeps "
            f"{card.options.kept:.0%} of the list of {best.setup.name}; a larger library needs a larger depth."
        )
    elif card.staged:
        lines.append(f"No first stage tried keeps {card.options.kept:.0%} of the list: search without one, or deeper.")
    return lines


def _table(card: IndexCard, rows: Sequence[CardRow]) -> list[list[str]]:
    sets = list(card.rows[0].by_set)
    if len(sets) < 2:
        sets = []  # one set says what the whole says
    judged = ["nDCG@5", "difference to f32", *sets] if card.judged else []
    head = ["setup", "kB/page", "RAM MB", "p50 ms", *judged, "agreement@10"]
    best = {id(card.recommended), id(card.first_stage)}
    return [head, *(_cells(row, judged=bool(card.judged), sets=sets, best=id(row) in best) for row in rows)]


def _cells(row: CardRow, *, judged: bool, sets: Sequence[str], best: bool) -> list[str]:
    memory = _NONE if row.memory is None else f"{row.memory / 1e6:.0f}"
    cells = [f"**{row.setup.name}**" if best else row.setup.name, _kilobytes(row.disk), memory, f"{row.p50_ms:.1f}"]
    if judged:
        cells += [_figure(row.ndcg), _figure(row.difference, sign="+"), *_means(row.by_set, sets)]
    return [*cells, _figure(row.agreement)]


def _means(by_set: Mapping[str, float], sets: Sequence[str]) -> list[str]:
    return [f"{by_set[name]:.3f}" for name in sets]


def _kilobytes(number: float) -> str:
    return f"{number / 1000:.1f}"


def _figure(figure: Estimate, sign: str = "") -> str:
    if figure.value is None:
        return _NONE
    low = _NONE if figure.low is None else f"{figure.low:{sign}.3f}"
    high = _NONE if figure.high is None else f"{figure.high:{sign}.3f}"
    return f"{figure.value:{sign}.3f} [{low}, {high}]"


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    plain = [[cell.replace("**", "") for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*plain, strict=True)]
    stars = ["* " if any(cell.startswith("**") for cell in row) else "  " for row in table]
    return [
        star
        + "  ".join(cell.ljust(width) if place == 0 else cell.rjust(width) for place, (cell, width) in pairs).rstrip()
        for star, row in zip(stars, plain, strict=True)
        for pairs in [enumerate(zip(row, widths, strict=True))]
    ]


def _markdown(table: Sequence[Sequence[str]]) -> list[str]:
    head, *rows = (f"| {' | '.join(row)} |" for row in table)
    return [head, "|---" * len(table[0]) + "|", *rows]
