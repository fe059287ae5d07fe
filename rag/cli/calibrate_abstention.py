"""The part of `vesalius calibrate` that fits when an answer abstains: on answers to questions whose pages are known."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from rag.cli.common import emit_json, note
from rag.errors import UsageError

if TYPE_CHECKING:
    from eval.datasets import QueryItem
    from pipelines.library import Library
    from rag.grounding.abstention import Abstention, AnswerRow

LEAST = 20
"""Answerable questions below which a threshold is chance."""


def fit_abstention(args: argparse.Namespace, library: Library) -> int:
    """Answer every open question, fit the threshold of confidence, and store it beside the selectors' parameters."""
    from eval.datasets import load_queries
    from pipelines.calibration import save_abstention
    from rag.grounding.abstention import FitAbstention, figures_at, fit_threshold, summary

    known = [item for item in load_queries(args.queries).items if item.gold and not item.query.options]
    lacking = list(load_queries(args.unanswerable).items) if args.unanswerable else []
    if len(known) < LEAST:
        raise UsageError(f"{len(known)} open questions with gold are too few to fit abstention: it needs {LEAST}")
    if args.abstain == "balanced" and not lacking:
        raise UsageError("--abstain balanced needs questions without an answer: --unanswerable F")
    rows = list(answered(library, known, lacking))
    note(args, f"answered {len(rows)} questions")
    fitted = fit_threshold(rows, FitAbstention(args.abstain, args.target, args.delta))
    path = save_abstention(library.folder, library.manifest.fingerprint, {"open": fitted})
    figures: dict[str, Any] = figures_at(rows, fitted.value)
    if args.json:
        emit_json({"open": asdict(fitted), "figures": figures, "curve": summary(rows), "file": str(path)})
    else:
        print(_told(fitted, figures))
    note(args, f"written: {path}")
    return 0


def answered(library: Library, known: Sequence[QueryItem], lacking: Sequence[QueryItem]) -> Iterator[AnswerRow]:
    """Each question's confidence, and whether a citation of its answer is right; nothing abstains meanwhile."""
    from eval.gold import canonical, unit_of
    from pipelines.assistant import Assistant
    from rag.grounding.abstention import AnswerRow
    from rag.types import KINDS

    steps = library.parts.steps()
    assistant = Assistant(library, replace(steps, policy=replace(steps.policy, min_confidence=0.0)))
    for items, answerable in ((known, True), (lacking, False)):
        for item in items:
            answer = assistant.ask(item.query, kinds=item.kinds or KINDS)
            cited = {canonical(unit_of(one.passage), item.gold) for one in answer.citations}
            right = answerable and bool(cited & item.gold)
            yield AnswerRow(item.query.id, item.set_name, answerable, right, answer.confidence)


def _told(fitted: Abstention, figures: dict[str, Any]) -> str:
    right = figures["right_of_answered"]
    lines = [
        f"answers below a confidence of {fitted.value:.3f} are withheld ({fitted.method}, target {fitted.target:g})",
        f"of {fitted.n} questions {fitted.answered:.0%} are answered; {fitted.wrong:.0%} of the answers are wrong",
        f"of the questions with an answer {figures['false_abstention']:.0%} are withheld; of those answered "
        f"{'none' if right is None else f'{right:.0%}'} cite a right page",
    ]
    if figures["abstained_unanswerable"] is not None:
        lines.append(f"of the questions without an answer {figures['abstained_unanswerable']:.0%} are withheld")
    return "\n".join(lines)
