"""Whether a cell knows when it is right: risk against coverage, and reliability of its confidences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eval.ablation.pairing import Scores, measured_cells, scores_of
from eval.ablation.results import AblationResult
from eval.metrics.abstention import RiskCoverage, risk_coverage
from eval.metrics.calibration import ReliabilityBin, brier_score, calibration_error, reliability_bins

CONFIDENCE, ABSTAINED, ACCURACY = "confidence", "abstained", "accuracy"
"""The item metrics read here: a number from 0 to 1, 1 where the system declined to answer, and 1 where it is right."""


@dataclass(frozen=True, slots=True, eq=False)
class ConfidenceFigures:
    """A cell's answers by their confidence.

    `n` answers of `asked` questions were given; coverage is a share of the questions asked, so a curve ends where the
    cell begins to abstain. `bins` hold about equally many answers each: ten of them, or five of fewer than 200 answers.
    """

    cell: str
    outcome: str
    n: int
    asked: int
    curve: RiskCoverage
    bins: tuple[ReliabilityBin, ...]
    calibration_error: float | None
    brier: float | None


def confidence_figures(result: AblationResult) -> tuple[ConfidenceFigures, ...]:
    """The figures of the cells that report confidences, in the order of the run.

    What counts as right is the accuracy, or else the first metric that is 0 or 1 for every question. Questions without
    a confidence in [0, 1] or without that metric are left out.
    """
    outcome = _outcome(result)
    if outcome is None:
        return ()
    trust, declined = scores_of(result, CONFIDENCE), scores_of(result, ABSTAINED)
    made = (_figures(cell.cell.id, outcome, trust, declined) for cell in measured_cells(result))
    return tuple(figures for figures in made if figures is not None)


def _outcome(result: AblationResult) -> Scores | None:
    """The accuracy, or else the first metric of right or wrong."""
    for metric in sorted(result.metrics, key=lambda metric: metric != ACCURACY):
        if metric not in {CONFIDENCE, ABSTAINED, "answered"} and metric not in result.smaller_is_better:
            scores = scores_of(result, metric)
            if scores.binary and any(count.scored for count in scores.counts.values()):
                return scores
    return None


def _figures(cell: str, outcome: Scores, trust: Scores, declined: Scores) -> ConfidenceFigures | None:
    right, confidence = outcome.values[cell], trust.values[cell]
    known = np.isfinite(right) & (confidence >= 0) & (confidence <= 1)
    answered = known & ~(declined.values[cell] > 0)
    asked, n = int(known.sum()), int(answered.sum())
    if not n:
        return None
    plain = risk_coverage(confidence[answered], right[answered])
    return ConfidenceFigures(
        cell=cell,
        outcome=outcome.metric,
        n=n,
        asked=asked,
        curve=RiskCoverage(plain.coverage * n / asked, plain.risk),
        bins=reliability_bins(confidence[answered], right[answered], 10 if n >= 200 else 5, "equal_mass"),
        calibration_error=calibration_error(confidence[answered], right[answered]),
        brier=brier_score(confidence[answered], right[answered]),
    )
