"""`vesalius eval relevance`: query rows with gold, made of a library's reports without human labels."""

from __future__ import annotations

import argparse
from pathlib import Path

from rag.cli.common import Subcommands, add_library, command, emit_json


def add(group: Subcommands) -> None:
    """Declare the command."""
    made = command(group, "relevance", run, "write queries whose gold are the reports that find the same, by rules")
    add_library(made)
    made.add_argument(
        "--document",
        metavar="NAME",
        help="the report collection (default: all radiological cases)",
    )
    made.add_argument("--out", type=Path, required=True, metavar="F", help="the query rows to write")


def run(args: argparse.Namespace) -> int:
    """Judge and write; prints how many queries and judgements there are."""
    from eval.relevance import judge_reports, write_rows
    from rag.cli.opening import open_library
    from rag.domains.partitions import parse_corpus
    from rag.domains.records import domain_of
    from rag.errors import UsageError

    if args.out.exists():
        raise UsageError(f"{args.out} is there already; name another file")
    with open_library(args) as library:
        cases = list(library.passages("case"))
    if args.document is not None:
        parse_corpus(args.document, sorted({case.document for case in cases}))
        cases = [case for case in cases if case.document == args.document]
    else:
        # The rules read chest reports; words of slides and fundus photographs would be taken for findings of the lungs.
        cases = [case for case in cases if domain_of(case) in (None, "radiograph", "cross-section")]
    found = judge_reports(cases, args.out.parent)
    write_rows(args.out, found.rows)
    counts = {"queries": len(found.rows), "judgements": found.pairs, "cases": found.cases, "silent": found.silent,
              "alone": found.alone}  # fmt: skip
    if args.json:
        emit_json({"out": str(args.out), **counts})
    else:
        print(
            f"{counts['queries']} queries with {counts['judgements']} right reports in {args.out}; of {found.cases} "
            f"cases {found.silent} state no finding, {found.alone} find what no other patient's does"
        )
    return 0
