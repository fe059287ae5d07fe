"""When to answer: thresholds of confidence fitted on labelled questions, and the curve of risk against coverage. Pure.

Risk is the share of given answers that are wrong; coverage is the share of questions that are answered. A question
without an answer is answered wrongly whenever it is answered (selective prediction: El-Yaniv and Wiener, JMLR 2010).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rag.errors import ConfigError

Method = Literal["conformal", "precision", "balanced"]
_STEPS = 20
"""Coverages at which a precision is tested; the error is shared among them (Bonferroni)."""


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One labelled question: whether it has an answer, whether the one given was right, and its confidence in [0, 1].

    `arm` is the kind of question. Rows of one `cluster` (variants of one question) are never on both sides of a split.
    """

    id: str
    arm: str
    answerable: bool
    right: bool
    confidence: float
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class FitAbstention:
    """How a threshold is fitted.

    conformal: a further answerable question is answered with probability `target` at least (split conformal prediction,
    Angelopoulos and Bates, 2021, https://arxiv.org/abs/2107.07511); needs answerable questions only.
    precision: among the answers given, a share of `target` is right, with probability 1 - `delta` (selective guaranteed
    risk, Geifman and El-Yaniv, NeurIPS 2017, https://arxiv.org/abs/1705.08500).
    balanced: the larger of two errors is least: to abstain from what has an answer, to answer what has none. Guarantees
    nothing.
    """

    method: Method = "conformal"
    target: float = 0.9
    delta: float = 0.1

    def __post_init__(self) -> None:
        for name, value in (("target", self.target), ("delta", self.delta)):
            if not 0 < value < 1:
                raise ConfigError(f"calibration: {name} is {value}; it must be between 0 and 1")


@dataclass(frozen=True, slots=True)
class Abstention:
    """A fitted threshold: answers below `value` are withheld. The shares are those of the `n` questions of the fit.

    `value` is 0 when nothing may be withheld to reach the target, and 1 when the target cannot be reached.
    """

    value: float
    method: Method
    target: float
    delta: float
    n: int
    answered: float
    wrong: float


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """At this threshold this share of questions is answered, and this share of the answers is wrong."""

    coverage: float
    threshold: float
    risk: float


def fit_threshold(rows: Sequence[AnswerRow], options: FitAbstention) -> Abstention:
    """The threshold that a method gives.

    Raises:
        ConfigError: there are no rows of a kind that the method needs.
    """
    answerable = [row for row in rows if row.answerable]
    if not answerable:
        raise ConfigError("calibration: no question with a known answer; abstention cannot be fitted")
    if options.method == "balanced" and len(answerable) == len(rows):
        raise ConfigError("calibration: the method balanced needs questions without an answer too")
    value = _balanced(rows) if options.method == "balanced" else _FITTED[options.method](rows, options)
    given = [row for row in rows if row.confidence >= value]
    wrong = sum(not row.right for row in given) / len(given) if given else 0.0
    return Abstention(value, options.method, options.target, options.delta, len(rows), len(given) / len(rows), wrong)


def _conformal(rows: Sequence[AnswerRow], options: FitAbstention) -> float:
    from rag.selectors.conformal import conformal_quantile

    bound = conformal_quantile([-row.confidence for row in rows if row.answerable], options.target)
    return max(0.0, -bound) if np.isfinite(bound) else 0.0


def _precision(rows: Sequence[AnswerRow], options: FitAbstention) -> float:
    from scipy.special import bdtr

    ranked = sorted(rows, key=lambda row: -row.confidence)
    for step in range(_STEPS, 0, -1):
        threshold = ranked[max(0, round(len(ranked) * step / _STEPS) - 1)].confidence
        given = [row for row in ranked if row.confidence >= threshold]
        errors = sum(not row.right for row in given)
        # The chance of so few errors if the true risk were above 1 - target.
        if float(bdtr(errors, len(given), 1 - options.target)) <= options.delta / _STEPS:
            return threshold
    return 1.0


