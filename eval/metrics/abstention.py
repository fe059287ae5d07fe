"""Abstention: declining what cannot be answered, and what accuracy is left at each share of questions answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eval.metrics.scores import Score, f_measure, mean_score, share

Floats = npt.NDArray[np.float64]

COSTS = (0.0, 1.0, 2.0, 4.0)
"""What a wrong answer costs where a right one gains 1 and an abstention nothing."""


@dataclass(frozen=True, slots=True)
class AbstentionScores:
    """Abstentions as a whole. `right` of an abstained question is not looked at.

    `coverage`: share of questions answered. `selective_accuracy`: right, of the answered ones (an answer to an
    unanswerable question is wrong). `precision`, `recall`, `f1` have "unanswerable" as positive class. `false_answers`:
    answered, of the unanswerable; `over_refusals`: declined, of the answerable.
    """

    coverage: Score
    selective_accuracy: Score
    precision: Score
    recall: Score
    f1: Score
    false_answers: Score
    over_refusals: Score


def abstention_scores(
    abstained: Sequence[bool], right: Sequence[bool], answerable: Sequence[bool] | None = None
) -> AbstentionScores:
    """How well a system knows when to decline; every question is answerable unless told otherwise.

    Raises:
        ValueError: the lengths differ.
    """
    can = [True] * len(abstained) if answerable is None else answerable
    rows = list(zip(abstained, right, can, strict=True))
    declined = [possible for silent, _, possible in rows if silent]
    answered = [hit and possible for silent, hit, possible in rows if not silent]
    impossible = sum(not possible for _, _, possible in rows)
    well = declined.count(False)
    precision, recall = share(well, len(declined)), share(well, impossible)
    return AbstentionScores(
        coverage=share(len(answered), len(rows)),
        selective_accuracy=share(sum(answered), len(answered)),
        precision=precision,
        recall=recall,
        f1=Score(f_measure(precision.value or 0.0, recall.value or 0.0) if impossible else None, impossible),
        false_answers=share(impossible - well, impossible),
        over_refusals=share(len(declined) - well, len(rows) - impossible),
    )


def cost_score(abstained: Sequence[bool], right: Sequence[bool], cost: float) -> Score:
    """The mean of +1 for a right answer, -cost for a wrong one and 0 for an abstention."""
    pairs = zip(abstained, right, strict=True)
    return mean_score(0.0 if silent else 1.0 if hit else -cost for silent, hit in pairs)


@dataclass(frozen=True, slots=True, eq=False)
class RiskCoverage:
    """The error rate among the most confident share of questions; both of shape (n,), coverage rising to 1."""

    coverage: Floats
    risk: Floats

    @property
    def aurc(self) -> float | None:
        """The mean risk over all coverages; lower is better."""
        return float(self.risk.mean()) if self.risk.size else None

    @property
    def optimal_aurc(self) -> float | None:
        """The AURC of the best order of the same answers: every right one before every wrong one."""
        n = self.risk.size
        if not n:
            return None
        wrong = round(float(self.risk[-1]) * n)
        places = np.arange(1, n + 1)
        return float((np.maximum(0, places - (n - wrong)) / places).mean())

    @property
    def excess_aurc(self) -> float | None:
        """AURC less the optimal one (E-AURC): what the order of the confidences costs, whatever the accuracy."""
        return None if self.aurc is None or self.optimal_aurc is None else self.aurc - self.optimal_aurc

    def risk_at(self, coverage: float) -> float | None:
        """The error rate when at least this share of questions is answered."""
        reached = np.flatnonzero(self.coverage >= coverage - 1e-12)
        return float(self.risk[reached[0]]) if reached.size else None

    def coverage_at(self, risk: float) -> float:
        """The largest share of questions that can be answered at no more than this error rate; 0 when none can."""
        allowed = np.flatnonzero(self.risk <= risk + 1e-12)
        return float(self.coverage[allowed[-1]]) if allowed.size else 0.0


def risk_coverage(confidence: npt.ArrayLike, right: npt.ArrayLike) -> RiskCoverage:
    """The risk-coverage curve of answers (booleans) by their confidence, shapes (n,).

    Geifman, Uziel and El-Yaniv, 2019, https://openreview.net/forum?id=SJfb5jCqKm. Answers of equal confidence are taken
    in the mean over all their orders, so the order of the rows does not matter.

    Raises:
        ValueError: the lengths differ, or a confidence is not a number.
    """
    trust, hits = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if trust.shape != hits.shape or trust.ndim != 1 or np.isnan(trust).any():
        raise ValueError("risk and coverage need one number as confidence for each answer")
    n = trust.size
    if not n:
        return RiskCoverage(np.zeros(0), np.zeros(0))
    order = np.argsort(-trust, kind="stable")
    _, block, sizes = np.unique(-trust[order], return_inverse=True, return_counts=True)
    wrong = np.bincount(block, weights=1.0 - hits[order])
    errors = np.cumsum((wrong / sizes)[block])
    places = np.arange(1, n + 1)
    return RiskCoverage(places / n, errors / places)


def abstention_gain(confidence: npt.ArrayLike, score: npt.ArrayLike) -> float | None:
    """How much of the possible gain from declining the least sure questions is had: (area - flat) / (best - flat).

    The area is that of the mean score of the questions kept, at abstention rates 0, 0.1, ... 0.9; `flat` declines at
    random, `best` by the true score. As MTEB's nAUC of retrieval confidence. None when the scores are all equal.
    """
    trust, values = np.asarray(confidence, dtype=np.float64), np.asarray(score, dtype=np.float64)
    if not values.size or np.ptp(values) == 0:
        return None
    flat = float(values.mean())
    area, best = _area_kept(values, trust), _area_kept(values, values)
    return (area - flat) / (best - flat) if best > flat else None


def _area_kept(values: Floats, by: Floats) -> float:
    """The mean, over abstention rates 0 to 0.9, of the mean score of the rows kept."""
    ordered = values[np.argsort(by, kind="stable")]
    drops = [int(values.size * rate) for rate in np.linspace(0, 0.9, 10)]
    return float(np.mean([ordered[drop:].mean() for drop in drops]))
