"""Figures of the ablation engine on its toy system: what it adds to the stages, kills, and what is computed twice.

    python -m benchmarks.ablation [--questions 24] [--kills 20]

Prints JSON. The toy's models cost nothing, so that what is left is the engine. `overhead_ms` is the processor time per
sample (a question in a cell) beside the stages, of which scoring is one: keys, cache and bookkeeping, not the reports.
Kills are real: a process is killed with SIGKILL at random moments, started again, and its end compared with an
uninterrupted run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from eval.ablation import work
from eval.ablation.cache import StageCache
from eval.ablation.experiment import parse_experiment
from eval.ablation.folder import untimed_differences
from eval.ablation.plan import make_plan
from eval.ablation.prepare import Prepared, prepare
from eval.ablation.run import RunOptions, run_prepared
from eval.ablation.running import run_cells
from eval.ablation.toy import Calls, ToyLibraries, toy_documents, write_toy_questions

GRID: dict[str, Any] = {
    "name": "grid",
    "library": "toy",
    "metrics": ["accuracy", "ndcg@5", "evidence-recall"],
    "factors": {"channels": ["all", "dense", "late"], "k": [2, 4], "router": [True, False], "rerank": [False, True]},
    "base": {"per_option": 0},
    "design": "full",
}


def prepared(folder: Path, cache: Path, questions: int) -> Prepared:
    file = folder / f"questions-{questions}.jsonl"
    if not file.exists():
        write_toy_questions(file, questions)
    experiment = parse_experiment({**GRID, "questions": [str(file)]})
    return prepare(experiment, ToyLibraries(experiment, cache, toy_documents(), Calls()), StageCache(cache))


def overhead(folder: Path, questions: int) -> dict[str, float]:
    """Processor seconds of a cold and of a warm run, and what of the cold one was not spent in stages."""
    cache = folder / "overhead"
    cold = prepared(folder, cache, questions)
    # Other work on this machine must not count: stages are timed by the processor, too.
    work.time = SimpleNamespace(perf_counter=time.process_time)  # type: ignore[assignment]
    started = time.process_time()
    plan = make_plan(cold, {})
    planned = time.process_time() - started
    started = time.process_time()
    run_cells(cold, plan)
    spent = time.process_time() - started
    in_stages = sum(cold.stages.work.tally.seconds.values())
    warm = prepared(folder, cache, questions)
    plan = make_plan(warm, {})
    started = time.process_time()
    run_cells(warm, plan)
    again = time.process_time() - started
    samples = cold.samples
    return {
        "samples": samples,
        "plan_s": round(planned, 3),
        "stages_s": round(in_stages, 3),
        "overhead_ms": round(1000 * (spent - in_stages) / samples, 3),
        "warm_ms": round(1000 * again / samples, 3),
        "total_over_stages": round((spent + planned) / in_stages, 3),
    }


def kills(folder: Path, times: int, questions: int) -> dict[str, int | bool]:
    """Kill runs at random moments until `times` were killed, then let one end and compare."""
    whole, cache = folder / "whole", folder / "kills"
    run_prepared(prepared(folder, folder / "uninterrupted", questions), whole, RunOptions(folder / "uninterrupted"))
    command = [sys.executable, "-m", "benchmarks.ablation", "--child", str(folder), "--questions", str(questions)]
    rng, killed, ended = random.Random(0), 0, 0
    while killed < times:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        child.stdout.readline()  # it says when it begins to work: imports are not worth killing
        try:
            child.wait(timeout=rng.uniform(0.02, 1.0))
            ended += 1
            break
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            killed += 1
    if not ended:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    same = not untimed_differences(whole, cache / "run")
    found = StageCache(cache).verify()
    return {
        "killed": killed,
        "entries": found.sound,
        "damaged": len(found.damaged),
        "computed_twice": found.leftover,
        "same_to_the_byte": same,
    }


def child(folder: Path, questions: int) -> None:
    cache = folder / "kills"
    made = prepared(folder, cache, questions)
    print("begun", flush=True)
    run_prepared(made, cache / "run", RunOptions(cache))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--questions", type=int, default=24)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.questions)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = {"overhead": overhead(folder, args.questions)}
        if args.kills:
            figures["kills"] = kills(folder, args.kills, args.questions)  # type: ignore[assignment]
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
