"""From the rows of a citation run to its figures and its report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from eval.answers_figures import grouped, guard_json, latencies, value_figures
from eval.answers_page import Page, Part, figure_table
from eval.answers_pages import guard_lines, latency_table
from eval.answers_rows import Row, withheld_counts
from eval.metrics.scores import share

LEGEND = (
    "Means over answers that were given, as in ALCE (Gao et al., 2023), a statement being the unit. Recall: the "
    "passages that a statement cites support it. Precision: a citation supports its statement, or is needed for it. "
    "quote_: the quoted words are the premise in place of the whole passage. Invalid: citations of a number that no "
    "passage has, of all. Verbatim: quotes that stand in their passage word for word, of all. Claims: RAGChecker's "
    "figures (Ru et al., 2024) against the gold answer and the evidence; those that ask whether a statement is wrong "
    "need a gold answer of sentences. Brackets: 95 % interval."
)

GROUPS = ("citations", "claims")


def citation_document(rows: Sequence[Row], judge: Mapping[str, object], *, guarded: bool) -> dict[str, Any]:
    """The document of `vesalius eval citations --json`."""
    withheld = withheld_counts(rows)
    return {
        **_part(rows),
        "judge": dict(judge),
        "by_set": {name: _part(part) for name, part in grouped(rows, lambda row: row["set"]).items()},
        "guard": guard_json(guarded, withheld, _guarded(rows), sum(row.get("own_left", 0) for row in rows)),
        "latency": latencies(rows),
    }


def citation_page(rows: Sequence[Row], judge: Mapping[str, object], *, guarded: bool) -> Page:
    """Citation and claim figures by set, what the checks dropped, guard and time."""
    sets = grouped(rows, lambda row: row["set"])
    named = {"all": rows, **(sets if len(sets) > 1 else {})}
    lines = (f"Judge: {judge['name']}, a text supports a statement from {judge['threshold']} on.",)
    parts = [Part("Answers", lines, [["set", *_COUNTED], *([name, *_count_row(part)] for name, part in named.items())])]
    for group in GROUPS:
        table = {name: found for name, part in named.items() if (found := value_figures(part, group))}
        if table:
            parts.append(Part(group.title(), (), figure_table(table)))
    dropped = "; ".join(f"{name}: {count}" for name, count in _dropped(rows).items()) or "none"
    parts.append(Part("Statements dropped by the checks", (f"By failed check: {dropped}.",)))
    left = sum(row.get("own_left", 0) for row in rows)
    parts.append(Part("Leakage guard", guard_lines(guarded, withheld_counts(rows), _guarded(rows), left)))
    parts.append(Part("Seconds per question", (), latency_table(latencies(rows))))
    return Page("Citations", LEGEND, tuple(parts))


_COUNTED = (
    "n", "answered", "abstained", "failed", "statements", "citations", "invalid", "quotes", "verbatim", "dropped",
)  # fmt: skip


def _part(rows: Sequence[Row]) -> dict[str, Any]:
    counts = _total(rows)
    return {
        **{name: counts[name] for name in ("n", "answered", "abstained", "failed")},
        **{group: {name: one.as_json() for name, one in value_figures(rows, group).items()} for group in GROUPS},
        "invalid_citation_rate": share(counts["invalid"], counts["citations"]).as_json(),
        "quote_verbatim_rate": share(counts["verbatim"], counts["quotes"]).as_json(),
        "statements": counts["statements"],
        "dropped": {"value": counts["dropped"], "by_check": _dropped(rows)},
    }


def _total(rows: Sequence[Row]) -> Counter[str]:
    total: Counter[str] = Counter(n=len(rows))
    for row in rows:
        if "error" in row:
            total["failed"] += 1
            continue
        total["abstained" if row["abstained"] else "answered"] += 1
        total.update({name: value for name, value in row["counts"].items() if name != "dropped_by"})
    return total


def _count_row(rows: Sequence[Row]) -> list[str]:
    counts = _total(rows)
    return [str(counts[name]) for name in _COUNTED]


def _dropped(rows: Sequence[Row]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for row in rows:
        total.update(row.get("counts", {}).get("dropped_by", {}))
    return dict(total.most_common())


def _guarded(rows: Sequence[Row]) -> int:
    return sum(bool(row.get("withheld")) for row in rows)
