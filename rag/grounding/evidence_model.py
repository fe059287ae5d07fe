"""How far several signals of the evidence, read together, say that it answers the question. Pure.

A logistic of a few standardised signals, fitted on questions with and without an answer, with a ridge penalty on the
weights (le Cessie and van Houwelingen, Applied Statistics 1992, https://doi.org/10.2307/2347628). Both classes count
alike however many questions each has, so a probability of one half does not depend on how many were asked of which.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rag.errors import ConfigError

Floats = npt.NDArray[np.float64]
PENALTY = 1.0
"""Weights of standardised signals are held towards 0 as by a normal prior of this precision."""
_ROUNDS = 100
_SETTLED = 1e-8


@dataclass(frozen=True, slots=True)
class EvidenceModel:
    """Weights of signals by name; each signal is centred and divided by its scale before it is weighed."""

    names: tuple[str, ...]
    centres: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float

    def __post_init__(self) -> None:
        for name in ("names", "centres", "scales", "weights"):
            # A stored model comes back with lists.
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len({len(self.names), len(self.centres), len(self.scales), len(self.weights)}) > 1:
            raise ConfigError("evidence model: names, centres, scales and weights have different lengths")

    def confidence(self, signals: Mapping[str, float]) -> float:
        """In [0, 1]; 0.5 where questions with and without an answer are as likely. A missing signal counts as 0."""
        log_odds = self.intercept
        for name, centre, scale, weight in zip(self.names, self.centres, self.scales, self.weights, strict=True):
            log_odds += weight * (signals.get(name, 0.0) - centre) / scale
        return 1 / (1 + math.exp(-max(-60.0, min(60.0, log_odds))))


def fit_evidence_model(
    signals: Sequence[Mapping[str, float]], answerable: Sequence[bool], penalty: float = PENALTY
) -> EvidenceModel:
    """The model of some questions' signals. A signal that never varies gets no weight.

    Raises:
        ConfigError: all questions have an answer, or none has.
    """
    known = np.asarray(answerable, dtype=np.float64)
    if not 0 < known.sum() < len(known):
        raise ConfigError("evidence model: it is fitted on questions with an answer and questions without one")
    names = tuple(sorted({name for row in signals for name in row}))
    table = np.array([[row.get(name, 0.0) for name in names] for row in signals], dtype=np.float64)
    centres, scales = table.mean(axis=0), table.std(axis=0)
    scales[scales < 1e-12] = 1.0
    share = np.where(known > 0, len(known) / (2 * known.sum()), len(known) / (2 * (len(known) - known.sum())))
    found = _newton(np.column_stack([np.ones(len(table)), (table - centres) / scales]), known, share, penalty)
    return EvidenceModel(
        names, tuple(centres.tolist()), tuple(scales.tolist()), tuple(found[1:].tolist()), float(found[0])
    )


def _newton(rows: Floats, known: Floats, share: Floats, penalty: float) -> Floats:
    """The weights of least penalised loss, the first of which (the intercept) is free. The loss is convex."""
    ridge = np.full(rows.shape[1], penalty)
    ridge[0] = 1e-9
    weights = np.zeros(rows.shape[1])
    for _ in range(_ROUNDS):
        chance = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        slope = rows.T @ (share * (chance - known)) + ridge * weights
        curve = (rows.T * (share * np.maximum(chance * (1 - chance), 1e-9))) @ rows + np.diag(ridge)
        step = np.linalg.solve(curve, slope)
        # A full step may overshoot where the classes part cleanly; none is longer than a few standard deviations.
        weights = weights - step * min(1.0, 4 / max(1e-12, float(np.abs(step).max())))
        if float(np.abs(step).max()) < _SETTLED:
            break
    return weights
