"""Figures over classes: per-class and macro F1, the positive class alone, the area under the ROC curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from eval.metrics.scores import Score, f_measure, mean_score, share


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class: precision, recall, F1 (0 where a denominator is 0), `support` gold items, `predicted` replies."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


@dataclass(frozen=True, slots=True)
class ClassScores:
    """`macro_f1` is the mean over the classes that occur in gold or replies; `n` of it is their number.

    `unparsed` replies named no class; they count as wrong.
    """

    accuracy: Score
    macro_precision: Score
    macro_recall: Score
    macro_f1: Score
    classes: tuple[ClassScore, ...]
    unparsed: int


def class_scores(gold: Sequence[str], replies: Sequence[str | None], labels: Sequence[str] = ()) -> ClassScores:
    """Accuracy and macro figures as scikit-learn's with zero_division 0; a reply of None is wrong in no class.

    `labels` fixes the classes that are averaged over (PubMedQA: yes, no, maybe), else those that occur.

    Raises:
        ValueError: the lengths differ.
    """
    if len(gold) != len(replies):
        raise ValueError(f"{len(replies)} replies for {len(gold)} questions")
    known = labels or tuple(dict.fromkeys([*gold, *(reply for reply in replies if reply is not None)]))
    classes = tuple(_one_class(label, gold, replies) for label in known)
    return ClassScores(
        accuracy=share(sum(a == b for a, b in zip(gold, replies, strict=True)), len(gold)),
        macro_precision=mean_score(one.precision for one in classes),
        macro_recall=mean_score(one.recall for one in classes),
        macro_f1=mean_score(one.f1 for one in classes),
        classes=classes,
        unparsed=sum(reply is None for reply in replies),
    )


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Agreement of two raters beyond chance, at most 1; None without items or when only one label is ever given.

    Cohen, 1960, https://doi.org/10.1177/001316446002000104: (observed - expected) / (1 - expected). For how
    far a judge, or a labeller, agrees with a person.

    Raises:
        ValueError: the lengths differ.
    """
    pairs = list(zip(first, second, strict=True))
    n = len(pairs)
    expected = sum(first.count(label) * second.count(label) for label in {*first, *second})
    if not n or expected == n * n:
        return None
    observed = sum(a == b for a, b in pairs) / n
    return (observed - expected / n**2) / (1 - expected / n**2)


def auroc(positive: npt.ArrayLike, confidence: npt.ArrayLike) -> Score:
    """The chance that a positive item has the higher confidence of two; equal ones count half. Shapes (n,).

    Hanley and McNeil, 1982, https://doi.org/10.1148/radiology.143.1.7063747. Undefined when one class is missing.
    A model's share of `yes` needs log-probabilities; of hard 0/1 replies this is the balanced accuracy, so name that
    figure `auroc_hard`.
    """
    right = np.asarray(positive, dtype=bool)
    ranks = rankdata(np.asarray(confidence, dtype=np.float64))
    n_positive = int(right.sum())
    n_negative = right.size - n_positive
    if not n_positive or not n_negative:
        return Score(None, right.size)
    above = float(ranks[right].sum()) - n_positive * (n_positive + 1) / 2
    return Score(above / (n_positive * n_negative), right.size)


def _one_class(label: str, gold: Sequence[str], replies: Sequence[str | None]) -> ClassScore:
    both = sum(a == label and b == label for a, b in zip(gold, replies, strict=True))
    support, predicted = sum(a == label for a in gold), sum(b == label for b in replies)
    precision = both / predicted if predicted else 0.0
    recall = both / support if support else 0.0
    return ClassScore(label, precision, recall, f_measure(precision, recall), support, predicted)
