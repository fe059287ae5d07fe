"""`vesalius eval answers`: are the answers right? And what the commands share that ask questions of a file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.cli.common import Subcommands, add_kinds, add_library, command, emit_json, note, parse_kinds, progress_sink
from rag.errors import UsageError

if TYPE_CHECKING:
    from eval.answers_questions import Questions
    from eval.answers_run import Measure
    from pipelines.library import Library
    from rag.leakage import Guard

_NAMED = 10
"""So many missing images and rows that cannot be read are named on standard error; metrics.json names all."""


def add(group: Subcommands) -> None:
    """Declare the command."""
    made = command(group, "answers", run, "accuracy of answers against baselines, confidence and abstention")
    add_questions(made)
    made.add_argument(
        "--preset-metric", action="append", default=[], metavar="NAME",
        help="also score as this published script does, such as mirage or llava_med_2023",
    )  # fmt: skip
    made.add_argument(
        "--copy-reference",
        action="store_true",
        help="answer again with another question's image: what stays was copied",
    )


def add_questions(made: argparse.ArgumentParser) -> None:
    """The flags of every command that asks questions of a file."""
    add_library(made)
    made.add_argument(
        "--questions",
        type=Path,
        action="extend",
        nargs="+",
        required=True,
        metavar="F",
        help="files or folders of rows",
    )
    made.add_argument("--out", type=Path, metavar="RUNDIR", help="run folder (default: runs/TIME-NAME)")
    made.add_argument("--format", metavar="NAME", help="the benchmark's form (default: told from the files)")
    made.add_argument("--images", type=Path, metavar="DIR", help="look for images here first")
    made.add_argument("--language", default="en", metavar="CODE", help="of benchmarks that have several (default: en)")
    made.add_argument(
        "--missing", choices=("skip", "stop"), default="skip",
        help="rows whose image is missing: write them with an error, or stop before the first question (default: skip)",
    )  # fmt: skip
    made.add_argument(
        "--bad-rows", choices=("skip", "stop"), default="skip",
        help="rows that cannot be read: write them with an error, or stop before the first question (default: skip)",
    )  # fmt: skip
    made.add_argument("--limit", type=int, metavar="N", help="only the first N rows of each file or folder")
    add_kinds(made)
    made.add_argument("--no-guard", action="store_true", help="keep the question's own image, study and patient")


def run(args: argparse.Namespace) -> int:
    """Evaluate and write a run folder."""
    from eval.answers import AnswerMeasure, check_answers
    from eval.answers_copying import other_images, redraft_with
    from eval.metrics.presets import preset_of

    presets = tuple(preset_of(name) for name in args.preset_metric)

    def measure(library: Library, asked: Questions, guard: Guard | None) -> Measure:
        from pipelines.assistant import Assistant

        check_answers(asked)
        steps = library.parts.steps()
        assistant = Assistant(library, steps, guard=guard)
        return AnswerMeasure(
            ask=lambda query, kinds: assistant.ask(query, kinds=kinds),
            presets=presets,
            kinds=parse_kinds(args.kinds),
            guarded=guard is not None,
            redraft=redraft_with(steps) if args.copy_reference else None,
            others=other_images(asked.questions) if args.copy_reference else None,
        )

    chosen = {"preset_metrics": list(args.preset_metric), "copy_reference": args.copy_reference}
    return evaluate(args, "answers", measure, chosen)


def evaluate(
    args: argparse.Namespace,
    name: str,
    make: Callable[[Library, Questions, Guard | None], Measure],
    chosen: dict[str, Any],
) -> int:
    """Load the questions, ask them all, and print the document or the report."""
    from eval.answers_run import RunPlan, run_questions
    from eval.runs import default_run_folder, refuse_existing
    from rag.cli.opening import open_library
    from rag.leakage import Guard

    if args.limit is not None and args.limit < 1:
        raise UsageError(f"--limit {args.limit}: one row is the least")
    kinds = parse_kinds(args.kinds)
    folder = args.out or default_run_folder(name, datetime.now().astimezone())
    refuse_existing(folder)
    asked = _load(args)
    with open_library(args) as library:
        guard = None if args.no_guard else Guard()
        config = {
            "evaluation": {"guard": guard is not None, "kinds": list(kinds), "limit": args.limit, **chosen},
            "library": library.manifest.fingerprint,
            "config": without_secrets(library),
        }
        plan = RunPlan(folder, config, library.manifest.fingerprint, progress_sink(args))
        document = run_questions(make(library, asked, guard), asked, plan)
    if args.json:
        emit_json(document)
    else:
        print((folder / "report.md").read_text(encoding="utf-8"))
    note(args, f"run folder: {folder}")
    return 1 if document["errors"] else 0


def without_secrets(library: Library) -> dict[str, Any]:
    """The settings a library is opened with, as they may be written down."""
    settings = library.settings.model_dump(mode="json")
    if settings["store"]["api_key"]:
        settings["store"]["api_key"] = "(set)"
    return settings


def _load(args: argparse.Namespace) -> Questions:
    from eval.answers_questions import QuestionOptions, load_questions
    from eval.items import LoadOptions

    load = LoadOptions(
        stop_on_bad_rows=args.bad_rows == "stop",
        stop_on_missing_images=args.missing == "stop",
        images=args.images,
        language=args.language,
    )
    asked = load_questions(args.questions, QuestionOptions(args.format, args.limit, load))
    for what, names in (("rows cannot be read", asked.unreadable), ("images are missing", asked.missing)):
        if names:
            shown = "".join(f"\n  {name}" for name in names[:_NAMED])
            more = f"\n  and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            note(args, f"{len(names)} {what}:{shown}{more}")
    for warning in asked.warnings:
        note(args, warning)
    return asked
