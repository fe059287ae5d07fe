"""Retrieval metrics of one ranking and of a whole run, in NumPy, with trec_eval's rules.

A grade is a number per document: above 0 is right, 0 or below is not. Gains are linear in the grade.

`r@k` is the share of queries with at least one right document among the first k (elsewhere called success@k or
hit rate); `recall@k` is the share of a query's right documents among the first k.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Key = TypeVar("Key", bound=Hashable)

HEADLINE_METRICS: tuple[str, ...] = ("ndcg@5", "r@1", "r@5", "r@10", "mrr@10")
METRICS: tuple[str, ...] = (*HEADLINE_METRICS, "recall@5", "recall@10")
"""The columns of every score table, in this order."""

METRIC_DEPTH = 10
"""The deepest rank that a metric of `METRICS` looks at."""


def rank_by_score(scores: Mapping[str, float]) -> list[str]:
    """Document ids best first: score descending, then id descending, as trec_eval breaks ties.

    Raises:
        ValueError: a score is not a number, which has no place in an order.
    """
    for document, score in scores.items():
        if math.isnan(score):
            raise ValueError(f"the score of {document!r} is not a number; it cannot be ranked")
    return sorted(scores, key=lambda document: (scores[document], document), reverse=True)


def gains_of(ranked: Sequence[Key], grades: Mapping[Key, float]) -> Floats:
    """The gain at each rank: the document's grade, 0 when unjudged or graded below 0.

    Raises:
        ValueError: a document stands twice in the ranking, which would count its gain twice.
    """
    if len(set(ranked)) != len(ranked):
        raise ValueError("a ranking names a document twice; keep its first position only")
    return np.array([max(0.0, grades.get(document, 0.0)) for document in ranked], dtype=np.float64)


def dcg_at(gains: Floats, k: int) -> float:
    """Discounted cumulative gain of the first k: sum of gain_i / log2(i + 1), rank i from 1.

    Järvelin and Kekäläinen, 2002, https://doi.org/10.1145/582415.582418, with the discount of trec_eval.
    """
    head = gains[:k]
    return float(np.sum(head / np.log2(np.arange(2, head.size + 2))))


def ndcg_at(gains: Floats, grades: Sequence[float], k: int) -> float:
    """DCG of the first k over the DCG of the best possible ranking of all judged grades, in [0, 1].

    0 when nothing is right. Järvelin and Kekäläinen, 2002, https://doi.org/10.1145/582415.582418.
    """
    best = dcg_at(np.sort(np.array([grade for grade in grades if grade > 0], dtype=np.float64))[::-1], k)
    return dcg_at(gains, k) / best if best > 0 else 0.0


def success_at(gains: Floats, k: int) -> float:
    """1 when at least one of the first k is right, else 0 (trec_eval's `success_k`, here `r@k`)."""
    return float(np.any(gains[:k] > 0))


def recall_at(gains: Floats, n_right: int, k: int) -> float:
    """The share of all right documents that stand among the first k; 0 when nothing is right."""
    return float(np.count_nonzero(gains[:k] > 0)) / n_right if n_right else 0.0


def reciprocal_rank_at(gains: Floats, k: int) -> float:
    """1 / rank of the first right document among the first k, else 0.

    Its mean over queries is MRR@k; Voorhees, 1999, The TREC-8 question answering track report.
    """
    right = np.flatnonzero(gains[:k] > 0)
    return 1.0 / (int(right[0]) + 1) if right.size else 0.0


def score_ranking(ranked: Sequence[Key], grades: Mapping[Key, float]) -> Floats:
    """The metrics of one query, shape (len(METRICS),); all 0 for an empty ranking or when nothing is right."""
    gains = gains_of(ranked, grades)
    n_right = sum(grade > 0 for grade in grades.values())
    return np.array(
        [
            ndcg_at(gains, list(grades.values()), 5),
            success_at(gains, 1),
            success_at(gains, 5),
            success_at(gains, 10),
            reciprocal_rank_at(gains, 10),
            recall_at(gains, n_right, 5),
            recall_at(gains, n_right, 10),
        ]
    )


@dataclass(frozen=True, slots=True)
class RunScores:
    """The metrics of a run: `table` has shape (n_queries, len(METRICS)), rows in the order of `queries`.

    `missing` counts judged queries that the run has no result for; they are in the table as zeros. `unjudged` counts
    queries without a right document; they are not in the table.
    """

    queries: tuple[str, ...]
    table: Floats
    missing: int
    unjudged: int

    def means(self) -> dict[str, float]:
        """The mean of each metric over the judged queries; 0 when there is none."""
        values = self.table.mean(axis=0) if self.queries else np.zeros(len(METRICS))
        return dict(zip(METRICS, values.tolist(), strict=True))


def score_run(judgements: Mapping[str, Mapping[str, float]], run: Mapping[str, Mapping[str, float]]) -> RunScores:
    """Score a run (query to document to score) against judgements (query to document to grade).

    Queries of the run without judgements are ignored, as trec_eval does.
    """
    judged = tuple(query for query, grades in judgements.items() if any(grade > 0 for grade in grades.values()))
    rows = [score_ranking(rank_by_score(run.get(query, {})), judgements[query]) for query in judged]
    return RunScores(
        queries=judged,
        table=np.array(rows).reshape(len(judged), len(METRICS)),
        missing=sum(not run.get(query) for query in judged),
        unjudged=len(judgements) - len(judged),
    )
