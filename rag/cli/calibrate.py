"""`vesalius calibrate`: fit how many hits are kept, and when an answer abstains, on queries whose answers are known."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.cli.common import Subcommands, add_library, command, emit_json, note
from rag.errors import UsageError

if TYPE_CHECKING:
    from pipelines.library import Library
    from rag.selectors import FitOptions, JudgedList


def add(subcommands: Subcommands) -> None:
    """Declare the command."""
    made = command(subcommands, "calibrate", run_calibrate, "fit how many hits are kept, on queries with known answers")
    add_library(made)
    made.add_argument("--queries", type=Path, action="append", required=True, metavar="F", help="query rows with gold")
    made.add_argument("--target", type=float, default=0.9, help="share of queries whose answer is kept (default: 0.9)")
    made.add_argument("--delta", type=float, default=0.1, help="chance that a certified k misses it (default: 0.1)")
    made.add_argument("--channels", metavar="NAMES", help="scores to fit (default: fused and every channel)")
    made.add_argument("--depth", type=int, default=30, metavar="N", help="hits of a search (default: 30)")
    made.add_argument(
        "--other-records", action="store_true", help="withhold each row's own record; gold_relaxed is right"
    )
    made.add_argument(
        "--abstain",
        choices=("conformal", "precision", "balanced"),
        help="fit when an answer abstains instead, by answering the queries (docs/abstain.md)",
    )
    made.add_argument(
        "--unanswerable",
        type=Path,
        action="append",
        metavar="F",
        help="questions without an answer, for --abstain; 20 or more let confidence be weighed from several signals",
    )
    made.add_argument("--compare", action="store_true", help="measure all selectors on held-out queries; write nothing")
    made.add_argument("--least", type=int, default=1, help="hits kept at least, for --compare (default: 1)")
    made.add_argument("--most", type=int, default=20, help="hits kept at most, for --compare (default: 20)")


def run_calibrate(args: argparse.Namespace) -> int:
    """Search once for every query, then fit and store, or compare; or answer every one, and fit abstention."""
    from eval.datasets import load_queries
    from eval.selectors import judge_lists, other_records
    from pipelines.search import JudgedSearch
    from rag.cli.opening import open_library
    from rag.selectors import FitOptions

    if args.depth < 1:
        raise UsageError(f"--depth is {args.depth}; it must be at least 1")
    FitOptions((), args.target, args.delta)  # a wrong share is refused before the searches
    if args.unanswerable and not args.abstain:
        raise UsageError("--unanswerable is for --abstain conformal, precision or balanced")
    if args.abstain:
        from rag.cli.calibrate_abstention import fit_abstention

        with open_library(args) as library:
            return fit_abstention(args, library)
    items = list(load_queries(args.queries).items)
    with open_library(args) as library:
        searcher = JudgedSearch(library.engine())
        lists = judge_lists(searcher, other_records(items) if args.other_records else items, depth=args.depth)
        note(args, f"searched for {len(lists)} queries")
        options = FitOptions(_channels(args, lists), args.target, args.delta)
        return _compare(args, lists, options) if args.compare else _fit(args, library, lists, options)


def _fit(args: argparse.Namespace, library: Library, lists: list[JudgedList], options: FitOptions) -> int:
    from dataclasses import asdict

    from eval.selectors_report import calibration_table
    from pipelines.calibration import encoders_of, save_calibration
    from rag.selectors import fit_calibration

    manifest = library.manifest
    made = fit_calibration(
        lists, options, fingerprint=manifest.fingerprint, encoders=encoders_of(manifest), depth=args.depth
    )
    if not made.entries:
        raise UsageError(
            f"{len(lists)} labelled queries are too few to fit anything: a kind of passage needs {options.least}"
        )
    path = save_calibration(library.folder, made)
    if args.json:
        emit_json(asdict(made) | {"file": str(path)})
    else:
        print(calibration_table(made))
    note(args, f"written: {path}")
    return 0


def _compare(args: argparse.Namespace, lists: list[JudgedList], options: FitOptions) -> int:
    from eval.selectors import CompareOptions, compare_selectors, coverages
    from eval.selectors_report import comparison_document, comparison_tables

    compared = CompareOptions(options, least=args.least, most=args.most)
    sets, covered = compare_selectors(lists, compared), coverages(lists, options)
    if args.json:
        document: dict[str, Any] = comparison_document(sets, covered)
        emit_json(document)
    else:
        print(comparison_tables(sets, covered))
    return 0


def _channels(args: argparse.Namespace, lists: list[JudgedList]) -> tuple[str, ...]:
    """The scores asked for, or every one that some hit has."""
    seen = sorted({name for row in lists for hit in row.hits for name in hit.channels})
    if args.channels is None:
        return tuple(seen)
    asked = tuple(name.strip() for name in args.channels.split(",") if name.strip())
    unknown = [name for name in asked if name not in {*seen, "score", "rank"}]
    if unknown or not asked:
        raise UsageError(f"--channels {args.channels}: these hits have scores of {', '.join(seen)}, and score and rank")
    return asked
