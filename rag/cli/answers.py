"""What the commands that write an answer share: flags, and the answer as JSON, in words, as a page and as a trace."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.cli.ask import without_model
from rag.cli.common import emit_json, note, place
from rag.errors import QueryError

if TYPE_CHECKING:
    from pipelines.expert import ExpertOutput
    from pipelines.library import Library
    from rag.types import Answer, Query

_LONGEST_FILE = 1 << 20


def add_output(made: argparse.ArgumentParser) -> None:
    """Declare --guard, --expert, --html and --trace."""
    made.add_argument("--guard", action="store_true", help="withhold the study's own image, study and patient")
    made.add_argument(
        "--expert", type=Path, action="append", default=[], metavar="F.json",
        help="another model's output on this study: an object from finding to probability",
    )  # fmt: skip
    made.add_argument("--html", type=Path, metavar="FILE", help="also write one page with the cited sources in it")
    made.add_argument("--trace", type=Path, metavar="F.jsonl", help="write what was found, kept, dropped and checked")


def read_text(path: Path, what: str) -> str:
    """A text file of the user's. Raises QueryError."""
    try:
        if path.stat().st_size > _LONGEST_FILE:
            raise QueryError(f"the {what} {path} is larger than {_LONGEST_FILE >> 20} MiB, which is no {what}")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise QueryError(f"the {what} {path} cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise QueryError(f"the {what} {path} is not UTF-8 at byte {error.start}") from error


def read_experts(paths: list[Path]) -> tuple[ExpertOutput, ...]:
    """The outputs of other models. Raises QueryError."""
    from pipelines.expert import read_expert

    return tuple(read_expert(path) for path in paths)


def deliver(args: argparse.Namespace, library: Library, query: Query, answer: Answer) -> int:
    """Write page and trace where asked for, and print the answer; returns the exit code."""
    from rag.grounding.render import answer_to_dict

    if args.html:
        from pipelines.answer_page import render_answer_page

        args.html.parent.mkdir(parents=True, exist_ok=True)
        args.html.write_text(render_answer_page(library.readable(query), answer, library.page_image), encoding="utf-8")
        note(args, f"page written to {args.html}")
    if args.trace:
        _write_trace(args.trace, answer)
    if args.json:
        sections = next((dict(event["of"]) for event in answer.trace if event["step"] == "sections"), {})
        emit_json({**answer_to_dict(answer), "sections": sections})
    else:
        _show(answer)
    return 0


def _write_trace(path: Path, answer: Answer) -> None:
    from rag.cli.ask import trace_events

    path.parent.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = trace_events(answer)
    lines = (json.dumps({"id": answer.id, **event}, ensure_ascii=False) for event in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _show(answer: Answer) -> None:
    print(answer.text)
    for citation in answer.citations:
        passage = citation.passage
        print(f"  [{citation.n}] {passage.kind}: {place(passage.document, passage.page, passage.record)}")
        for line in answer.evidence.notes.get(passage.id, "").splitlines():
            print(f"      {line}")
    found = next((event for event in answer.trace if event["step"] == "finding"), None)
    if found is not None:
        print(f"similar cases, by weight: {found['stated']:.2f} state the finding, {found['denied']:.2f} deny it")
    if said := without_model(answer):
        print(said)
    print(f"confidence {answer.confidence:.2f}; {sum(answer.seconds.values()):.2f} s")
    from rag.grounding.ground import DISCLAIMER

    print(DISCLAIMER)
