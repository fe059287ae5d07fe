"""Single questions of a run, for looking into: scores per cell, and what was asked, shown and answered.

The run's `samples.jsonl` may lie beside the results: one row per cell and question, with `cell`, `item` (or `id`) and
any of `question`, `options`, `gold`, `answer`, `choice`, `reason`, `evidence`, `checks`. Evidence is a list of texts,
or of objects with any of `document`, `page`, `record`, `fact`, `kind`, `text` or `quote`, `score`, and `image`, a path
inside the folder. A row without `cell` is of the question itself. Pictures that the run kept (`pictures.json`) are
found by the evidence's `passage` and by the question's `id`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.ablation.analysis import Analysis
from eval.ablation.pairing import scores_of
from eval.ablation.rendering.markup import data, shortened
from eval.ablation.rendering.thumbnails import Thumbnails
from eval.ablation.results import ItemResult
from eval.runs import SAMPLES

logger = logging.getLogger(__name__)

_TEXT, _EVIDENCE = 1200, 6
"""Characters kept of one text, and pieces of evidence of one answer."""


@dataclass(frozen=True, slots=True)
class DrillDownLimits:
    """How much of a run a page carries: questions, characters of JSON, and bytes of thumbnails."""

    questions: int = 400
    characters: int = 3_000_000
    image_bytes: int = 3_000_000


@dataclass(frozen=True, slots=True)
class DrillDown:
    """The document for the page's script, safe inside a script element; `shown` of `total` questions are in it."""

    document: str
    shown: int
    total: int


def drill_down(analysis: Analysis, folder: Path | None, limits: DrillDownLimits | None = None) -> DrillDown:
    """The questions about which the cells disagree most come first, and are the ones kept when there is no room."""
    limits = limits or DrillDownLimits()
    order = _by_disagreement(analysis)
    kept = order[: limits.questions]
    rows = _sample_rows(folder, set(kept)) if folder is not None else {}
    thumbnails = Thumbnails(folder, limits.image_bytes)
    cells = [row.cell.id for row in analysis.main.rows]
    results = _results(analysis)
    questions: list[dict[str, Any]] = []
    room = limits.characters
    for item in kept:
        made = _question(analysis, item, cells, results[item], rows.get(item, {}), thumbnails)
        room -= len(data(made))
        if room < 0:
            break
        questions.append(made)
    document = {
        "metrics": list(analysis.result.metrics),
        "cells": [shortened(analysis.labels[cell], 120) for cell in cells],
        "baseline": cells.index(analysis.baseline.id),
        "questions": questions,
        "images": thumbnails.made,
    }
    return DrillDown(data(document), len(questions), len(order))


def _by_disagreement(analysis: Analysis) -> list[str]:
    """Questions by how much the settings differ in the main metric, most first, then by id."""
    scores = scores_of(analysis.result, analysis.main.metric)
    settings = [row.cell.id for row in analysis.main.rows if row.cell.kind == "factorial"]
    table = np.array([scores.values[cell] for cell in settings])
    found = np.isfinite(table)
    means = np.where(found, table, 0.0).sum(axis=0) / np.maximum(found.sum(axis=0), 1)
    spread = np.where(found, np.abs(table - means), 0.0).sum(axis=0)
    return [scores.items[place] for place in sorted(range(len(scores.items)), key=lambda at: (-spread[at], at))]


def _results(analysis: Analysis) -> dict[str, dict[str, ItemResult]]:
    """Question to cell to result; of repeats the first."""
    found: dict[str, dict[str, ItemResult]] = {}
    for cell in analysis.result.cells:
        for item in cell.items:
            found.setdefault(item.item, {}).setdefault(cell.cell.id, item)
    return found


