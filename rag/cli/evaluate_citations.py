"""`vesalius eval citations`: does what is cited support what is said?"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rag.cli.common import Subcommands, command, parse_kinds
from rag.cli.evaluate_answers import add_questions, evaluate
from rag.errors import UsageError

if TYPE_CHECKING:
    from eval.answers_questions import Questions
    from eval.answers_run import Measure
    from pipelines.library import Library
    from rag.leakage import Guard


def add(group: Subcommands) -> None:
    """Declare the command."""
    made = command(group, "citations", run, "citation recall and precision, invalid citations, quotes, claims")
    add_questions(made)
    made.add_argument(
        "--threshold", type=float, default=0.5, metavar="X", help="support from which a text counts (default: 0.5)"
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate and write a run folder."""
    from eval.citations import CitationMeasure

    if not 0 < args.threshold <= 1:
        raise UsageError(f"--threshold {args.threshold}: support is above 0 and at most 1")

    def measure(library: Library, _asked: Questions, guard: Guard | None) -> Measure:
        from pipelines.assistant import Assistant

        steps = library.parts.steps()
        assistant = Assistant(library, steps, guard=guard)
        return CitationMeasure(
            ask=lambda query, kinds: assistant.ask(query, kinds=kinds),
            judge=steps.judge,
            judge_name=library.settings.grounding.judge,
            threshold=args.threshold,
            kinds=parse_kinds(args.kinds),
            guarded=guard is not None,
        )

    return evaluate(args, "citations", measure, {"threshold": args.threshold})
