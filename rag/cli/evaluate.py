"""`vesalius eval`: measure a library on queries with known answers."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rag.cli import (
    evaluate_answers,
    evaluate_citations,
    evaluate_convert,
    evaluate_questions,
    evaluate_relevance,
    evaluate_reports,
    evaluate_routing,
)
from rag.cli.common import Subcommands, add_library, command, emit_json, note, parse_kinds

if TYPE_CHECKING:
    from pipelines.library import Library
    from rag.types import Kind


def add(subcommands: Subcommands) -> None:
    """Declare the command."""
    top = subcommands.add_parser("eval", help="measure a library on queries with known answers")
    group = top.add_subparsers(title="what to measure", metavar="WHAT", required=True)
    made = command(group, "retrieval", run_retrieval, "nDCG, recall and MRR with intervals, fused and per channel")
    add_library(made)
    made.add_argument("--queries", type=Path, action="append", required=True, metavar="F", help="query rows with gold")
    made.add_argument("--out", type=Path, metavar="RUNDIR", help="run folder (default: runs/TIME-retrieval)")
    made.add_argument("--in", dest="kinds", metavar="KINDS", help="what to search (default: where the gold lies)")
    made.add_argument("--baseline", choices=["bm25"], help="also run plain BM25 over the same passages")
    made.add_argument("--no-rerank", action="store_true", help="leave out the cross-encoder")
    made.add_argument("--with-leaks", action="store_true", help="keep the query's own patient, study and image")
    evaluate_answers.add(group)
    evaluate_citations.add(group)
    evaluate_reports.add(group)
    evaluate_convert.add(group)
    evaluate_routing.add(group)
    evaluate_relevance.add(group)
    evaluate_questions.add(group)


def run_retrieval(args: argparse.Namespace) -> int:
    """Evaluate and write a run folder."""
    from eval.baselines import Bm25Baseline
    from eval.datasets import load_queries
    from eval.retrieval import RetrievalOptions
    from eval.retrieval_run import RetrievalRun
    from eval.retrieval_run import run_retrieval as measure
    from eval.runs import default_run_folder, refuse_existing
    from pipelines.search import JudgedSearch
    from rag.cli.opening import open_library

    folder = args.out or default_run_folder("retrieval", datetime.now().astimezone())
    refuse_existing(folder)
    dataset = load_queries(args.queries)
    with open_library(args) as library:
        kinds = parse_kinds(args.kinds) if args.kinds else ()
        options = RetrievalOptions(channels=_channels(library), kinds=kinds, exclude_leaks=not args.with_leaks)
        baseline = Bm25Baseline(library.passages("page")) if args.baseline else None
        run = RetrievalRun(
            folder, options, baseline, evaluate_answers.without_secrets(library), library.manifest.fingerprint
        )
        report, document = measure(JudgedSearch(library.engine(rerank=False if args.no_rerank else None)), dataset, run)
    if args.json:
        emit_json(document)
    else:
        print((folder / "report.md").read_text(encoding="utf-8"))
    note(args, f"run folder: {folder}")
    return 1 if report.failed else 0


def _channels(library: Library) -> dict[Kind, tuple[str, ...]]:
    found: dict[Kind, tuple[str, ...]] = {}
    for channel in library.parts.channels():
        found[channel.kind] = (*found.get(channel.kind, ()), channel.name)
    return found
