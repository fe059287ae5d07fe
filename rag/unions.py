"""Hybrid unions: two ranked lists of pages, one by the page's picture and one by its text, become one set. Pure.

Both are ViDoRAG's, 2025, https://arxiv.org/abs/2502.18017: each list is first cut where its scores fall apart into two
groups; "union" keeps what either list kept, "filled" adds the next pages up to a size that tiles well into one grid of
images. Lists are ranked, best first, and hold each passage once; their scores are never compared with one another.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from rag.errors import ConfigError
from rag.fusion import reciprocal_rank_fusion
from rag.types import Hit

Floats = npt.NDArray[np.float64]

SIZES = (1, 2, 4, 6, 9, 12, 16, 20)
"""Numbers of pages that a filled union has: those that ViDoRAG shows its reader."""
_STEPS = 100
_CLOSE = 1e-3
_FLOOR = 1e-6
"""Steps, tolerance and least variance of the mixture's fit: the defaults of scikit-learn, which ViDoRAG uses."""


@dataclass(frozen=True, slots=True)
class UnionOptions:
    """How two lists become one.

    head: hits of each list that are looked at. least, most: hits kept of each list. fill: whether the union is filled
    up to one of SIZES. order: "rank" puts pages high in both lists first; "place" puts documents in the order in which
    they were found and their pages in the order of the book, as ViDoRAG shows them.

    Raises:
        ConfigError: not 1 <= least <= most <= head.
    """

    head: int = 20
    least: int = 5
    most: int = 10
    fill: bool = True
    order: Literal["rank", "place"] = "rank"

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most <= self.head:
            raise ConfigError(
                f"a union that keeps {self.least} to {self.most} of {self.head} hits is impossible: "
                "use 1 <= least <= most <= head"
            )


_DEFAULT = UnionOptions()


def mixture_cut(hits: Sequence[Hit], options: UnionOptions = _DEFAULT) -> list[Hit]:
    """The hits that belong to the better of two groups of scores, in their order.

    A mixture of two normal distributions is fitted to the scores of the head; the group that holds the best hit is
    kept, at most `most` of it, and filled from the other group up to `least`. Equal scores are one group.
    """
    head = list(hits[: options.head])
    if not head:
        return []
    groups = two_groups(np.array([hit.score for hit in head], dtype=np.float64))
    best = max(range(len(head)), key=lambda place: (head[place].score, -place))
    kept = [place for place in range(len(head)) if groups[place] == groups[best]][: options.most]
    rest = [place for place in range(len(head)) if groups[place] != groups[best]]
    return [head[place] for place in (*kept, *rest[: max(0, options.least - len(kept))])]


def hybrid_union(visual: Sequence[Hit], text: Sequence[Hit], options: UnionOptions = _DEFAULT) -> list[Hit]:
    """The union of both lists' cuts, filled up if so asked.

    What fills it stands in neither cut: first the pages found by both lists, in the visual list's order, then the rest
    of the visual list, and only when that is too short the rest of the text list. Scores are reciprocal ranks (constant
    20) in the two whole lists; a hit keeps what each channel said of it.
    """
    kept = {hit.passage.id: hit for hit in (*mixture_cut(visual, options), *mixture_cut(text, options))}
    if options.fill:
        size = next((size for size in SIZES if size >= len(kept)), len(kept))
        fillers = _fillers(visual, text, kept)
        kept |= {hit.passage.id: hit for hit in fillers[: size - len(kept)]}
    ranked = reciprocal_rank_fusion({"visual": visual, "text": text}, {})
    chosen = [hit for hit in ranked if hit.passage.id in kept]
    if options.order == "rank":
        return chosen
    # Dictionaries keep the order of insertion: documents as the cuts found them.
    documents = list(dict.fromkeys(hit.passage.document for hit in kept.values()))
    return sorted(
        chosen, key=lambda hit: (documents.index(hit.passage.document), hit.passage.page or 0, hit.passage.id)
    )


def _fillers(visual: Sequence[Hit], text: Sequence[Hit], kept: Container[str]) -> list[Hit]:
    ids = [{hit.passage.id for hit in hits} for hits in (visual, text)]
    left = {hit.passage.id: hit for hit in (*visual, *text) if hit.passage.id not in kept}
    # The sort is stable: pages of both lists keep the visual order, and so does what follows them.
    return sorted(left.values(), key=lambda hit: not all(hit.passage.id in found for found in ids))


def two_groups(scores: Floats) -> list[int]:
    """Which of two groups each score belongs to: 1 for the one of higher mean, 0 for the other. All 1 when equal.

    A mixture of two normal distributions of their own variance, fitted by expectation maximisation from the split of
    least variance, so equal input gives equal groups. Scores are standardised first: their scale does not matter.
    """
    spread = float(scores.std()) if scores.size else 0.0
    if spread <= 1e-12 * max(1.0, float(np.abs(scores).max(initial=0.0))):
        return [1] * scores.size
    values = (scores - scores.mean()) / spread
    share = _best_split(values)
    before = -np.inf
    for _ in range(_STEPS):
        share, likelihood = _step(values, share)
        if abs(likelihood - before) < _CLOSE:
            break
        before = likelihood
    high = int(np.argmax(share.T @ values / np.maximum(share.sum(axis=0), _FLOOR)))
    return [int(row[high] >= row[1 - high]) for row in share]


def _best_split(values: Floats) -> Floats:
    """Which side of the split of least variance within its sides each value is on, shape (n, 2), 0 or 1."""
    ordered = np.unique(values)
    splits = [np.column_stack([values < edge, values >= edge]).astype(np.float64) for edge in ordered[1:]]
    return min(splits, key=lambda sides: sum(float(values[side > 0].var()) * side.sum() for side in sides.T))


def _step(values: Floats, share: Floats) -> tuple[Floats, float]:
    """One step of expectation maximisation: shares of each value in both groups, and the mean log likelihood."""
    weight = np.maximum(share.sum(axis=0), _FLOOR)
    mean = share.T @ values / weight
    variance = np.sum(share * (values[:, None] - mean) ** 2, axis=0) / weight + _FLOOR
    density = -0.5 * ((values[:, None] - mean) ** 2 / variance + np.log(2 * np.pi * variance))
    joint = density + np.log(weight / weight.sum())
    total = np.logaddexp(joint[:, 0], joint[:, 1])
    return np.exp(joint - total[:, None]), float(total.mean())
