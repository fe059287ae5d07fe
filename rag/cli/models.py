"""`vesalius models`: list, pull and verify the model files."""

from __future__ import annotations

import argparse
import sys

from rag.cli.common import Subcommands, command, emit_json, note, settings


def add(subcommands: Subcommands) -> None:
    """Declare the command."""
    top = subcommands.add_parser("models", help="list, pull and verify the model files")
    group = top.add_subparsers(title="actions", metavar="ACTION", required=True)
    command(group, "list", run_list, "the models, their licences, and whether they are in the cache")
    command(group, "pull", run_pull, "fetch and check the model files that the preset needs")
    command(group, "verify", run_verify, "check every byte of the model files in the cache")


def run_list(args: argparse.Namespace) -> int:
    """List the models."""
    from pipelines.compose import Parts

    parts = Parts(settings(args))
    needed = set(parts.model_names())
    rows = [
        {
            "name": status.name, "role": status.role, "licence": status.licence, "state": status.state,
            "source": status.source, "bytes": status.size, "needed": status.name in needed,
        }
        for status in parts.models.status()
    ]  # fmt: skip
    if args.json:
        emit_json(rows)
        return 0
    for row in rows:
        mark = "*" if row["needed"] else " "
        print(f"{mark} {row['name']}: {row['state']}, {row['licence']}; {row['role']}")
    note(args, "* needed by this preset")
    return 0


def run_pull(args: argparse.Namespace) -> int:
    """Fetch what is missing."""
    from pipelines.compose import Parts

    parts = Parts(settings(args))
    pulled = parts.models.pull(parts.model_names(), lambda name, what: note(args, f"{name}: {what}"))
    if args.json:
        emit_json({"pulled": pulled, "needed": parts.model_names()})
    else:
        print(f"pulled {', '.join(pulled)}" if pulled else "every model is in the cache already")
    return 0


def run_verify(args: argparse.Namespace) -> int:
    """Check hashes."""
    from pipelines.compose import Parts

    parts = Parts(settings(args))
    problems = parts.models.verify(parts.model_names())
    bad = {name: found for name, found in problems.items() if found}
    if args.json:
        emit_json({"ok": not bad, "problems": bad})
    elif bad:
        for name, found in bad.items():
            print(f"{name}: {'; '.join(found)}", file=sys.stderr)
        print("run `vesalius models pull` to fetch what is wrong or missing", file=sys.stderr)
    else:
        print("every model file is as it was published")
    return 3 if bad else 0
