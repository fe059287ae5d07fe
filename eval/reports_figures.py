"""From the rows of a report run to its figures and its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.answers_figures import grouped, guard_json, latencies, value_figures
from eval.answers_intervals import Figure, figures
from eval.answers_page import Page, Part, figure_table
from eval.answers_pages import guard_lines, latency_table
from eval.answers_rows import Row, withheld_counts
from eval.metrics.findings import FindingScores, finding_scores
from eval.metrics.overlap import corpus_bleu, report_words
from eval.metrics.scores import Score
from eval.retrieval_pages import show
from eval.statistics import Estimate, bootstrap

LEGEND = (
    "Draft: the report drafted, an abstention or a failure being an empty one. Nearest: the report of the most similar "
    "other case, copied. Shuffled: the drafts against the reference of another case. Means over cases with 95 % "
    "bootstrap intervals over patients, studies or images. finding_f1_rules: 14 chest findings by rules, not CheXbert, "
    "over the cases where either side has one; the pooled F1 counts findings over all cases. Corpus BLEU has no "
    "interval. Cases without an image or a reference are left out."
)
BLEU = ("bleu1", "bleu2", "bleu3", "bleu4")


@dataclass(frozen=True, slots=True)
class ReportReading:
    """Who wrote, whether the guard was on, and how a text is held against a reference."""

    writer: str
    guarded: bool
    compare: Callable[[str, str], Mapping[str, float | None]]


def report_document(rows: Sequence[Row], reading: ReportReading) -> dict[str, Any]:
    """The document of `vesalius eval reports --json`."""
    return {
        **_part(rows, reading),
        "writer": reading.writer,
        "by_set": {name: _part(part, reading) for name, part in grouped(rows, lambda row: row["set"]).items()},
        "guard": guard_json(reading.guarded, withheld_counts(rows), _guarded(rows), _own_left(rows)),
        "latency": latencies(rows),
    }


def report_page(rows: Sequence[Row], reading: ReportReading) -> Page:
    """Overlap and findings by set and against the baselines, findings by name, guard and time."""
    sets = grouped([row for row in rows if "question" in row], lambda row: row["set"])
    named: dict[str, Sequence[Row]] = {"all": rows, **(sets if len(sets) > 1 else {})}
    parts = [Part("Cases", (f"Written by: {reading.writer}.",), _count_table(named))]
    for name, part in named.items():
        systems = _systems(_compared(part), reading)
        if systems["draft"]:
            parts.append(Part(f"Reports: {name}", _pooled_lines(part), figure_table(systems, "system")))
    scores = _findings(_compared(rows), "draft")
    parts.append(Part("Findings of all drafts", _finding_lines(scores), _finding_table(scores)))
    guard = guard_lines(reading.guarded, withheld_counts(rows), _guarded(rows), _own_left(rows))
    parts.append(Part("Leakage guard", guard))
    parts.append(Part("Seconds per case", (), latency_table(latencies(rows))))
    return Page("Reports", LEGEND, tuple(parts))


def pooled_f1(rows: Sequence[Row], field: str) -> Estimate:
    """Micro F1 of findings over all cases with its bootstrap interval: a ratio of sums, 2 both / (said + wanted)."""
    counts = [row[field] for row in rows]
    table = [[2 * one["both"], 2 * one["both"] + one["extra"] + one["omitted"]] for one in counts]
    return bootstrap(np.array(table, dtype=np.float64).reshape(-1, 2), None, [row["cluster"] for row in rows]).ratio(
        0, 1
    )


def _part(rows: Sequence[Row], reading: ReportReading) -> dict[str, Any]:
    compared = _compared(rows)
    systems = _systems(compared, reading)
    scores = _findings(compared, "draft")
    return {
        "n": len(rows),
        "drafted": sum(bool(row["draft"]) for row in compared),
        "abstained": sum(bool(row.get("abstained")) for row in rows),
        "failed": sum("error" in row for row in rows),
        "left_out": sum("skipped" in row for row in rows),
        "compared": len(compared),
        **{
            system: {
                **{name: one.as_json() for name, one in found.items()},
                "corpus_bleu": _bleu(compared, system),
                "pooled_finding_f1": {**pooled_f1(compared, field).as_json(), "n": len(compared)},
            }
            for (system, found), field in zip(list(systems.items())[:2], ("findings", "nearest_findings"), strict=True)
        },
        "shuffled": {name: one.as_json() for name, one in systems["shuffled"].items()},
        "findings": {name: score.as_json() for name, score in _named_scores(scores).items()},
    }


def _systems(compared: Sequence[Row], reading: ReportReading) -> dict[str, dict[str, Figure]]:
    return {
        "draft": value_figures(compared, "draft"),
        "nearest": value_figures(compared, "nearest"),
        "shuffled": _shuffled(compared, reading),
    }


def _shuffled(compared: Sequence[Row], reading: ReportReading) -> dict[str, Figure]:
    """Each draft against the next case's reference of another cluster; nothing where all cases are of one."""
    found: list[tuple[Mapping[str, float | None], str]] = []
    for place, row in enumerate(compared):
        others = (*compared[place + 1 :], *compared[:place])
        other = next((one for one in others if one["cluster"] != row["cluster"]), None)
        if other is not None:
            found.append((reading.compare(row["draft"], other["reference"]), row["cluster"]))
    names = dict.fromkeys(name for values, _ in found for name in values)
    return figures([(name, [(values[name], cluster) for values, cluster in found]) for name in names])