def _question(
    analysis: Analysis,
    item: str,
    cells: list[str],
    results: Mapping[str, ItemResult],
    rows: Mapping[str, Mapping[str, Any]],
    thumbnails: Thumbnails,
) -> dict[str, Any]:
    any_result = next(iter(results.values()))
    shared = {name: value for row in rows.values() for name, value in row.items()} | dict(rows.get("", {}))
    return {
        "id": shortened(item, 200),
        "cluster": shortened(any_result.cluster, 24),
        "groups": {shortened(name, 60): shortened(value, 60) for name, value in any_result.groups.items()},
        "question": _text(shared.get("question", shared.get("text"))),
        "images": thumbnails.of_question(shared.get("id", item)),
        "gold": _text(shared.get("gold")),
        "options": _options(shared.get("options")),
        "scores": [_scores(analysis, results.get(cell)) for cell in cells],
        "errors": {
            place: _text(results[cell].error)
            for place, cell in enumerate(cells)
            if cell in results and results[cell].error
        },
        "answers": {place: _answer(rows[cell], thumbnails) for place, cell in enumerate(cells) if cell in rows},
    }


def _options(value: object) -> list[str]:
    """The options of a choice, each with its letter where they have one."""
    if isinstance(value, dict):
        return [f"{_text(letter)}: {_text(option)}" for letter, option in value.items()]
    return [_text(option) for option in value] if isinstance(value, list) else []


def _scores(analysis: Analysis, result: ItemResult | None) -> list[float | None]:
    if result is None:
        return [None] * len(analysis.result.metrics)
    values = (result.metrics.get(metric) for metric in analysis.result.metrics)
    return [round(float(value), 4) if value is not None and np.isfinite(value) else None for value in values]


def _answer(row: Mapping[str, Any], thumbnails: Thumbnails) -> dict[str, Any]:
    evidence = row.get("evidence")
    pieces = evidence[:_EVIDENCE] if isinstance(evidence, list) else []
    choice = f"{row['choice']}: " if row.get("choice") else ""
    return {
        "answer": choice + (_text(row.get("answer") or row.get("reply")) or _text(row.get("reason"))),
        "evidence": [_evidence(piece, thumbnails) for piece in pieces],
        "more": len(evidence) - len(pieces) if isinstance(evidence, list) else 0,
        "checks": _checks(row.get("checks")),
    }


def _checks(value: object) -> str:
    """Checks and how each went, in words."""
    if isinstance(value, dict) and all(isinstance(passed, bool) for passed in value.values()):
        return _text(", ".join(f"{name} {'passed' if passed else 'failed'}" for name, passed in value.items()))
    return _text(value)


def _evidence(piece: object, thumbnails: Thumbnails) -> dict[str, Any]:
    if not isinstance(piece, dict):
        return {"source": "", "text": _text(piece), "image": None}
    named = ("kind", "document", "page", "record", "fact", "passage_id", "id", "score")
    known = {name: piece[name] for name in named if piece.get(name) is not None}
    source = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {_text(value)}" for name, value in known.items()
    )
    return {
        "source": shortened(source, 200),
        "text": _text(piece.get("text", piece.get("quote"))),
        "image": thumbnails.add(piece.get("image")) or thumbnails.of_passage(piece.get("passage")),
    }


def _text(value: object) -> str:
    """Any JSON value as a short text; nothing for nothing."""
    if value is None or value in ({}, []):
        return ""
    plain = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return plain if len(plain) <= _TEXT else plain[: _TEXT - 1] + "…"


def _sample_rows(folder: Path, wanted: set[str]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Question to cell to row; the cell is "" for a row of the question itself."""
    path = folder / SAMPLES
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    if not path.is_file():
        return found
    for row in _json_rows(path):
        item = str(row.get("item", row.get("id", "")))
        if item in wanted:
            found.setdefault(item, {}).setdefault(str(row.get("cell", "")), row)
    return found


def _json_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    broken = 0
    with path.open(encoding="utf-8", errors="replace") as lines:
        for row in map(_parsed, _filled(lines)):
            if row is None:
                broken += 1
            else:
                yield row
    if broken:
        logger.warning("%d lines of %s are no JSON objects; the report leaves them out", broken, path)


def _filled(lines: Iterable[str]) -> Iterator[str]:
    return (line for line in lines if line.strip())


def _parsed(line: str) -> Mapping[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
