"""`vesalius ablate`: an experiment planned, run into a folder, compared with another run, and replayed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from eval.ablation.cache import StageCache
from eval.ablation.experiment import Experiment, parse_experiment
from eval.ablation.folder import read_config, untimed_differences, write_run
from eval.ablation.libraries import Libraries, default_stage_folder
from eval.ablation.plan import Plan, check_budget, make_plan, note_rates, read_rates
from eval.ablation.prepare import Prepared, prepare
from eval.ablation.running import run_cells
from eval.runs import refuse_existing
from indexers.progress import ProgressSink, silent

NOT_REPLAYED = ("library",)
"""What a replay takes from the cache: an index is identified by its content."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How an experiment is run.

    cache: the folder of stage results; None for `$VESALIUS_CACHE/stages`. no_cache: stages that are computed anew.
    sink: where progress goes.
    """

    cache: Path | None = None
    no_cache: tuple[str, ...] = ()
    sink: ProgressSink = silent

    @property
    def folder(self) -> Path:
        """The cache's folder."""
        return self.cache or default_stage_folder()


def plan_experiment(experiment: Experiment, options: RunOptions) -> Plan:
    """What a run would do. Builds and computes nothing; the sample library's sources are written if asked for.

    Raises:
        ConfigError: something in the experiment is unknown, or its baseline cannot run.
    """
    with _prepared(experiment, options, dry=True) as prepared:
        return make_plan(prepared, read_rates(options.folder))


def run_experiment(experiment: Experiment, target: Path, options: RunOptions) -> dict[str, Any]:
    """Run an experiment into a new folder; returns the document that is printed.

    An interrupted run loses the question at hand: what was computed is in the cache, the same call goes on from there.

    Raises:
        ConfigError: something in the experiment is unknown, its baseline cannot run, or the budget does not allow it.
        UsageError: the run folder exists already.
        EnvironmentProblem: a model, a package or the store is missing.
    """
    started = time.perf_counter()
    refuse_existing(target)
    with _prepared(experiment, options) as prepared:
        return run_prepared(prepared, target, options, started)


def run_prepared(prepared: Prepared, target: Path, options: RunOptions, started: float | None = None) -> dict[str, Any]:
    """As `run_experiment`, of an experiment whose cells are made already; `started` is when, by `perf_counter`."""
    begun = time.perf_counter() if started is None else started
    plan = make_plan(prepared, read_rates(options.folder))
    check_budget(prepared.experiment, plan)
    outcome = run_cells(prepared, plan, options.sink)
    tally, libraries = prepared.stages.work.tally, prepared.libraries
    built = {"library": len(libraries.built)} if libraries.built else {}
    spent = {**tally.seconds, "library": libraries.build_seconds}
    scored = {"score": outcome.stages["score"]["computed"]}
    note_rates(options.folder, {**tally.computed, **built, **scored}, spent)
    return write_run(target, prepared, outcome, time.perf_counter() - begun)


@dataclass(frozen=True, slots=True)
class Replay:
    """A run and its replay: the files without timings in which they differ, none when the run can be repeated."""

    run: Path
    replay: Path
    differences: tuple[str, ...]


def replay_run(run: Path, target: Path, options: RunOptions, overrides: Sequence[str] = ()) -> Replay:
    """Run the experiment of a run folder again, every stage anew unless `options.no_cache` names some, and compare.

    Raises:
        UsageError: it is no finished run.
    """
    data = dict(read_config(run)["experiment"])
    for text in overrides:
        key, _, value = text.partition("=")
        data[key] = yaml.safe_load(value)
    experiment = parse_experiment(data, str(run))
    run_experiment(experiment, target, options)
    return Replay(run, target, tuple(untimed_differences(run, target)))


@contextmanager
def _prepared(experiment: Experiment, options: RunOptions, *, dry: bool = False) -> Iterator[Prepared]:
    cache = StageCache(options.folder, [stage for stage in options.no_cache if stage != "library"])
    with Libraries(experiment, options.folder, options.sink, dry=dry) as libraries:
        libraries.rebuild = "library" in options.no_cache
        yield prepare(experiment, libraries, cache)
