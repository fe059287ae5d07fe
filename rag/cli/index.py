"""`vesalius index`: plan, build, add to, inspect and prune a library."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.cli.common import Subcommands, add_library, command, emit_json, note, progress_sink, settings
from rag.errors import UsageError

if TYPE_CHECKING:
    from pipelines.ingest import BuildReport, Sources
    from pipelines.library import Library

_SHOWN = 20


def add(subcommands: Subcommands) -> None:
    """Declare the command."""
    top = subcommands.add_parser("index", help="plan, build, inspect and prune a library")
    group = top.add_subparsers(title="actions", metavar="ACTION", required=True)
    build = command(group, "build", run_build, "index books, cases and facts; goes on where an earlier build stopped")
    grow = command(group, "add", run_add, "index more sources into an existing library")
    plan = command(group, "plan", run_plan, "say what a build would do, without doing it")
    for made in (build, grow, plan):
        add_library(made)
        for kind, what in (
            ("pages", "a PDF, a folder of PDFs, or page images"),
            ("cases", "records.jsonl or .csv with images and reports, or a folder of them"),
            ("facts", "triples as TSV(.gz), OBO(.gz) or #-separated CSV, or a folder of them"),
        ):
            made.add_argument(f"--{kind}", type=Path, action="append", default=[], metavar="PATH", help=what)
    build.add_argument("--engine", choices=["local"], default="local", help="where encoding runs")
    build.add_argument("--limit", type=int, metavar="N", help="index at most N units of each file (to try things out)")
    build.add_argument("--fresh", action="store_true", help="delete what the library holds and start anew")
    for name, run, summary in (
        ("status", run_status, "counts, documents, fingerprint and state"),
        ("verify", run_verify, "compare the store with the journal; exit 1 when something is missing or altered"),
        ("remove", run_remove, "remove documents by name"),
    ):
        made = command(group, name, run, summary)
        add_library(made)
        if name == "remove":
            made.add_argument("documents", nargs="+", metavar="DOCUMENT", help="name of a document, as status shows it")


def run_build(args: argparse.Namespace) -> int:
    """Build or go on building."""
    from pipelines.ingest import BuildOptions
    from pipelines.library import build_library
    from rag.cli.opening import library_settings

    if args.limit is not None and args.limit < 1:
        raise UsageError(f"--limit {args.limit}: it must be 1 or more")
    options = BuildOptions(args.fresh, args.limit, progress_sink(args))
    chosen = settings(args) if args.fresh else library_settings(args)
    return _show_build(args, build_library(args.library, _sources(args), chosen, options))


def run_add(args: argparse.Namespace) -> int:
    """Build into a library that must exist, with the settings it was built with."""
    from indexers.manifest import read_manifest
    from pipelines.ingest import BuildOptions
    from pipelines.library import build_library
    from rag.cli.opening import library_settings

    read_manifest(args.library)
    options = BuildOptions(sink=progress_sink(args))
    return _show_build(args, build_library(args.library, _sources(args), library_settings(args), options))


def run_plan(args: argparse.Namespace) -> int:
    """Print what a build would do."""
    from pipelines.library import plan_library
    from rag.cli.opening import library_settings

    plan = plan_library(args.library, _sources(args), library_settings(args))
    skipped = [asdict(item) for item in plan["skipped"]]
    if args.json:
        emit_json({**plan, "skipped": skipped})
        return 0
    for row in plan["documents"]:
        print(f"{row['source']:6} {row['document']}: {row['units']} units, {row['done']} done already")
    print(f"to do: {plan['units_to_do']} units into {args.library}")
    _show_skipped(skipped)
    return 0


def run_status(args: argparse.Namespace) -> int:
    """Print what a library holds."""
    with _open(args) as library:
        status = library.status()
    if args.json:
        emit_json(status)
        return 0
    print(f"{args.library}: {status['state']}, preset {status['preset']}, fingerprint {status['fingerprint']}")
    print(", ".join(f"{count} {kind}s" for kind, count in status["counts"].items()))
    for row in status["documents"]:
        units = f"{row['units_done']}/{row['units']} units"
        print(f"  {row['source']:6} {row['name']}: {row['passages']} passages, {units}")
    return 0


def run_verify(args: argparse.Namespace) -> int:
    """Compare store and journal."""
    with _open(args) as library:
        found = library.verify()
    if args.json:
        emit_json(found)
    else:
        print("every passage is there and as it was written" if found["ok"] else "the library is damaged:")
        for problem in ("missing", "orphaned", "altered"):
            for item in found[problem][:_SHOWN]:
                print(f"  {problem}: {item['kind']} {item['id']}")
            if len(found[problem]) > _SHOWN:
                print(f"  and {len(found[problem]) - _SHOWN} more {problem}")
    return 0 if found["ok"] else 1


def run_remove(args: argparse.Namespace) -> int:
    """Remove documents."""
    with _open(args) as library:
        removed = library.remove(args.documents)
    if args.json:
        emit_json({"removed": removed})
    else:
        print("removed " + ", ".join(f"{count} {kind}s" for kind, count in removed.items()))
    return 0


def _sources(args: argparse.Namespace) -> Sources:
    from pipelines.ingest import Sources

    return Sources(tuple(args.pages), tuple(args.cases), tuple(args.facts))


def _open(args: argparse.Namespace) -> Library:
    from rag.cli.opening import open_library

    return open_library(args)


def _show_build(args: argparse.Namespace, report: BuildReport) -> int:
    from indexers.manifest import read_manifest

    skipped = [asdict(item) for item in report.skipped]
    if args.json:
        emit_json(
            {
                "library": str(args.library),
                "counts": report.counts,
                "skipped": skipped,
                "resumed": report.resumed,
                "seconds": round(report.seconds["wall"], 3),
                "stages": {name: round(value, 3) for name, value in report.seconds.items()},
                "fingerprint": read_manifest(args.library).fingerprint,
            }
        )
    else:
        counts = ", ".join(f"{count} {kind}s" for kind, count in report.counts.items())
        print(f"{args.library} holds {counts} ({report.seconds['wall']:.1f} s)")
        _show_skipped(skipped)
        note(args, f'ask it: vesalius ask "..." --library {args.library}')
    return 1 if skipped else 0


def _show_skipped(skipped: list[dict[str, Any]]) -> None:
    for item in skipped[:_SHOWN]:
        where = f" {item['locator']}" if item["locator"] else ""
        print(f"  skipped {item['path']}{where} ({item['stage']}): {item['reason']}")
    if len(skipped) > _SHOWN:
        print(f"  and {len(skipped) - _SHOWN} more skipped items (--json lists all)")
