"""`vesalius ask`: a question in, a cited answer out, or an abstention with its reason."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.cli.common import (
    Subcommands,
    add_domain,
    add_filters,
    add_kinds,
    add_library,
    check_images,
    command,
    emit_json,
    note,
    parse_domain,
    parse_filters,
    parse_kinds,
    place,
    write_batch,
)
from rag.errors import QueryError, UsageError

if TYPE_CHECKING:
    from pipelines.assistant import Assistant
    from pipelines.library import Library
    from rag.rows import Row
    from rag.types import Answer, Query


def add(subcommands: Subcommands) -> None:
    """Declare the command."""
    made = command(subcommands, "ask", run, "answer a question from the library, with checked citations")
    add_library(made)
    made.add_argument("text", nargs="?", default="", metavar="TEXT", help="the question")
    made.add_argument("--image", type=Path, action="append", default=[], metavar="F", help="an image of the question")
    made.add_argument("--option", action="append", default=[], metavar="TEXT", help="a choice; repeat for each")
    add_kinds(made)
    made.add_argument("--patient", metavar="ID", help="look this patient's earlier records up")
    made.add_argument("--before-day", type=float, metavar="N", help="only records of earlier days than this one")
    made.add_argument("--region", default="", metavar="TEXT", help="only what the records say of this region")
    add_domain(made)
    add_filters(made)
    made.add_argument("--guard", action="store_true", help="withhold the question's own image, study and patient")
    how = made.add_mutually_exclusive_group()
    how.add_argument("--single-pass", action="store_true", help="retrieve once, whatever the settings say")
    how.add_argument("--strategy", metavar="NAME", help="single, agent, i-medrag, patho-agentic or ircot")
    made.add_argument("--questions", type=Path, metavar="IN.jsonl", help="many questions, one JSON object per line")
    made.add_argument("--out", type=Path, metavar="OUT.jsonl", help="where the answers of --questions go")
    made.add_argument("--html", type=Path, metavar="FILE", help="also write one page with the cited pages in it")
    made.add_argument("--trace", type=Path, metavar="F.jsonl", help="write what was found, kept, dropped and checked")
    made.add_argument("--trace-content", action="store_true", help="let the trace hold the words of the searches, too")


def run(args: argparse.Namespace) -> int:
    """Answer once, or for every row of a file."""
    from pipelines.assistant import Assistant
    from rag.cli.opening import open_library
    from rag.leakage import Guard

    if (args.before_day is not None or args.region) and not (args.patient or args.questions):
        raise UsageError("--before-day and --region choose among a patient's records; name one with --patient")
    if args.questions and args.out is None:
        raise UsageError("--questions needs --out FILE for its answers")
    parse_kinds(args.kinds)
    query = None if args.questions else _query(args)
    if args.single_pass or args.strategy:
        args.set.append(f"agent.strategy={args.strategy or 'single'}")
    if args.trace_content:
        args.set.append("agent.trace_content=true")
    with open_library(args) as library:
        assistant = Assistant(library, guard=Guard() if args.guard else None)
        return _batch(args, assistant) if query is None else _once(args, library, assistant, query)


def _query(args: argparse.Namespace) -> Query:
    from rag.types import Query

    images = check_images(args.image)
    if not args.text.strip() and not images:
        raise QueryError("the question is empty; ask something, or give an image with --image")
    return Query(
        text=args.text, images=images, options=tuple(args.option), patient=args.patient,
        filters=parse_filters(args.filter), before_day=args.before_day, region=args.region,
        domain=parse_domain(args.domain),
    )  # fmt: skip


def _once(args: argparse.Namespace, library: Library, assistant: Assistant, query: Query) -> int:
    from rag.grounding.render import answer_to_dict

    answer = assistant.ask(query, kinds=parse_kinds(args.kinds))
    if args.html:
        _write_html(args.html, library, query, answer)
        note(args, f"page written to {args.html}")
    if args.trace:
        _write_traces(args.trace, [answer])
    if args.json:
        emit_json(answer_to_dict(answer))
    else:
        _show(answer)
    return 0


def _batch(args: argparse.Namespace, assistant: Assistant) -> int:
    from dataclasses import replace

    from rag.grounding.render import answer_to_dict
    from rag.rows import kinds_of_row, query_from_row, read_rows, row_id

    filters, domain = parse_filters(args.filter), parse_domain(args.domain)
    answers: list[Answer] = []

    def work(row: Row) -> dict[str, Any]:
        query = query_from_row(row, args.questions.parent)
        query = replace(
            query,
            filters=filters,
            domain=query.domain or domain,
            patient=query.patient or args.patient,
            before_day=args.before_day if query.before_day is None else query.before_day,
            region=query.region or args.region,
        )
        answer = assistant.ask(query, kinds=parse_kinds(kinds_of_row(row) or args.kinds))
        if args.trace:
            answers.append(answer)
        return answer_to_dict(answer)

    started = time.perf_counter()
    failures = write_batch(list(read_rows(args.questions)), work, row_id, args.out)
    seconds = time.perf_counter() - started
    if args.trace:
        _write_traces(args.trace, answers)
    note(args, f"{failures.total} questions in {seconds:.1f} s, {failures.failed} failed; answers in {args.out}")
    if args.json:
        emit_json({"out": str(args.out), "n": failures.total, "failed": failures.failed, "seconds": seconds})
    return failures.exit_code


def _write_html(path: Path, library: Library, query: Query, answer: Answer) -> None:
    from pipelines.answer_page import render_answer_page

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_answer_page(library.readable(query), answer, library.page_image), encoding="utf-8")


def _write_traces(path: Path, answers: list[Answer]) -> None:
    """One event per line. Traces hold ids, ranks and scores, never the text of a question or a passage."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as stream:
        for answer in answers:
            for event in trace_events(answer):
                stream.write(json.dumps({"id": answer.id, **event}, ensure_ascii=False) + "\n")


