"""Latency, tokens and money of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Summary:
    """n values: their sum, mean, median, 95th percentile and greatest; None of nothing. `missing` had no value."""

    n: int
    missing: int
    total: float | None
    mean: float | None
    p50: float | None
    p95: float | None
    greatest: float | None


@dataclass(frozen=True, slots=True)
class Prices:
    """What a million tokens cost, in one currency of the user's choice."""

    prompt: float
    completion: float


def summarise(values: Sequence[float | None]) -> Summary:
    """The figures of seconds, tokens or money per question. Percentiles interpolate linearly.

    Raises:
        ValueError: a value is negative or not a number.
    """
    kept = np.array([value for value in values if value is not None], dtype=np.float64)
    if not (kept >= 0).all():
        raise ValueError(
            "latency, tokens and cost cannot be negative or undefined; give None for what was not measured"
        )
    missing = len(values) - kept.size
    if not kept.size:
        return Summary(0, missing, None, None, None, None, None)
    p50, p95 = np.percentile(kept, [50, 95]).tolist()
    return Summary(kept.size, missing, float(kept.sum()), float(kept.mean()), p50, p95, float(kept.max()))


def cost_of(prompt_tokens: int | None, completion_tokens: int | None, prices: Prices | None) -> float | None:
    """What one call costs; None when tokens or prices are unknown."""
    if prompt_tokens is None or completion_tokens is None or prices is None:
        return None
    return (prompt_tokens * prices.prompt + completion_tokens * prices.completion) / 1_000_000
