"""`vesalius eval reports`: are the drafted reports like those that were written?"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rag.cli.common import Subcommands, command
from rag.cli.evaluate_answers import add_questions, evaluate
from rag.errors import MissingExtra

if TYPE_CHECKING:
    from eval.answers_questions import Questions
    from eval.answers_run import Measure
    from pipelines.library import Library
    from rag.leakage import Guard


def add(group: Subcommands) -> None:
    """Declare the command."""
    made = command(group, "reports", run, "drafted reports against references: wording and findings, with baselines")
    add_questions(made)
    made.add_argument(
        "--radeval", action="append", default=[], metavar="NAME",
        help="also this metric of the radeval package, if it and its weights are installed; may be repeated",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Evaluate and write a run folder."""
    from eval.metrics.radeval import RadEvalMetric
    from eval.reports import ReportMeasure, check_references

    if args.radeval and find_spec("radeval") is None:
        raise MissingExtra("radeval", feature=f"--radeval {args.radeval[0]}")

    def measure(library: Library, asked: Questions, guard: Guard | None) -> Measure:
        from pipelines.report import Reporter

        check_references(asked)
        settings = library.settings
        reporter = Reporter(library, guard=guard)
        return ReportMeasure(
            draft=reporter.report,
            writer=settings.vlm.model if settings.answer.generator == "vlm" else "composed, no model",
            guarded=guard is not None,
            radeval=tuple(RadEvalMetric(name) for name in args.radeval),
        )

    return evaluate(args, "reports", measure, {"radeval": list(args.radeval)})
