"""What a cell costs per question, and which cells no other beats in both quality and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval.ablation.pairing import measured_cells
from eval.ablation.results import AblationResult


@dataclass(frozen=True, slots=True)
class CellCost:
    """Seconds and tokens per question, over the questions without an error; None where nothing was recorded.

    `stages` holds the mean seconds of each stage, over the questions that went through it.
    """

    seconds: float | None
    median_seconds: float | None
    tokens: float | None
    stages: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CostPoint:
    """A cell as a point of quality against cost. `on_front`: no other cell is at least as good and costs less."""

    cell: str
    cost: float
    quality: float
    on_front: bool


def cell_costs(result: AblationResult) -> dict[str, CellCost]:
    """The cost of each cell that has been run."""
    found = {}
    for cell in measured_cells(result):
        fine = sorted((item for item in cell.items if item.error is None), key=lambda item: item.item)
        timed = [sum(sorted(item.seconds.values())) for item in fine if item.seconds]
        tokens = [item.tokens for item in fine]
        stages: dict[str, list[float]] = {}
        for item in fine:
            for stage, seconds in item.seconds.items():
                stages.setdefault(stage, []).append(seconds)
        found[cell.cell.id] = CellCost(
            seconds=float(np.mean(timed)) if timed else None,
            median_seconds=float(np.median(timed)) if timed else None,
            tokens=float(np.mean(tokens)) if any(tokens) else None,
            stages={stage: float(np.mean(stages[stage])) for stage in sorted(stages)},
        )
    return found


def cost_points(
    qualities: Mapping[str, float | None], costs: Mapping[str, float | None], *, smaller_is_better: bool
) -> tuple[CostPoint, ...]:
    """The cells that have both figures, cheapest first, with the Pareto front marked."""
    pairs = [
        (cost, quality, cell)
        for cell, quality in qualities.items()
        if quality is not None and (cost := costs.get(cell)) is not None
    ]
    sign = -1.0 if smaller_is_better else 1.0
    points = [
        CostPoint(cell, cost, quality, on_front=not _is_beaten(cost, quality, pairs, sign))
        for cost, quality, cell in pairs
    ]
    return tuple(sorted(points, key=lambda point: (point.cost, -sign * point.quality, point.cell)))


def _is_beaten(cost: float, quality: float, pairs: Sequence[tuple[float, float, str]], sign: float) -> bool:
    return any(
        other <= cost and sign * better >= sign * quality and (other, better) != (cost, quality)
        for other, better, _ in pairs
    )
