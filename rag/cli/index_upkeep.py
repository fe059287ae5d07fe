"""`vesalius index status | verify | remove | export | import | rebuild`: a library kept in order."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.cli.common import Subcommands, add_library, command, emit_json, note, progress_sink

if TYPE_CHECKING:
    from pipelines.library import Library
    from pipelines.verification import Findings, Repair

_SHOWN = 20


def add(group: Subcommands) -> argparse.ArgumentParser:
    """Declare the actions; returns the one that may name sources."""
    made = {
        name: command(group, name, run, summary)
        for name, run, summary in (
            ("status", run_status, "counts, documents, fingerprint, bytes on disk and state"),
            ("verify", run_verify, "check passages, images and vectors; exit 1 when something is missing or altered"),
            ("remove", run_remove, "remove documents by name"),
            ("export", run_export, "write a library as portable, checksummed files"),
            ("import", run_import, "make a library from exported files, in any store"),
            ("rebuild", run_rebuild, "build a library anew beside itself, then switch; searches go on meanwhile"),
        )
    }
    made["import"].add_argument("folder", type=Path, metavar="FOLDER", help="what `index export` wrote")
    for action in made.values():
        add_library(action)
    made["verify"].add_argument("--deep", action="store_true", help="read the vectors of every point, not of a sample")
    made["verify"].add_argument(
        "--repair", action="store_true", help="delete what no document gave; let the next build make what is missing"
    )
    made["remove"].add_argument("documents", nargs="+", metavar="DOCUMENT", help="name of a document, as status shows")
    made["export"].add_argument("--out", type=Path, metavar="FOLDER", help="where to (default: DIR.export)")
    made["rebuild"].add_argument("--drop-old", action="store_true", help="do not keep the old library as DIR.old")
    return made["rebuild"]


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
    print("on disk: " + ", ".join(f"{part} {size / 1e6:.1f} MB" for part, size in status["bytes"].items()))
    if status["last_build"]:
        build = status["last_build"]
        done = ", ".join(f"{count} units of {source}" for source, count in build["units"].items())
        print(f"last build: {done} in {build['seconds']:.1f} s, ended {build['ended']}")
    if status["domains"]:
        print("domains: " + ", ".join(f"{name} ({count} images)" for name, count in status["domains"].items()))
    show_gate(status["gate"])
    for line in status["notes"]:
        note(args, line)
    return 0


def show_gate(rows: list[dict[str, Any]] | None) -> None:
    """Print what the library's own channels find, beside chance."""
    from pipelines.retriever_gate import gate_words

    verdicts = {True: "above chance", False: "NOT above chance", None: "too little to tell"}
    for row in rows or []:
        print(f"retriever gate, {row['channel']}: {row['check']}: {gate_words(row)}: {verdicts[row['above_chance']]}")


def run_verify(args: argparse.Namespace) -> int:
    """Check a library; repair it when asked to."""
    repaired: Repair | None = None
    with _open(args) as library:
        if args.repair:
            found, repaired = library.repair(deep=args.deep)
        else:
            found = library.inspect(deep=args.deep)
    if args.json:
        emit_json(found.as_json() | ({"repair": asdict(repaired)} if repaired else {}))
    else:
        _show_findings(found)
        if repaired:
            _show_repair(repaired)
    left = found.incomplete if args.repair else not found.ok
    return 1 if left else 0


def _show_findings(found: Findings) -> None:
    checked = f"{found.vectors_checked} points' vectors read"
    print(f"every passage is there and as it was written; {checked}" if found.ok else f"damage was found; {checked}:")
    for name in ("missing", "orphaned", "altered", "images", "vectors"):
        problems = getattr(found, name)
        for item in problems[:_SHOWN]:
            detail = f" ({item.detail})" if item.detail else ""
            print(f"  {name}: {item.kind} {item.id}{detail}")
        if len(problems) > _SHOWN:
            print(f"  and {len(problems) - _SHOWN} more {name}")
    for path in found.files[:_SHOWN]:
        print(f"  file of no passage: {path}")
    if len(found.files) > _SHOWN:
        print(f"  and {len(found.files) - _SHOWN} more files of no passage")


def _show_repair(repaired: Repair) -> None:
    print(f"deleted {repaired.deleted} orphaned passages and {repaired.files} files")
    for row in repaired.remake:
        where = f"--{row['source']} {row['path']}"
        print(f"  the next build makes again: {row['document']} ({row['units']} units, {where})")


def run_remove(args: argparse.Namespace) -> int:
    """Remove documents."""
    with _open(args) as library:
        removed = library.remove(args.documents)
    if args.json:
        emit_json({"removed": removed})
    else:
        print("removed " + ", ".join(f"{count} {kind}s" for kind, count in removed.items()))
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write a library as files."""
    from pipelines.exporting import export_library

    whole = args.library.absolute()
    out = args.out or whole.with_name(f"{whole.name}.export")
    with _open(args) as library:
        report = export_library(library, out)
    if args.json:
        emit_json(asdict(report) | {"folder": str(report.folder)})
    else:
        counts = ", ".join(f"{count} {kind}s" for kind, count in report.counts.items())
        print(f"{report.folder} holds {counts} in {report.files} files ({report.bytes / 1e6:.1f} MB)")
        if report.images_missing:
            note(args, f"{report.images_missing} image files were not there and are not part of it")
    return 0


def run_import(args: argparse.Namespace) -> int:
    """Make a library from an export."""
    from pipelines.config import load_settings
    from pipelines.importing import import_library, read_export

    exported = read_export(args.folder)
    own = {name: value for name, value in exported.manifest.settings.items() if name != "store"}
    chosen = load_settings(args.preset or exported.manifest.preset, args.config, args.set, library=own).settings
    report = import_library(exported, args.library, chosen)
    if args.json:
        emit_json({"library": str(args.library), **asdict(report)})
    else:
        counts = ", ".join(f"{count} {kind}s" for kind, count in report.counts.items())
        print(f"{args.library} holds {counts}, each read back and compared")
    return 0


def run_rebuild(args: argparse.Namespace) -> int:
    """Rebuild a library beside itself and switch."""
    from indexers.manifest import read_manifest
    from pipelines.config import load_settings
    from pipelines.ingest import BuildOptions, Sources
    from pipelines.rebuild import RebuildOptions, rebuild_library

    manifest = read_manifest(args.library)
    # A preset named now replaces the channels the library was built with; where its vectors live stays.
    own = {"store": manifest.settings.get("store", {})} if args.preset else manifest.settings
    chosen = load_settings(args.preset or manifest.preset, args.config, args.set, library=own).settings
    sources = Sources(tuple(args.pages), tuple(args.cases), tuple(args.facts))
    options = RebuildOptions(BuildOptions(sink=progress_sink(args)), drop_old=args.drop_old)
    report = rebuild_library(args.library, sources, chosen, options)
    if args.json:
        emit_json(report.as_json())
        return 1 if report.skipped else 0
    counts = ", ".join(f"{count} {kind}s" for kind, count in report.counts.items())
    print(f"{args.library} now holds {counts}, fingerprint {report.fingerprint}")
    if report.old is not None:
        note(args, f"the library before is kept in {report.old}; delete it when you are content")
    for line in report.notes:
        note(args, line)
    for item in report.skipped[:_SHOWN]:
        print(f"  skipped {item.path} {item.locator} ({item.stage}): {item.reason}")
    return 1 if report.skipped else 0


def _open(args: argparse.Namespace) -> Library:
    from rag.cli.opening import open_library

    return open_library(args)
