"""The plan of an experiment: its cells, the distinct computations of every stage, what is there, time and cost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.ablation.cache import STAGES, Need
from eval.ablation.designs import MOST_FREQUENT
from eval.ablation.experiment import Experiment
from eval.ablation.prepare import Prepared
from eval.ablation.results import Cell
from indexers.manifest import write_atomic
from rag.errors import ConfigError, EnvironmentProblem, VesaliusError

ASSUMED_S: Mapping[str, float] = {
    "library": 90.0, "encode": 0.03, "lists": 0.01, "rank": 0.03, "rerank": 0.3, "guard": 0.01, "select": 0.02,
    "generate": 0.5, "ground": 0.005, "score": 0.0005, "aggregate": 5.0,
}  # fmt: skip
"""Seconds of one computation when none was measured: the embedded preset on two cores, the sample library."""
RATES = "rates.json"


@dataclass(frozen=True, slots=True)
class StagePlan:
    """Distinct computations of a stage, those there already, and the seconds that the others are estimated to take."""

    planned: int
    cached: int
    seconds: float

    @property
    def to_do(self) -> int:
        """Computations that a run has to make."""
        return self.planned - self.cached


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do. `origin` says where the estimates come from."""

    name: str
    cells: tuple[Cell, ...]
    samples: int
    stages: Mapping[str, StagePlan]
    cost: float
    origin: str

    @property
    def seconds(self) -> float:
        """Estimated seconds in all."""
        return sum(stage.seconds for stage in self.stages.values())

    @property
    def model_calls(self) -> int:
        """Computations that ask a model, at the most: cells whose evidence turns out equal share an answer."""
        return sum(self.stages[stage].to_do for stage in ("encode", "rerank", "generate"))

    @property
    def impossible(self) -> tuple[Cell, ...]:
        """Cells that are planned out, each with its reason."""
        return tuple(cell for cell in self.cells if cell.impossible is not None)

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "name": self.name,
            "cells": [
                {"id": cell.id, "name": cell.name, "kind": cell.kind, "levels": dict(cell.levels)}
                | ({"impossible": cell.impossible} if cell.impossible else {})
                for cell in self.cells
            ],
            "samples": self.samples,
            "stages": {
                name: {"planned": stage.planned, "cached": stage.cached, "seconds": round(stage.seconds, 3)}
                for name, stage in self.stages.items()
            },
            "model_calls": self.model_calls,
            "seconds": round(self.seconds, 1),
            "cost": round(self.cost, 4),
            "estimate": self.origin,
        }


def make_plan(prepared: Prepared, rates: Mapping[str, float]) -> Plan:
    """Count the distinct computations over all cells and look which are there. Computes none."""
    needs = distinct_needs(prepared)
    cache = prepared.stages.work.cache
    planned, cached = Counter(need.stage for need in needs.values()), Counter[str]()
    cached.update(need.stage for need in needs.values() if cache.has(need))
    folders = {prepared.libraries.folder(settings): settings for settings in prepared.settings.values()}
    planned["library"] = len(folders)
    cached["library"] = sum(
        prepared.libraries.is_ready(settings) and folder not in prepared.libraries.built
        for folder, settings in folders.items()
    )
    planned["score"], planned["aggregate"] = prepared.samples, 1
    stages = {
        stage: StagePlan(
            planned[stage],
            cached[stage],
            (planned[stage] - cached[stage]) * rates.get(stage, ASSUMED_S[stage]),
        )
        for stage in STAGES
    }
    measured = sorted(set(rates) & set(STAGES))
    origin = f"measured here: {', '.join(measured)}" if measured else "assumed: the embedded preset on two cores"
    return Plan(
        prepared.experiment.name, tuple(prepared.cells), prepared.samples, stages, _cost(prepared, stages), origin
    )


def distinct_needs(prepared: Prepared) -> dict[tuple[str, str], Need]:
    """Every computation of every question in every cell, each once, at the greatest depth that is needed.

    A question that cannot be asked in a cell needs nothing there: it becomes a row with its error.
    """
    found: dict[tuple[str, str], Need] = {}
    for cell in prepared.cells:
        if cell.impossible is not None or cell.arm == MOST_FREQUENT:
            continue
        for repeat in range(prepared.experiment.repeats):
            for place in range(len(prepared.items)):
                _collect(prepared, cell, (place, repeat), found)
    return found


def check_budget(experiment: Experiment, plan: Plan) -> None:
    """Raise ConfigError when the plan exceeds the experiment's budget."""
    budget = experiment.budget
    limits = (
        ("minutes", budget.minutes, plan.seconds / 60),
        ("model_calls", budget.model_calls, plan.model_calls),
        ("cost", budget.cost, plan.cost),
    )
    for name, most, wanted in limits:
        if most is not None and wanted > most:
            raise ConfigError(
                f"the plan needs {wanted:.6g} {name.replace('_', ' ')}, and budget.{name} is {most:g}; use fewer "
                "levels, a limit of questions, or a greater budget"
            )


def read_rates(folder: Path) -> dict[str, float]:
    """Mean seconds of a computation by stage, of earlier runs with this cache."""
    try:
        data = json.loads((folder / RATES).read_text(encoding="utf-8"))
        return {stage: total / n for stage, (n, total) in data.items() if stage in STAGES and n > 0}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def note_rates(folder: Path, computed: Mapping[str, int], seconds: Mapping[str, float]) -> None:
    """Add a run's computations to the measured rates."""
    try:
        known = json.loads((folder / RATES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    for stage, n in computed.items():
        before = known.get(stage, [0, 0.0])
        known[stage] = [before[0] + n, before[1] + seconds.get(stage, 0.0)]
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / RATES, (json.dumps(known, indent=1) + "\n").encode())


def _collect(prepared: Prepared, cell: Cell, at: tuple[int, int], found: dict[tuple[str, str], Need]) -> None:
    try:
        for need in prepared.needs(cell, *at):
            known = found.get((need.stage, need.key))
            if known is None or known.depth < need.depth:
                found[need.stage, need.key] = need
    except EnvironmentProblem:
        raise
    except (VesaliusError, ValueError, OSError):
        return


def _cost(prepared: Prepared, stages: Mapping[str, StagePlan]) -> float:
    """The price of the drafts still to be made, were all as long as they may be."""
    budget = prepared.experiment.budget
    asked = [settings for settings in prepared.settings.values() if settings.answer.generator == "vlm"]
    if not asked or not prepared.settings:
        return 0.0
    longest = max(
        settings.answer.prompt_tokens * budget.prompt_price + settings.vlm.max_tokens * budget.completion_price
        for settings in asked
    )
    return stages["generate"].to_do * longest / 1e6 * len(asked) / len(prepared.settings)
