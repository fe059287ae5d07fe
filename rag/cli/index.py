"""`vesalius index`: plan, build and add to a library; `index_upkeep` keeps it in order, `index_card` measures it."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.cli import index_card, index_upkeep
from rag.cli.common import Subcommands, add_library, command, emit_json, note, progress_sink, settings
from rag.errors import UsageError

if TYPE_CHECKING:
    from pipelines.ingest import BuildReport, Sources
    from pipelines.plan import BuildPlan

_SHOWN = 20


def add(subcommands: Subcommands) -> None:
    """Declare the command."""
    top = subcommands.add_parser("index", help="plan, build, inspect, move and rebuild a library")
    group = top.add_subparsers(title="actions", metavar="ACTION", required=True)
    build = command(group, "build", run_build, "index books, cases and facts; goes on where an earlier build stopped")
    grow = command(group, "add", run_add, "index more sources into an existing library")
    plan = command(group, "plan", run_plan, "say what a build would do, need and take, without doing it")
    for made in (build, grow, plan):
        add_library(made)
        add_sources(made)
    build.add_argument(
        "--engine", choices=["local", "ray"], default="local", help="where encoding runs (ray: settings ray.*)"
    )
    build.add_argument("--limit", type=int, metavar="N", help="index at most N units of each file (to try things out)")
    build.add_argument("--fresh", action="store_true", help="delete what the library holds and start anew")
    plan.add_argument("--no-measure", action="store_true", help="load no model: earlier builds and assumptions instead")
    add_sources(index_upkeep.add(group))
    index_card.add(group)


def add_sources(made: argparse.ArgumentParser) -> None:
    """The flags that name source files."""
    for kind, what in (
        ("pages", "a PDF, a folder of PDFs, or page images"),
        ("cases", "records.jsonl or .csv with images and reports, or a folder of them"),
        ("facts", "triples as TSV(.gz), OBO(.gz) or #-separated CSV, or a folder of them"),
    ):
        made.add_argument(f"--{kind}", type=Path, action="append", default=[], metavar="PATH", help=what)


def run_build(args: argparse.Namespace) -> int:
    """Build or go on building."""
    from pipelines.ingest import BuildOptions
    from pipelines.library import build_library
    from rag.cli.opening import library_settings

    if args.limit is not None and args.limit < 1:
        raise UsageError(f"--limit {args.limit}: it must be 1 or more")
    options = BuildOptions(args.fresh, args.limit, progress_sink(args), ray=args.engine == "ray")
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
    from pipelines.planning import plan_library
    from rag.cli.opening import library_settings

    plan = plan_library(args.library, _sources(args), library_settings(args), measure=not args.no_measure)
    if args.json:
        emit_json(plan.as_json())
        return 0
    width = max([len(row.document) for row in plan.documents] + [8])
    print(f"{'source':6}  {'document':{width}}  {'units':>7}  {'done':>7}  state")
    for row in plan.documents:
        why = f": {row.why}" if row.why else ""
        print(f"{row.source:6}  {row.document:{width}}  {row.units:7}  {row.done:7}  {row.state}{why}")
    if plan.absent:
        print(f"in the library, not among these sources, and kept: {', '.join(plan.absent)}")
    _show_rebuild(plan)
    print(f"to do: {plan.units_to_do()} units into {args.library}")
    _show_needs(plan)
    _show_skipped([asdict(item) for item in plan.skipped])
    return 0


def _show_rebuild(plan: BuildPlan) -> None:
    if plan.rebuild is None:
        return
    print("everything has to be made again, because the library was built otherwise:")
    for difference in (*plan.rebuild.settings, *plan.rebuild.reasons):
        print(f"  {difference.field}: {difference.stored} when built, {difference.wanted} now")
    print(f"  {plan.rebuild.remedy}")


def _show_needs(plan: BuildPlan) -> None:
    parts = {name: size for name, size in plan.bytes_by_part.items() if size}
    if parts:
        shown = ", ".join(f"{name} {readable(size)}" for name, size in parts.items())
        print(f"bytes: {readable(sum(parts.values()))} ({shown})")
    for source, rate in plan.rates.items():
        print(f"time: {rate.seconds:.2f} s per unit of {source} ({rate.origin})")
    if plan.rates:
        print(f"in all: about {plan.seconds:.0f} s")
    if plan.devices:
        print(f"devices: {plan.device_hours:.2f} hours of work for {len(plan.devices)} ({', '.join(plan.devices)})")
    print(f"disk: {readable(plan.disk.free)} free in {plan.disk.where}, {readable(plan.disk.need)} wanted")
    for warning in plan.warnings:
        print(f"warning: {warning}")


def readable(size: float) -> str:
    """Bytes in words: decimal units, as disks are sold."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _sources(args: argparse.Namespace) -> Sources:
    from pipelines.ingest import Sources

    return Sources(tuple(args.pages), tuple(args.cases), tuple(args.facts))


def _show_build(args: argparse.Namespace, report: BuildReport) -> int:
    from indexers.manifest import read_manifest
    from pipelines.retriever_gate import read_gate

    gate = (read_gate(args.library) or {"figures": []})["figures"]
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
                "devices": dict(report.devices),
                "fingerprint": read_manifest(args.library).fingerprint,
                "gate": gate,
            }
        )
    else:
        counts = ", ".join(f"{count} {kind}s" for kind, count in report.counts.items())
        print(f"{args.library} holds {counts} ({report.seconds['wall']:.1f} s)")
        if report.devices:
            idle, padding = report.devices["device_idle"], report.devices["padding"]
            print(f"devices idle {idle:.1%} of the time, padding {padding:.1%} of their work")
        index_upkeep.show_gate(gate)
        _show_skipped(skipped)
        note(args, f'ask it: vesalius ask "..." --library {args.library}')
    return 1 if skipped else 0


def _show_skipped(skipped: list[dict[str, Any]]) -> None:
    for item in skipped[:_SHOWN]:
        where = f" {item['locator']}" if item["locator"] else ""
        print(f"  skipped {item['path']}{where} ({item['stage']}): {item['reason']}")
    if len(skipped) > _SHOWN:
        print(f"  and {len(skipped) - _SHOWN} more skipped items (--json lists all)")
