"""Calibration: is an answer given with confidence 0.8 right in 8 of 10 cases?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from eval.statistics import BootstrapOptions, Estimate

Floats = npt.NDArray[np.float64]
Binning = Literal["equal_width", "equal_mass"]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Answers of similar confidence: how many, their mean confidence, and the share that is right."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def reliability_bins(
    confidence: npt.ArrayLike, right: npt.ArrayLike, bins: int = 10, binning: Binning = "equal_width"
) -> tuple[ReliabilityBin, ...]:
    """The bins of a reliability diagram that hold an answer, in order of confidence.

    equal_width: intervals (low, high] of [0, 1], the first with 0. equal_mass: as equal in number as possible, answers
    of equal confidence together. Guo et al., 2017, https://arxiv.org/abs/1706.04599; Nixon et al., 2019,
    https://arxiv.org/abs/1904.01685.

    Raises:
        ValueError: the lengths differ, a confidence is outside [0, 1], or there is no bin.
    """
    trust, hits = _checked(confidence, right)
    if bins < 1:
        raise ValueError("calibration needs at least one bin")
    member = _by_width(trust, bins) if binning == "equal_width" else _by_mass(trust, bins)
    found = []
    for place in np.unique(member).tolist():
        inside = trust[member == place]
        wide = binning == "equal_width"
        low, high = (place / bins, (place + 1) / bins) if wide else (float(inside.min()), float(inside.max()))
        accuracy = float(hits[member == place].mean())
        found.append(ReliabilityBin(low, high, inside.size, float(inside.mean()), accuracy))
    return tuple(found)


def calibration_error(
    confidence: npt.ArrayLike, right: npt.ArrayLike, bins: int = 10, binning: Binning = "equal_width"
) -> float | None:
    """Expected calibration error: the mean gap of confidence and accuracy over the bins, weighed by their size.

    It depends strongly on the number of bins: give it with the other binning and the Brier score.
    """
    made = reliability_bins(confidence, right, bins, binning)
    n = sum(one.n for one in made)
    return sum(one.n * abs(one.confidence - one.accuracy) for one in made) / n if n else None


def calibration_interval(
    confidence: npt.ArrayLike, right: npt.ArrayLike, options: BootstrapOptions | None = None, bins: int = 10
) -> Estimate:
    """The equal-width calibration error with its percentile bootstrap interval.

    The error is biased upwards in small samples, and so are its resamples: read it beside the number of answers.
    """
    options = options or BootstrapOptions(resamples=1000)
    trust, hits = _checked(confidence, right)
    if not trust.size:
        return Estimate(None, None, None)
    rng = np.random.default_rng(options.seed)
    member = _by_width(trust, bins)
    gaps = np.zeros((trust.size, bins))
    gaps[np.arange(trust.size), member] = trust - hits
    drawn = [
        float(np.abs(np.bincount(rng.integers(0, trust.size, trust.size), minlength=trust.size) @ gaps).sum())
        for _ in range(options.resamples)
    ]
    tail = (1 - options.level) / 2
    low, high = np.quantile(np.array(drawn) / trust.size, [tail, 1 - tail]).tolist()
    return Estimate(float(np.abs(gaps.sum(axis=0)).sum()) / trust.size, low, high)


def brier_score(confidence: npt.ArrayLike, right: npt.ArrayLike) -> float | None:
    """The mean squared gap of confidence and outcome, in [0, 1]. Brier, 1950, Monthly Weather Review 78."""
    trust, hits = _checked(confidence, right)
    return float(np.mean((trust - hits) ** 2)) if trust.size else None


def _checked(confidence: npt.ArrayLike, right: npt.ArrayLike) -> tuple[Floats, Floats]:
    trust, hits = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if trust.shape != hits.shape or trust.ndim != 1 or not ((trust >= 0) & (trust <= 1)).all():
        raise ValueError("calibration needs one confidence from 0 to 1 for each answer")
    return trust, hits


def _by_width(trust: Floats, bins: int) -> npt.NDArray[np.intp]:
    """The bin (low, high] of each confidence; products are rounded so that 0.7 of ten bins is the end of the 7th."""
    return np.clip(np.ceil(np.round(trust * bins, 9)).astype(np.intp) - 1, 0, bins - 1)


def _by_mass(trust: Floats, bins: int) -> npt.NDArray[np.intp]:
    """The bin of each answer's rank; equal confidences take the bin of the first of them."""
    if not trust.size:
        return np.zeros(0, dtype=np.intp)
    _, first, inverse = np.unique(np.sort(trust), return_index=True, return_inverse=True)
    place = first[inverse][np.argsort(np.argsort(trust, kind="stable"), kind="stable")]
    return (place * bins // trust.size).astype(np.intp)
