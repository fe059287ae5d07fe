"""Claims of an answer against a gold answer and the passages retrieved: RAGChecker's arithmetic over any judge.

Ru et al., 2024, https://arxiv.org/abs/2408.08067. Claims come from elsewhere (sentences, or a model that splits them).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eval.metrics.citations import Entails
from eval.metrics.scores import Score, f_measure, share

Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Entailments:
    """What supports what, in one answer.

    `right` (n_claims,): the gold answer supports the claim. `covered` (n_gold,): the answer supports the gold claim.
    `gold_by_passage` (n_gold, n_passages), `claim_by_passage` (n_claims, n_passages): the passage supports it.

    Raises:
        ValueError: the shapes do not fit.
    """

    right: Booleans
    covered: Booleans
    gold_by_passage: Booleans
    claim_by_passage: Booleans

    def __post_init__(self) -> None:
        n_passages = self.gold_by_passage.shape[-1]
        wanted = ((len(self.covered), n_passages), (len(self.right), n_passages))
        if (self.gold_by_passage.shape, self.claim_by_passage.shape) != wanted:
            raise ValueError("the entailment tables need one row per claim and one column per passage")


@dataclass(frozen=True, slots=True)
class ClaimScores:
    """RAGChecker's figures of one answer; each with its denominator.

    `noise_relevant`, `noise_irrelevant`: wrong claims that a useful passage supports, or only useless ones, of all
    claims. `hallucination`, `self_knowledge`: unsupported claims that are wrong, or right. `faithfulness`: supported.
    """

    precision: Score
    recall: Score
    f1: Score
    claim_recall: Score
    context_precision: Score
    context_utilisation: Score
    noise_relevant: Score
    noise_irrelevant: Score
    hallucination: Score
    self_knowledge: Score
    faithfulness: Score


def entailments(
    claims: Sequence[str], gold_claims: Sequence[str], passages: Sequence[str], entails: Entails
) -> Entailments:
    """Ask the judge for the four tables; the answer and the gold answer are their claims joined."""
    answer, gold = " ".join(claims), " ".join(gold_claims)
    return Entailments(
        right=np.array([entails(gold, claim) for claim in claims], dtype=np.bool_),
        covered=np.array([entails(answer, claim) for claim in gold_claims], dtype=np.bool_),
        gold_by_passage=_table(gold_claims, passages, entails),
        claim_by_passage=_table(claims, passages, entails),
    )


def claim_scores(found: Entailments) -> ClaimScores:
    """The figures from the four tables."""
    wrong = ~found.right
    in_passages: Booleans = np.any(found.gold_by_passage, axis=1)
    useful: Booleans = np.any(found.gold_by_passage, axis=0)
    supported: Booleans = np.any(found.claim_by_passage, axis=1)
    by_useful: Booleans = np.any(found.claim_by_passage[:, useful], axis=1)
    n_claims, n_gold = len(found.right), len(found.covered)
    precision, recall = _share(found.right, n_claims), _share(found.covered, n_gold)
    both = precision.value is not None and recall.value is not None
    return ClaimScores(
        precision=precision,
        recall=recall,
        f1=Score(f_measure(precision.value or 0.0, recall.value or 0.0) if both else None, n_claims + n_gold),
        claim_recall=_share(in_passages, n_gold),
        context_precision=_share(useful, len(useful)),
        context_utilisation=_share(in_passages & found.covered, int(in_passages.sum())),
        noise_relevant=_share(wrong & by_useful, n_claims),
        noise_irrelevant=_share(wrong & supported & ~by_useful, n_claims),
        hallucination=_share(wrong & ~supported, n_claims),
        self_knowledge=_share(found.right & ~supported, n_claims),
        faithfulness=_share(supported, n_claims),
    )


def _table(claims: Sequence[str], passages: Sequence[str], entails: Entails) -> Booleans:
    cells = [[entails(passage, claim) for passage in passages] for claim in claims]
    return np.array(cells, dtype=np.bool_).reshape(len(claims), len(passages))


def _share(rows: Booleans, n: int) -> Score:
    return share(int(rows.sum()), n)
