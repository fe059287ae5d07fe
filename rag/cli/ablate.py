"""`vesalius ablate`: plan, run, watch, report, compare and replay experiments."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.cli.common import Subcommands, command, emit_json, note, progress_sink
from rag.errors import UsageError

if TYPE_CHECKING:
    from eval.ablation.experiment import Experiment
    from eval.ablation.plan import Plan
    from eval.ablation.run import RunOptions


def add(subcommands: Subcommands) -> None:
    """Declare the command."""
    top = subcommands.add_parser("ablate", help="experiments: which part of the system does what")
    group = top.add_subparsers(title="what to do", metavar="WHAT", required=True)
    plan = command(group, "plan", run_plan, "cells, distinct computations, what is cached, estimated time and cost")
    status = command(group, "status", run_status, "how much of an experiment has been computed")
    run = command(group, "run", run_run, "run an experiment into a new folder; interrupted, run it again to go on")
    for made in (plan, status, run):
        made.add_argument("experiment", metavar="EXPERIMENT", help="a YAML file, or the name of one that ships")
        _add_cache(made)
    run.add_argument("--out", type=Path, metavar="RUNDIR", help="run folder (default: runs/TIME-NAME)")
    _add_no_cache(run)
    report = command(group, "report", run_report, "write the reports of a run again, after checking its files")
    report.add_argument("source", metavar="RUNDIR", help="a run folder; or an experiment, with --out RUNDIR")
    report.add_argument("--out", type=Path, metavar="RUNDIR", help="the run folder, when an experiment is named")
    report.add_argument("--to", type=Path, metavar="DIR", help="where the reports go (default: only print report.md)")
    compare = command(group, "compare", run_compare, "two runs of the same questions: what changed, and by chance?")
    compare.add_argument("first", type=Path, metavar="RUN_A")
    compare.add_argument("second", type=Path, metavar="RUN_B")
    replay = command(group, "replay", run_replay, "run a run's experiment again, every stage anew, and compare")
    replay.add_argument("source", type=Path, metavar="RUNDIR")
    replay.add_argument("--out", type=Path, metavar="RUNDIR", help="the replay's folder (default: RUNDIR-replay)")
    replay.add_argument("--cached", action="store_true", help="take stages from the cache: only scores are made anew")
    _add_cache(replay)
    _add_cache_commands(group)


def run_plan(args: argparse.Namespace) -> int:
    """Print the plan."""
    plan = _plan(args)
    emit_json(plan.as_json()) if args.json else _show_plan(plan)
    return 0


def run_status(args: argparse.Namespace) -> int:
    """Print how much of each stage is there."""
    plan = _plan(args)
    if args.json:
        stages = {name: {"planned": stage.planned, "cached": stage.cached} for name, stage in plan.stages.items()}
        emit_json({"name": plan.name, "stages": stages, "seconds_left": round(plan.seconds, 1)})
        return 0
    for name, stage in plan.stages.items():
        if name not in ("score", "aggregate") and stage.planned:
            print(f"{name:10} {stage.cached:7} of {stage.planned:7}  {stage.cached / stage.planned:6.1%}")
    print(f"left: about {_duration(plan.seconds)} ({plan.origin})")
    return 0


def run_run(args: argparse.Namespace) -> int:
    """Run the experiment."""
    from eval.ablation.run import run_experiment
    from eval.runs import default_run_folder

    experiment = _experiment(args)
    target = args.out or default_run_folder(experiment.name, datetime.now().astimezone())
    document = run_experiment(experiment, target, _options(args))
    if args.json:
        emit_json(document)
    else:
        print((target / "report.md").read_text(encoding="utf-8"))
    note(args, f"run folder: {target}; the page to look at: {target / 'report.html'}")
    return 1 if document["failed"] else 0


def run_report(args: argparse.Namespace) -> int:
    """Check a run folder's files, and write or print its reports."""
    from eval.ablation.folder import read_result
    from eval.ablation.reporting import write_reports

    source = args.out or Path(args.source)
    result = read_result(source)
    if args.to is not None:
        paths = write_reports(result, args.to, run=source)
        emit_json({"reports": [str(path) for path in paths]}) if args.json else print(*paths, sep="\n")
    elif args.json:
        from eval.ablation.folder import metrics_document

        emit_json(metrics_document(result))
    else:
        print((source / "report.md").read_text(encoding="utf-8"))
    return 0


