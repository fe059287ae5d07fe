"""More figures of one ranking, beside those of every score table: precision, average precision, exponential gains.

`gains` come from `eval.metrics.retrieval.gains_of`; above 0 is right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.metrics.retrieval import Floats, ndcg_at


def precision_at(gains: Floats, k: int) -> float:
    """The share of the first k ranks that hold a right document; ranks that the run does not fill count as wrong."""
    return float(np.count_nonzero(gains[:k] > 0)) / k


def r_precision(gains: Floats, n_right: int) -> float:
    """The precision at as many ranks as there are right documents; 0 when nothing is right."""
    return precision_at(gains, n_right) if n_right else 0.0


def average_precision(gains: Floats, n_right: int) -> float:
    """The mean, over all right documents, of the precision at their ranks; those not found add 0.

    Voorhees and Harman, TREC: Experiment and Evaluation in Information Retrieval, chapter 3.
    """
    right = gains > 0
    precisions = np.cumsum(right) / np.arange(1, right.size + 1)
    return float(precisions[right].sum()) / n_right if n_right else 0.0


def capped_recall_at(gains: Floats, n_right: int, k: int) -> float:
    """Right documents among the first k over the most that could be there, min(k, n_right); MTEB's `recall_cap`."""
    most = min(k, n_right)
    return float(np.count_nonzero(gains[:k] > 0)) / most if most else 0.0


def exponential_ndcg_at(gains: Floats, grades: Sequence[float], k: int) -> float:
    """The nDCG with gain 2**grade - 1, as in Burges et al., 2005, https://doi.org/10.1145/1102351.1102363.

    It is not trec_eval's, whose gain is the grade: name it apart.
    """
    return ndcg_at(np.exp2(gains) - 1, [2.0**grade - 1 for grade in grades if grade > 0], k)
