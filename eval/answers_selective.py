"""Whether the system knows when it is right: risk and coverage, and calibration, of the answers it gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.ablation.rendering.charts import Series, line_chart
from eval.answers_intervals import Figure, figure
from eval.answers_rows import Row
from eval.metrics.abstention import RiskCoverage, risk_coverage
from eval.metrics.calibration import (
    ReliabilityBin,
    brier_score,
    calibration_error,
    calibration_interval,
    reliability_bins,
)
from eval.statistics import UNDEFINED, Estimate

RISK_AT, COVERAGE_AT = 0.8, 0.05
"""Risk is given at this coverage of the answers, coverage at this risk."""


@dataclass(frozen=True, slots=True, eq=False)
class Selective:
    """Answers that were given (`n` of `asked`), by their confidence. The curve's coverage is a share of the answers."""

    asked: int
    n: int
    accuracy: Figure
    curve: RiskCoverage
    calibration: Estimate
    equal_mass: float | None
    brier: float | None
    bins: tuple[ReliabilityBin, ...]

    def as_json(self) -> dict[str, object]:
        """As `metrics.json` has it, figures rounded to 6 digits."""
        curve = self.curve
        return {
            "n": self.n,
            "coverage": {"value": round(self.n / self.asked, 6) if self.asked else None, "n": self.asked},
            "accuracy": self.accuracy.as_json(),
            "aurc": _rounded(curve.aurc),
            "excess_aurc": _rounded(curve.excess_aurc),
            f"risk_at_{RISK_AT}": _rounded(curve.risk_at(RISK_AT)),
            f"coverage_at_{COVERAGE_AT}": _rounded(curve.coverage_at(COVERAGE_AT)) if self.n else None,
            "ece": {**self.calibration.as_json(), "n": self.n},
            "ece_equal_mass": _rounded(self.equal_mass),
            "brier": _rounded(self.brier),
        }


def selective_figures(judged: Sequence[Row]) -> Selective:
    """From rows that are right or wrong; those that abstained gave no answer."""
    given = [row for row in judged if not row.get("abstained")]
    trust = np.clip(np.array([row["confidence"] for row in given], dtype=np.float64), 0.0, 1.0)
    right = np.array([bool(row["right"]) for row in given], dtype=np.bool_)
    return Selective(
        asked=len(judged),
        n=len(given),
        accuracy=figure((float(row["right"]), row["cluster"]) for row in given),
        curve=risk_coverage(trust, right),
        calibration=calibration_interval(trust, right) if given else UNDEFINED,
        equal_mass=calibration_error(trust, right, binning="equal_mass"),
        brier=brier_score(trust, right),
        bins=reliability_bins(trust, right, 10 if len(given) >= 200 else 5, "equal_mass"),
    )


def selective_charts(found: Selective) -> tuple[str, ...]:
    """Risk by coverage, and reliability; nothing of fewer than two answers."""
    if found.n < 2:
        return ()
    places = np.unique(np.linspace(0, found.n - 1, min(found.n, 200)).round().astype(int)).tolist()
    risks = tuple((float(found.curve.coverage[at]), _point(float(found.curve.risk[at]))) for at in places)
    bins = tuple((one.confidence, _point(one.accuracy)) for one in found.bins)
    return (
        line_chart([Series("answers", risks)], ("coverage", "risk"), size=420),
        line_chart([Series("answers", bins)], ("confidence", "share right"), diagonal=True, size=420),
    )


def _point(value: float) -> Estimate:
    return Estimate(value, None, None)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
