"""The part of `vesalius calibrate` that fits when an answer abstains: on answers to questions whose pages are known."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rag.cli.common import emit_json, note
from rag.errors import UsageError

if TYPE_CHECKING:
    from eval.datasets import QueryItem
    from eval.gold import Unit
    from pipelines.library import Library
    from rag.grounding.abstention import Abstention, AnswerRow

LEAST = 20
"""Answerable questions below which a threshold is chance; signals are weighed on as many without an answer."""


def fit_abstention(args: argparse.Namespace, library: Library) -> int:
    """Answer every open question, fit the threshold of confidence, and store it beside the selectors' parameters."""
    from eval.datasets import load_queries
    from pipelines.calibration import save_abstention
    from rag.grounding.abstention import FitAbstention, figures_at, fit_modelled, fit_threshold, modelled, summary

    known = [item for item in load_queries(args.queries).items if item.gold and not item.query.options]
    lacking = list(load_queries(args.unanswerable).items) if args.unanswerable else []
    if len(known) < LEAST:
        raise UsageError(f"{len(known)} open questions with gold are too few to fit abstention: it needs {LEAST}")
    if args.abstain == "balanced" and not lacking:
        raise UsageError("--abstain balanced needs questions without an answer: --unanswerable F")
    rows = list(answered(library, known, lacking))
    note(args, f"answered {len(rows)} questions")
    fit = fit_modelled if len(lacking) >= LEAST else fit_threshold
    fitted = fit(rows, FitAbstention(args.abstain, args.target, args.delta))
    path = save_abstention(library.folder, library.manifest.fingerprint, {"open": fitted})
    rows = modelled(rows, fitted)
    figures: dict[str, Any] = figures_at(rows, fitted.value)
    if args.json:
        emit_json({"open": asdict(fitted), "figures": figures, "curve": summary(rows), "file": str(path)})
    else:
        print(_told(fitted, figures))
    note(args, f"written: {path}")
    return 0


def answered(library: Library, known: Sequence[QueryItem], lacking: Sequence[QueryItem]) -> Iterator[AnswerRow]:
    """Each question's confidence and signals, and whether a citation of its answer is right; nothing abstains.

    What a row says to `exclude` is withheld from it: a question without its pages has no answer.
    """
    from eval.gold import canonical, unit_of
    from pipelines.trial_answers import TrialAssistant
    from rag.grounding.abstention import AnswerRow
    from rag.types import KINDS

    assistant = TrialAssistant(library)
    passages = _passages_of(library, {unit for item in (*known, *lacking) for unit in item.exclude})
    for items, answerable in ((known, True), (lacking, False)):
        for item in items:
            withheld = [name for unit in item.exclude for name in passages.get(unit, ())]
            trial = assistant.ask(item.query, item.kinds or KINDS, withheld)
            cited = {canonical(unit_of(one.passage), item.gold) for one in trial.answer.citations}
            yield AnswerRow(
                item.query.id,
                item.set_name,
                answerable,
                answerable and bool(cited & item.gold),
                trial.answer.confidence,
                min(("/".join(unit) for unit in item.gold or item.exclude), default=""),
                trial.signals,
            )


def _passages_of(library: Library, wanted: Iterable[Unit]) -> dict[Unit, list[str]]:
    """The ids of the passages of some units; a record named without its collection is of any."""
    from eval.gold import canonical, kinds_of, unit_of

    named = set(wanted)
    found: dict[Unit, list[str]] = {}
    for kind in kinds_of(named):
        for passage in library.passages(kind):
            unit = canonical(unit_of(passage), named)
            if unit in named:
                found.setdefault(unit, []).append(passage.id)
    return found


def _told(fitted: Abstention, figures: dict[str, Any]) -> str:
    right = figures["right_of_answered"]
    weighed = "" if fitted.model is None else f", confidence weighed from {', '.join(fitted.model.names)}"
    lines = [
        f"answers below a confidence of {fitted.value:.3f} are withheld "
        f"({fitted.method}, target {fitted.target:g}{weighed})",
        f"of {fitted.n} questions {fitted.answered:.0%} are answered; {fitted.wrong:.0%} of the answers are wrong",
        f"of the questions with an answer {figures['false_abstention']:.0%} are withheld; of those answered "
        f"{'none' if right is None else f'{right:.0%}'} cite a right page",
    ]
    if figures["abstained_unanswerable"] is not None:
        lines.append(f"of the questions without an answer {figures['abstained_unanswerable']:.0%} are withheld")
    return "\n".join(lines)