def _compared(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.get("values")]


def _bleu(compared: Sequence[Row], system: str) -> dict[str, float]:
    texts = [report_words(row[system]) for row in compared]
    values = corpus_bleu(texts, [[report_words(row["reference"])] for row in compared])
    return {name: round(value, 6) for name, value in zip(BLEU, values, strict=True)}


def _findings(compared: Sequence[Row], system: str) -> FindingScores:
    return finding_scores([row[system] for row in compared], [row["reference"] for row in compared])


def _named_scores(scores: FindingScores) -> dict[str, Score]:
    return {name: getattr(scores, name) for name in FindingScores.__slots__ if name != "labels"}


def _count_table(named: Mapping[str, Sequence[Row]]) -> list[list[str]]:
    header = ["set", "n", "left out", "compared", "with a draft", "abstained", "failed"]
    return [header, *([name, *map(str, _counts(part))] for name, part in named.items())]


def _counts(rows: Sequence[Row]) -> tuple[int, ...]:
    compared, left_out = _compared(rows), sum("skipped" in row for row in rows)
    drafts, declined = sum(bool(row["draft"]) for row in compared), sum(bool(row.get("abstained")) for row in rows)
    return len(rows), left_out, len(compared), drafts, declined, sum("error" in row for row in rows)


def _pooled_lines(rows: Sequence[Row]) -> tuple[str, ...]:
    compared = _compared(rows)
    pairs = (("draft", "findings"), ("nearest", "nearest_findings"))
    bleu = (
        f"Corpus BLEU-1 to 4, {system}: " + ", ".join(f"{value:.3f}" for value in _bleu(compared, system).values())
        for system, _ in pairs
    )
    f1 = (f"Pooled finding F1, {system}: {show(pooled_f1(compared, field))}." for system, field in pairs)
    return (*bleu, *f1)


def _finding_lines(scores: FindingScores) -> tuple[str, ...]:
    named = _named_scores(scores)
    return tuple(
        f"{name.replace('_', ' ')}: {'-' if one.value is None else f'{one.value:.3f}'}, n {one.n}"
        for name, one in named.items()
    )


def _finding_table(scores: FindingScores) -> list[list[str]]:
    rows = [
        [one.label, str(one.both), str(one.only_generated), str(one.only_reference)]
        for one in scores.labels
        if one.both + one.only_generated + one.only_reference
    ]
    return [["finding", "in both", "only drafted", "only in the reference"], *rows] if rows else []


def _guarded(rows: Sequence[Row]) -> int:
    return sum(bool(row.get("withheld")) for row in rows)


def _own_left(rows: Sequence[Row]) -> int:
    return sum(row.get("own_left", 0) for row in rows)