def run_compare(args: argparse.Namespace) -> int:
    """Compare two runs of the same questions."""
    from eval.ablation.folder import read_result
    from eval.ablation.run_differences import compare_runs, differences_markdown

    differences = compare_runs(read_result(args.first), read_result(args.second))
    if args.json:
        emit_json(asdict(differences))
    else:
        print(differences_markdown(differences))
    return 0


def run_replay(args: argparse.Namespace) -> int:
    """Run again and compare; 1 when something differs."""
    from eval.ablation.cache import VERSIONS
    from eval.ablation.folder import changed_files
    from eval.ablation.run import NOT_REPLAYED, RunOptions, replay_run

    changed = changed_files(args.source)
    if changed:
        raise UsageError(f"{', '.join(changed)} of {args.source} changed since it was written; it cannot be replayed")
    target = args.out or args.source.with_name(f"{args.source.name}-replay")
    anew = () if args.cached else tuple(stage for stage in VERSIONS if stage not in NOT_REPLAYED)
    replay = replay_run(args.source, target, RunOptions(args.cache, anew, progress_sink(args)), args.set)
    if args.json:
        emit_json({"run": str(replay.run), "replay": str(replay.replay), "differences": list(replay.differences)})
    elif replay.differences:
        print(f"the replay {target} differs in {', '.join(replay.differences)}")
        print(f"see what changed: vesalius ablate compare {args.source} {target}")
    else:
        print(f"the replay {target} is the same in every file without timings")
    return 1 if replay.differences else 0


def run_cache(args: argparse.Namespace) -> int:
    """Check the stage cache, or clear it of what no run can use."""
    from eval.ablation.cache import StageCache
    from eval.ablation.libraries import default_stage_folder

    cache = StageCache(args.cache or default_stage_folder())
    found = cache.verify() if args.action == "verify" else cache.gc(args.days)
    if args.json:
        emit_json({"folder": str(cache.folder), **asdict(found)})
    else:
        print(f"{cache.folder}: {found.sound} sound, {len(found.damaged)} damaged, {found.outdated} of older code")
        print("\n".join(found.damaged))
        if args.action == "gc":
            print(f"freed {found.freed / 1e6:.1f} MB")
    return 1 if args.action == "verify" and found.damaged else 0


def _add_cache(made: argparse.ArgumentParser) -> None:
    made.add_argument("--cache", type=Path, metavar="DIR", help="stage results (default: $VESALIUS_CACHE/stages)")


def _add_no_cache(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--no-cache", action="append", default=[], metavar="STAGE", help="compute this stage anew; may be repeated"
    )


def _add_cache_commands(group: Any) -> None:  # noqa: ANN401 - argparse has no public name for it
    made = command(group, "cache", run_cache, "check the stage cache, or clear it of what no run can use")
    made.add_argument("action", choices=["verify", "gc"])
    made.add_argument("--days", type=float, metavar="N", help="gc: also what is older than so many days")
    _add_cache(made)


def _experiment(args: argparse.Namespace) -> Experiment:
    from eval.ablation.experiment import load_experiment, settings_lines

    preset = [f"preset={args.preset}"] if args.preset else []
    own = settings_lines(args.config) if args.config else []
    return load_experiment(args.experiment, [*preset, *own, *args.set])


def _options(args: argparse.Namespace) -> RunOptions:
    from eval.ablation.run import RunOptions

    return RunOptions(args.cache, tuple(getattr(args, "no_cache", ())), progress_sink(args))


def _plan(args: argparse.Namespace) -> Plan:
    from eval.ablation.run import plan_experiment

    return plan_experiment(_experiment(args), _options(args))


def _show_plan(plan: Plan) -> None:
    print(f"{plan.name}: {len(plan.cells)} cells, {plan.samples} samples\n")
    for cell in plan.cells:
        reason = f"  (cannot run: {cell.impossible})" if cell.impossible else ""
        print(f"  {cell.id}  {cell.name or 'the system as it is'}{reason}")
    print(f"\n{'stage':10} {'planned':>8} {'cached':>8} {'to do':>8}  estimate")
    for name, stage in plan.stages.items():
        print(f"{name:10} {stage.planned:8} {stage.cached:8} {stage.to_do:8}  {_duration(stage.seconds)}")
    cost = f", at most {plan.cost:.2f} in tokens" if plan.cost else ""
    print(f"\nabout {_duration(plan.seconds)}, {plan.model_calls} model calls{cost}; {plan.origin}")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
