"""What abstention measures, always on questions that nothing was fitted on: random halves, and whole books left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from rag.grounding.abstention import (
    Abstention,
    AnswerRow,
    FitAbstention,
    fit_modelled,
    fit_threshold,
    halves,
    modelled,
    modelled_by_others,
    risk_coverage,
    separation,
    summary,
)

DEFAULT = 0.5
LOOSE = "removed_gold"
"""Questions that the rest of the book may still answer; counted in place of `removed`, never beside it."""
_BALANCED = FitAbstention("balanced")
_LEAST_FIT, _LEAST_TEST = 20, 10
"""Answerable questions that a book is left out with: fewer say nothing."""


def measured(rows: Sequence[AnswerRow], splits: int) -> dict[str, Any]:
    """All figures, for both readings of removed evidence."""
    told = [row for row in rows if row.arm != LOOSE]
    loose = [row for row in rows if row.arm != "removed"]
    curves = curve_rows(rows)
    return {
        "splits": splits,
        "separation": {name: separation(some) for name, some in zip(("default", "modelled"), curves, strict=True)},
        "n": {name: sum(row.arm == name for row in rows) for name in dict.fromkeys(row.arm for row in rows)},
        "unrelated": held_out([row for row in told if row.arm != "removed"], splits),
        "removed": held_out(told, splits),
        "conformal": held_out(told, splits, FitAbstention("conformal", 0.9)),
        "removed_gold": held_out(loose, splits),
        "books": left_out_books(told),
        "signals": _weights(told),
        "curve": {name: summary(some) for name, some in zip(("default", "modelled"), curves, strict=True)},
        "table": [
            {"coverage": share, "default": risk_coverage(curves[0], [share])[0].risk,
             "modelled": risk_coverage(curves[1], [share])[0].risk}
            for share in (0.1 * i for i in range(1, 11))
        ],
    }  # fmt: skip


def curve_rows(rows: Sequence[AnswerRow]) -> tuple[list[AnswerRow], list[AnswerRow]]:
    """The rows of the curve: by the answerer's confidence, and by that of a model of the other folds."""
    told = [row for row in rows if row.arm != LOOSE]
    read = [row for row in told if row.signals]
    return told, [*modelled_by_others(read), *(row for row in told if not row.signals)]


def held_out(rows: Sequence[AnswerRow], splits: int, options: FitAbstention = _BALANCED) -> dict[str, Any]:
    """Mean and middle 95 % of each figure over random halves: fitted on one, measured on the other."""
    found: dict[str, list[dict[str, float]]] = {"default": [], "threshold": [], "modelled": []}
    for seed in range(splits):
        given, test = halves(rows, seed)
        for name, fitted in _fits(given, options).items():
            found[name].append(figures(modelled(test, fitted) if fitted else test, fitted.value if fitted else DEFAULT))
    return {name: _spread(each) for name, each in found.items()}


def _fits(rows: Sequence[AnswerRow], options: FitAbstention) -> dict[str, Abstention | None]:
    return {"default": None, "threshold": fit_threshold(rows, options), "modelled": fit_modelled(rows, options)}


def figures(rows: Sequence[AnswerRow], threshold: float) -> dict[str, float]:
    """Shares withheld, by arm and over all arms without an answer, and how right the answers are."""
    have, lack = [row for row in rows if row.answerable], [row for row in rows if not row.answerable]
    given = [row for row in have if row.confidence >= threshold]
    found = {
        "withheld": _share(row.confidence < threshold for row in lack),
        "false_abstention": _share(row.confidence < threshold for row in have),
        "right_withheld": _share(row.confidence < threshold for row in have if row.right),
        "right_of_answered": _share(row.right for row in given),
    }
    for name in dict.fromkeys(row.arm for row in lack):
        found[name] = _share(row.confidence < threshold for row in lack if row.arm == name)
    if LOOSE in found:
        found["still_told"] = _share(row.right and row.confidence >= threshold for row in lack if row.arm == LOOSE)
    return found


def left_out_books(rows: Sequence[AnswerRow]) -> dict[str, Any]:
    """Fitted on the questions of all other books, measured on those of one; nonsense is shared out evenly."""
    books = sorted({row.cluster.split("/")[1] for row in rows if row.answerable})
    found = {}
    for book in books:
        own = [row for i, row in enumerate(rows) if _is_of(row, book, i)]
        rest = [row for i, row in enumerate(rows) if not _is_of(row, book, i)]
        if sum(row.answerable for row in own) < _LEAST_TEST or sum(row.answerable for row in rest) < _LEAST_FIT:
            continue
        fitted = fit_modelled(rest, _BALANCED)
        found[book] = {"n": len(own), **figures(modelled(own, fitted), fitted.value)}
    return found


def _is_of(row: AnswerRow, book: str, place: int) -> bool:
    return place % 2 == 0 if row.arm == "nonsense" else row.cluster.split("/")[1] == book


def _weights(rows: Sequence[AnswerRow]) -> dict[str, float]:
    model = fit_modelled(rows, _BALANCED).model
    return {} if model is None else dict(zip(model.names, model.weights, strict=True))


def _spread(rows: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    found = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        low, high = np.quantile(values, [0.025, 0.975])
        found[name] = {"mean": float(values.mean()), "low": float(low), "high": float(high)}
    return found


def _share(values: Iterable[bool]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else float("nan")
