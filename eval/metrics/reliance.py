"""What retrieval does to a model: answers mended and broken, references copied without looking at the image.

Xia et al., 2024, RULE (https://arxiv.org/abs/2407.05131) and MMed-RAG (https://arxiv.org/abs/2410.13085). Both need
nothing but logged answers of two arms on the same questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eval.metrics.scores import Score, share


@dataclass(frozen=True, slots=True)
class RetrievalEffect:
    """The same questions without and with retrieval.

    `mended`: wrong before, right with it; `broken`: the reverse. `over_reliance`: broken, of all errors with retrieval.
    `gain`: accuracy with less accuracy without, which is mended less broken over n.
    """

    n: int
    both_right: int
    mended: int
    broken: int
    both_wrong: int
    over_reliance: Score
    gain: Score


def retrieval_effect(without: Sequence[bool], with_retrieval: Sequence[bool]) -> RetrievalEffect:
    """Count what retrieval changed, from right or wrong per question in both arms.

    Raises:
        ValueError: the lengths differ.
    """
    pairs = [(bool(a), bool(b)) for a, b in zip(without, with_retrieval, strict=True)]
    mended, broken = pairs.count((False, True)), pairs.count((True, False))
    both_wrong = pairs.count((False, False))
    return RetrievalEffect(
        n=len(pairs),
        both_right=pairs.count((True, True)),
        mended=mended,
        broken=broken,
        both_wrong=both_wrong,
        over_reliance=share(broken, broken + both_wrong),
        gain=share(mended - broken, len(pairs)),
    )


def copy_reference(own_image: Sequence[bool], unrelated_image: Sequence[bool]) -> Score:
    """The share of answers right with the own image that stay right with an unrelated one and the same references.

    High: the model copies the retrieved reports instead of looking. Both arms show the references retrieved for the
    own image and are judged by its answer.

    Raises:
        ValueError: the lengths differ.
    """
    kept = [bool(b) for a, b in zip(own_image, unrelated_image, strict=True) if a]
    return share(sum(kept), len(kept))
