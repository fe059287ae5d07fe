"""When to answer: thresholds of confidence fitted on labelled questions, and the curve of risk against coverage. Pure.

Risk is the share of given answers that are wrong; coverage is the share of questions that are answered. A question
without an answer is answered wrongly whenever it is answered (selective prediction: El-Yaniv and Wiener, JMLR 2010).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rag.errors import ConfigError
from rag.grounding.evidence_model import EvidenceModel, fit_evidence_model

Method = Literal["conformal", "precision", "balanced"]
_FOLDS = 5
_STEPS = 20
"""Coverages at which a precision is tested; the error is shared among them (Bonferroni)."""


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One labelled question: whether it has an answer, whether the one given was right, and its confidence in [0, 1].

    `arm` is the kind of question. Rows of one `cluster` (variants of one question, questions of one page) are never on
    both sides of a split. `signals` are those of `rag.grounding.signals`, empty where none speak of the question.
    """

    id: str
    arm: str
    answerable: bool
    right: bool
    confidence: float
    cluster: str = ""
    signals: Mapping[str, float] = field(default_factory=dict)


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

    `value` is 0 when nothing may be withheld to reach the target, and 1 when the target cannot be reached. With a
    `model` the confidence is the model's, for questions of text alone; without one it is the generator's.
    """

    value: float
    method: Method
    target: float
    delta: float
    n: int
    answered: float
    wrong: float
    model: EvidenceModel | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Abstention:
        """From what `dataclasses.asdict` made of one. Raises TypeError or ConfigError when it is none."""
        model = row.get("model")
        return cls(**{**row, "model": None if model is None else EvidenceModel(**model)})


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


def fit_modelled(rows: Sequence[AnswerRow], options: FitAbstention) -> Abstention:
    """A threshold, and where signals tell more than the answerer's confidence alone, the model that it is of.

    Both are judged by confidences that each come from a model of the other folds' rows, and the threshold is fitted on
    these: on the rows that the model was fitted on, it would look better than it is. Needs questions of text with and
    without an answer for a model. Raises as `fit_threshold`.
    """
    read = [row for row in rows if row.signals]
    if len({row.answerable for row in read}) < 2 or len(_clusters(read)) < _FOLDS:
        return fit_threshold(rows, options)
    held = modelled_by_others(read)
    if separation(held) <= separation(read):
        return fit_threshold(rows, options)
    return replace(fit_threshold(held, options), model=_model(read))


def separation(rows: Sequence[AnswerRow]) -> float:
    """The chance that a question with an answer has more confidence than one without: the area under the ROC curve."""
    have = np.array([row.confidence for row in rows if row.answerable])[:, None]
    lack = np.array([row.confidence for row in rows if not row.answerable])[None, :]
    return float((have > lack).mean() + 0.5 * (have == lack).mean())


def modelled(rows: Sequence[AnswerRow], fitted: Abstention) -> list[AnswerRow]:
    """The rows with the confidence that a fitted threshold is compared with."""
    if fitted.model is None:
        return list(rows)
    model = fitted.model
    return [replace(row, confidence=model.confidence(row.signals)) if row.signals else row for row in rows]


def _model(rows: Sequence[AnswerRow]) -> EvidenceModel:
    return fit_evidence_model([row.signals for row in rows], [row.answerable for row in rows])


def modelled_by_others(rows: Sequence[AnswerRow]) -> list[AnswerRow]:
    """Each row with the confidence that a model of the other folds' rows gives it; all rows need signals."""
    return [row for rest, test in folds(rows, _FOLDS) for row in _held_out(rest, test)]


def _held_out(rest: Sequence[AnswerRow], test: Sequence[AnswerRow]) -> list[AnswerRow]:
    """The rows of a fold by the model of the others; by their own confidence where the others make no model."""
    if len({row.answerable for row in rest}) < 2:
        return list(test)
    model = _model(rest)
    return [replace(row, confidence=model.confidence(row.signals)) for row in test]


def _clusters(rows: Sequence[AnswerRow]) -> list[str]:
    return sorted({row.cluster or row.id for row in rows})


def halves(rows: Sequence[AnswerRow], seed: int) -> tuple[list[AnswerRow], list[AnswerRow]]:
    """Two halves of the clusters, drawn at random: one to fit on, one to test on."""
    names = _clusters(rows)
    order = np.random.default_rng(seed).permutation(len(names))
    first = {names[place] for place in order[: len(names) // 2].tolist()}
    inside = [row for row in rows if (row.cluster or row.id) in first]
    return inside, [row for row in rows if (row.cluster or row.id) not in first]


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
    names = _clusters(rows)
    order = np.random.default_rng(seed).permutation(len(names))
    fold = {names[place]: i % n for i, place in enumerate(order.tolist())}
    for i in range(n):
        held = [row for row in rows if fold[row.cluster or row.id] == i]
        rest = [row for row in rows if fold[row.cluster or row.id] != i]
        if held and rest:
            yield rest, held