_GATHERING = frozenset({"route", "graph", "guard", "records", "select"})
"""Steps that come before evidence is kept."""


def _gathers(event: Mapping[str, Any]) -> bool:
    return event["step"] in _GATHERING or str(event["step"]).startswith("agent.")


def trace_events(answer: Answer) -> list[dict[str, Any]]:
    """What happened on the way to an answer, in order."""
    before = [dict(event) for event in answer.trace if _gathers(event)]
    after = [dict(event) for event in answer.trace if not _gathers(event)]
    kept = [{"step": "keep", "passage_id": hit.passage.id, "score": hit.score} for hit in answer.evidence.hits]
    dropped = [
        {"step": "drop", "passage_id": item.hit.passage.id, "reason": item.reason} for item in answer.evidence.dropped
    ]
    end = {
        "step": "stop",
        "stop_reason": answer.stop_reason,
        "abstained": answer.abstained,
        "confidence": answer.confidence,
        "seconds": dict(answer.seconds),
    }
    return [*before, *kept, *dropped, *after, end]


_WHY = {
    "down": "no server answers at vlm.url",
    "timeout": "not in time",
    "busy": "its server is busy",
    "refused": "its server refused the call",
    "broken": "its server broke off",
    "open": "its server failed several times and is left alone for a while",
    "too_long": "the prompt does not fit",
    "unusable": "what it said could not be used",
}
"""Why a draft was degraded, by the names that `rag.generators.vlm` counts."""


def without_model(answer: Answer) -> str:
    """A line that says that a model should have worded the answer and did not, and why; empty when none should."""
    if not answer.usage.get("degraded"):
        return ""
    why = "; ".join(text for kind, text in _WHY.items() if answer.usage.get(f"degraded_{kind}")) or "reason not known"
    instead = "" if answer.abstained else "; these are quotes from the sources instead"
    return f"The model did not answer ({why}){instead}."


def _show(answer: Answer) -> None:
    if answer.choice:
        print(f"Choice: {answer.choice}")
    print(answer.text)
    for citation in answer.citations:
        passage = citation.passage
        where = place(passage.document, passage.page, passage.record)
        print(f"  [{citation.n}] {passage.kind}: {where}")
        for line in answer.evidence.notes.get(passage.id, "").splitlines():
            print(f"      {line}")
    if missing := without_model(answer):
        print(missing)
    routed = next((event for event in answer.trace if event["step"] == "route"), None)
    if routed and set(routed["domains"]) - {"text"}:
        shares = ", ".join(f"{domain} {share:.2f}" for domain, share in routed["domains"].items() if share >= 0.05)
        print(f"domain: {shares} ({'; '.join(routed['reasons'])})")
    print(f"confidence {answer.confidence:.2f}; {sum(answer.seconds.values()):.2f} s")
