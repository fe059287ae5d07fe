"""`vesalius eval questions`: multiple-choice questions made of a library's own cases."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from rag.cli.common import Subcommands, add_library, command, emit_json


def add(group: Subcommands) -> None:
    """Declare the command."""
    made = command(group, "questions", run, "write choice questions on the library's own cases: whose text is whose")
    add_library(made)
    made.add_argument("--document", action="append", metavar="NAME", help="the case collection (default: all)")
    made.add_argument("--count", type=int, default=60, metavar="N", help="questions at the most (default: 60)")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="which questions and orders (default: 0)")
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder: questions.jsonl, images/")


def run(args: argparse.Namespace) -> int:
    """Write the questions and copies of their images."""
    from eval.caption_questions import CaptionOptions, caption_questions
    from rag.cli.opening import open_library
    from rag.domains.partitions import parse_corpus
    from rag.errors import UsageError

    if args.out.exists():
        raise UsageError(f"{args.out} is there already; name a new folder")
    with open_library(args) as library:
        cases = list(library.passages("case"))
    names = {parse_corpus(name, sorted({case.document for case in cases})) for name in args.document or ()}
    chosen = [case for case in cases if not names or case.document in names]
    found = caption_questions(chosen, CaptionOptions(args.count, seed=args.seed))
    images = args.out / "images"
    images.mkdir(parents=True)
    lines = []
    for number, question in enumerate(found, 1):
        name = f"{number:04d}{question.image.suffix.lower()}"
        shutil.copyfile(question.image, images / name)
        lines.append(json.dumps({**question.row, "image": f"images/{name}"}, ensure_ascii=False) + "\n")
    (args.out / "questions.jsonl").write_text("".join(lines), encoding="utf-8")
    if args.json:
        emit_json({"out": str(args.out), "questions": len(found)})
    else:
        print(f"{len(found)} questions in {args.out / 'questions.jsonl'}")
    return 0
