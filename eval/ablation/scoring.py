"""The scores of one question in one cell, by metric name: of the ranking, of the evidence, and of the answer.

A metric that does not apply to a question (it names no right passage, it is no multiple choice) is absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from eval.ablation.experiment import nearest
from eval.datasets import QueryItem
from eval.gold import Unit, canonical
from eval.metrics import retrieval
from rag.errors import ConfigError

RANKING: tuple[str, ...] = retrieval.METRICS
"""Metrics of the ranking: they need no answer."""
EVIDENCE: tuple[str, ...] = ("evidence-hit", "evidence-recall", "evidence-precision", "evidence-size")
ANSWER: tuple[str, ...] = (
    "accuracy", "answered", "abstained", "confidence", "support", "claims", "cites-gold", "citation-precision",
    "dropped-claims", "degraded",
)  # fmt: skip
METRICS: tuple[str, ...] = (*RANKING, *EVIDENCE, *ANSWER)
SMALLER_IS_BETTER = frozenset({"abstained", "dropped-claims", "degraded", "evidence-size"})
ALWAYS = ("answered", "abstained", "confidence")
"""Kept for every answer, asked for or not: risk-coverage curves and denominators read them."""


def check_metrics(names: Sequence[str]) -> None:
    """Raise ConfigError for a metric that is not known, with the nearest one."""
    for name in names:
        if name not in METRICS:
            raise ConfigError(f"there is no metric {name!r}{nearest(name, METRICS)}")


def needs_answers(names: Sequence[str]) -> bool:
    """Whether these metrics are of evidence or answers."""
    return any(name not in RANKING for name in names)


def ranking_scores(item: QueryItem, judged: Mapping[str, Any], names: Sequence[str]) -> dict[str, float | None]:
    """The ranking's metrics; none without gold."""
    wanted = [name for name in names if name in RANKING]
    if not item.gold or not wanted:
        return {}
    ranked = [tuple(unit) for unit, _ in judged["ranked"]]
    table = retrieval.score_ranking(ranked, dict.fromkeys(item.gold, 1.0))
    values = dict(zip(RANKING, table.tolist(), strict=True))
    return {name: values[name] for name in wanted}


def first_rank(item: QueryItem, units: Sequence[Sequence[str]]) -> int | None:
    """The rank, from 1, of the first right unit."""
    return next((rank for rank, unit in enumerate(units, start=1) if tuple(unit) in item.gold), None)


def answer_scores(item: QueryItem, answer: Mapping[str, Any], names: Sequence[str]) -> dict[str, float | None]:
    """The metrics of evidence and answer that are asked for and apply, and those that are always kept."""
    wanted = [*names, *(name for name in ALWAYS if name not in names)]
    values = {**_evidence(item, answer), **_answer(item, answer), **_citations(item, answer)}
    return {name: values[name] for name in wanted if name in values}


def right_choice(item: QueryItem) -> str | None:
    """The letter (A, B, ... in the order of the options) of the right answer; None when there is none to name."""
    options, answer = item.query.options, (item.answer or "").strip()
    if not options or not answer:
        return None
    letters = item.letters or tuple(ascii_uppercase[: len(options)])
    for place, (letter, option) in enumerate(zip(letters, options, strict=False)):
        if answer in (letter, option) or answer.casefold() in (letter.casefold(), option.casefold().strip()):
            return ascii_uppercase[place]
    return None


def _answer(item: QueryItem, answer: Mapping[str, Any]) -> dict[str, float | None]:
    claims = answer["claims"]
    values: dict[str, float | None] = {
        "answered": float(not answer["abstained"]),
        "abstained": float(answer["abstained"]),
        "confidence": min(1.0, max(0.0, answer["confidence"])),
        "claims": float(len(claims)),
        "dropped-claims": float(len(answer["failed_checks"])),
        "degraded": float(bool(answer["usage"].get("degraded"))),
    }
    if claims:
        values["support"] = sum(claim["support"] for claim in claims) / len(claims)
    right = right_choice(item)
    if right is not None:
        values["accuracy"] = float(answer["choice"] == right)
    return values


def _evidence(item: QueryItem, answer: Mapping[str, Any]) -> dict[str, float | None]:
    units = [_canonical(row["unit"], item) for row in answer["evidence"]]
    values: dict[str, float | None] = {"evidence-size": float(len(units))}
    if item.gold:
        right = [unit for unit in units if unit in item.gold]
        values["evidence-hit"] = float(bool(right))
        values["evidence-recall"] = len(set(right)) / len(item.gold)
        if units:
            values["evidence-precision"] = len(right) / len(units)
    return values


def _citations(item: QueryItem, answer: Mapping[str, Any]) -> dict[str, float | None]:
    cited = [_canonical(row["unit"], item) for row in answer["citations"]]
    if not item.gold:
        return {}
    right = [unit for unit in cited if unit in item.gold]
    values: dict[str, float | None] = {"cites-gold": float(bool(right))}
    if cited:
        values["citation-precision"] = len(right) / len(cited)
    return values


def _canonical(unit: Sequence[str], item: QueryItem) -> Unit:
    return canonical(tuple(unit), item.gold)