def _balanced(rows: Sequence[AnswerRow]) -> float:
    have = np.sort([row.confidence for row in rows if row.answerable])
    lack = np.sort([row.confidence for row in rows if not row.answerable])
    cuts = np.unique(np.concatenate([have, lack]))
    # Between two neighbours every threshold is the same for these rows; the middle is safest for others.
    middles = np.concatenate([cuts[:1], (cuts[1:] + cuts[:-1]) / 2])
    withheld = np.searchsorted(have, middles, side="left") / len(have)
    answered = 1 - np.searchsorted(lack, middles, side="left") / len(lack)
    return float(middles[int(np.argmin(np.maximum(withheld, answered)))])


_FITTED: Mapping[str, Callable[[Sequence[AnswerRow], FitAbstention], float]] = {
    "conformal": _conformal,
    "precision": _precision,
}


def risk_coverage(rows: Sequence[AnswerRow], coverages: Sequence[float]) -> list[CurvePoint]:
    """The curve at these coverages, each in (0, 1]; questions of equal confidence are answered together."""
    ranked = sorted(rows, key=lambda row: -row.confidence)
    points = []
    for wanted in coverages:
        threshold = ranked[min(len(ranked), max(1, round(wanted * len(ranked)))) - 1].confidence
        given = [row for row in ranked if row.confidence >= threshold]
        risk = sum(not row.right for row in given) / len(given)
        points.append(CurvePoint(len(given) / len(ranked), threshold, risk))
    return points


def area_under_risk(rows: Sequence[AnswerRow]) -> tuple[float, float]:
    """AURC, and its excess over the best order of the same answers (E-AURC, Geifman et al., ICLR 2019).

    The mean risk over the coverages 1/n, 2/n ... 1. Within a block of equal confidence every order is as likely, so its
    expected risk is taken.
    """
    ranked = sorted(rows, key=lambda row: -row.confidence)
    wrong = np.array([not row.right for row in ranked], dtype=np.float64)
    confidence = np.array([row.confidence for row in ranked])
    expected = np.empty_like(wrong)
    for value in np.unique(confidence):
        block = confidence == value
        expected[block] = wrong[block].mean()
    best = np.sort(wrong)
    return _mean_risk(expected), _mean_risk(expected) - _mean_risk(best)


def _mean_risk(wrong: npt.NDArray[np.float64]) -> float:
    return float((np.cumsum(wrong) / np.arange(1, len(wrong) + 1)).mean())


def summary(rows: Sequence[AnswerRow]) -> dict[str, float]:
    """AURC, E-AURC, the risk at 80 % coverage, and the greatest coverage with at most 5 % risk."""
    area, excess = area_under_risk(rows)
    [at] = risk_coverage(rows, [0.8])
    every = risk_coverage(rows, [i / len(rows) for i in range(1, len(rows) + 1)])
    safe = max((point.coverage for point in every if point.risk <= 0.05), default=0.0)
    return {"aurc": area, "e_aurc": excess, "risk_at_80": at.risk, "coverage_at_5": safe}


def figures_at(rows: Sequence[AnswerRow], threshold: float) -> dict[str, Any]:
    """What a threshold does: shares withheld, by arm and in sum, and how right the answers are."""

    def withheld(some: Sequence[AnswerRow]) -> float | None:
        return sum(row.confidence < threshold for row in some) / len(some) if some else None

    have, lack = [row for row in rows if row.answerable], [row for row in rows if not row.answerable]
    given = [row for row in have if row.confidence >= threshold]
    names = dict.fromkeys(row.arm for row in rows)
    return {
        "abstained_unanswerable": withheld(lack),
        "false_abstention": withheld(have),
        "right_of_answered": sum(row.right for row in given) / len(given) if given else None,
        "arms": {
            name: {"n": len(own), "abstained": withheld(own)}
            for name in names
            for own in [[row for row in rows if row.arm == name]]
        },
    }


def folds(rows: Sequence[AnswerRow], n: int, seed: int = 0) -> Iterator[tuple[list[AnswerRow], list[AnswerRow]]]:
    """Each fold's rows to fit on and rows to test on; clusters stay together."""
    names = sorted({row.cluster or row.id for row in rows})
    order = np.random.default_rng(seed).permutation(len(names))
    fold = {names[place]: i % n for i, place in enumerate(order.tolist())}
    for i in range(n):
        held = [row for row in rows if fold[row.cluster or row.id] == i]
        rest = [row for row in rows if fold[row.cluster or row.id] != i]
        if held and rest:
            yield rest, held
