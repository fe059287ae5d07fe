"""`vesalius trace`: what happened on the way to an answer, as a tree."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from rag.cli.common import Subcommands, command, emit_json
from rag.errors import QueryError

_MOST = 3
"""Passages named in a line; the rest are counted."""


def add(subcommands: Subcommands) -> None:
    """Declare the command."""
    made = subcommands.add_parser("trace", help="show what `vesalius ask --trace` wrote")
    parts = made.add_subparsers(title="commands", metavar="COMMAND", required=True)
    show = command(parts, "show", run, "show a trace as a tree: rounds, searches, grades, and why it stopped")
    show.add_argument("file", type=Path, metavar="F.jsonl", help="what `vesalius ask --trace` wrote")
    show.add_argument("--id", metavar="ID", help="only the answer with this id")


def run(args: argparse.Namespace) -> int:
    """Print one tree per answer of the file."""
    events = read_trace(args.file)
    if args.id is not None:
        events = [event for event in events if str(event.get("id")) == args.id]
        if not events:
            raise QueryError(f"{args.file} has no answer with the id {args.id}")
    if args.json:
        emit_json(events)
        return 0
    for name, own in groupby(events, key=lambda event: str(event.get("id", ""))):
        print("\n".join(tree(name, list(own))))
    return 0


def read_trace(path: Path) -> list[dict[str, Any]]:
    """The events of a trace file. Raises QueryError when it is none."""
    from rag.rows import read_rows

    events = []
    for row in read_rows(path):
        if row.error or "step" not in row.data:
            raise QueryError(f"{path} is no trace: {row.error or f'line {row.line} has no field step'}")
        events.append(dict(row.data))
    return events


def tree(name: str, events: Iterable[Mapping[str, Any]]) -> list[str]:
    """The lines of one answer: rounds of the loop are branches, searches and decisions their leaves."""
    lines = [f"answer {name}" if name else "answer"]
    turn = None
    for event in _counted(events):
        step = str(event["step"])
        if step.startswith("agent.") and event.get("turn") != turn and step not in ("agent.begin", "agent.stop"):
            turn = event.get("turn")
            lines.append("├─ single pass" if turn == 0 else f"├─ round {turn}")
        indent = "│  ├─ " if step in ("agent.search", "agent.grade", "agent.decide") else "├─ "
        lines.append(f"{indent}{_line(step, event)}")
    if len(lines) > 1:
        lines[-1] = lines[-1].replace("├─", "└─", 1)
    return lines


def _counted(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The events with passages that were kept counted in one, and those that were dropped in one per reason."""
    found: list[Mapping[str, Any]] = []
    for kind, own in groupby(events, key=lambda event: (event["step"], event.get("reason"))):
        run = list(own)
        if kind[0] == "keep":
            names = ", ".join(str(event["passage_id"])[:8] for event in run[: 2 * _MOST])
            found.append({"step": "kept", "passages": len(run), "first": names})
        elif kind[0] == "drop":
            found.append({"step": "dropped", "passages": len(run), "because": kind[1]})
        else:
            found += run
    return found


def _line(step: str, event: Mapping[str, Any]) -> str:
    known = {
        "agent.begin": _begin, "agent.search": _search, "agent.grade": _grade, "agent.decide": _decide,
        "agent.stop": _stop,
    }  # fmt: skip
    if step in known:
        return known[step](event)
    fields = {
        name: value for name, value in event.items() if name not in ("step", "id") and value not in (None, {}, [])
    }
    return f"{step}: " + ", ".join(f"{name} {_short(value)}" for name, value in fields.items())


def _begin(event: Mapping[str, Any]) -> str:
    return (
        f"strategy {event['strategy']}, run {event['run_id']}, {len(event['parts'])} sub-questions: "
        f"{event.get('question') or 'text ' + event['question_sha']}"
    )


def _search(event: Mapping[str, Any]) -> str:
    asked = event["args"]
    what = f'"{asked["query"]}"' if asked.get("query") else f"text {asked['query_sha']}"
    where = f" for {event['part']}" if event["part"] else ""
    found = f"{len(event['results'])} found" if event["outcome"] == "found" else event["outcome"]
    best = ", ".join(str(row[0])[:8] for row in event["results"][:_MOST])
    return (
        f"{event['actor']} {event['action']}{where} in {'+'.join(asked['kinds'])}: {what} -> {found}"
        f"{f' ({best} ...)' if best else ''}, {event['latency']:.2f} s"
    )


def _grade(event: Mapping[str, Any]) -> str:
    grades = sorted(event["grades"].values(), reverse=True)
    return f"grades for {event['part']}: {' '.join(map(str, grades))}"


def _decide(event: Mapping[str, Any]) -> str:
    said = f': "{event["reply"][:120]}"' if event.get("reply") else ""
    cost = f"{event['tokens']} tokens, {event['latency']:.2f} s"
    return f"model asked with {event['prompt']}: {event['branch']}, {cost}{said}"


def _stop(event: Mapping[str, Any]) -> str:
    lacking = ", ".join([*event["open"], *(f"{part} ({slot})" for part, slot in event["missing"])])
    counts = f"{event['searches']} searches, {event['model_calls']} model calls, {event['suppressed']} repeated queries"
    return f"loop stopped: {event['stop_reason']}; {counts}; still open: {lacking or 'nothing'}"


def _short(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
