"""Scores of several images at once: confusing pairs, boxes, and accuracy by the number of images."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eval.metrics.scores import Score, mean_score, share

Bounds = tuple[float, float, float, float]
"""x0, y0, x1, y1 in the pixels of one image."""


@dataclass(frozen=True, slots=True)
class PairReply:
    """One question on two images with opposite answers: what is right and what was chosen (None: invalid) for each."""

    gold: tuple[str, str]
    chosen: tuple[str | None, str | None]

    @property
    def right(self) -> int:
        """How many of the two replies are right."""
        return sum(a == b for a, b in zip(self.gold, self.chosen, strict=True))

    @property
    def valid(self) -> bool:
        """Whether both replies name an option."""
        return None not in self.chosen

    @property
    def confused(self) -> bool:
        """Whether both images got the same option."""
        return self.valid and self.chosen[0] == self.chosen[1]


@dataclass(frozen=True, slots=True)
class PairScores:
    """MediConfusion's figures: chance is 0.25 for `set_accuracy` and 0.5 for `individual_accuracy`.

    `confusion`: pairs with the same option for both images, of the pairs with two valid replies. `invalid`: of all
    replies. `precision`: pairs right, of the valid pairs that are not confused.
    """

    set_accuracy: Score
    individual_accuracy: Score
    confusion: Score
    invalid: Score
    precision: Score


def pair_scores(pairs: Sequence[PairReply]) -> PairScores:
    """The figures of MediConfusion, Sepehri et al., 2024, https://arxiv.org/abs/2409.15477."""
    both = sum(pair.right == 2 for pair in pairs)
    valid, confused = sum(pair.valid for pair in pairs), sum(pair.confused for pair in pairs)
    return PairScores(
        set_accuracy=share(both, len(pairs)),
        individual_accuracy=share(sum(pair.right for pair in pairs), 2 * len(pairs)),
        confusion=share(confused, valid),
        invalid=share(sum(pair.chosen.count(None) for pair in pairs), 2 * len(pairs)),
        precision=share(both, valid - confused),
    )


def pair_scores_by_category(
    pairs: Sequence[PairReply], categories: Sequence[Sequence[str]]
) -> Mapping[str, PairScores]:
    """The figures per category; a pair counts once in each category of either image.

    Raises:
        ValueError: the lengths differ.
    """
    members: defaultdict[str, list[PairReply]] = defaultdict(list)
    for pair, names in zip(pairs, categories, strict=True):
        for name in dict.fromkeys(names):
            members[name].append(pair)
    return {name: pair_scores(members[name]) for name in sorted(members)}


def accuracy_by(right: Sequence[float], groups: Sequence[object]) -> Mapping[str, Score]:
    """The mean per group (number of frames, modality), largest group first."""
    values: defaultdict[str, list[float]] = defaultdict(list)
    for value, group in zip(right, groups, strict=True):
        values[str(group)].append(value)
    order = sorted(Counter({name: len(kept) for name, kept in values.items()}).items(), key=lambda e: (-e[1], e[0]))
    return {name: mean_score(values[name]) for name, _ in order}


def intersection_over_union(first: Bounds, second: Bounds) -> float:
    """Shared area over covered area of two boxes in one image's pixels, in [0, 1]; empty boxes share nothing."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(0.0, width) * max(0.0, height)
    covered = _area(first) + _area(second) - shared
    return shared / covered if covered else 0.0


def mean_iou(gold: Sequence[Sequence[Bounds]], found: Sequence[Sequence[Bounds]]) -> Score:
    """The mean over gold boxes of the best overlap with any box found; questions without gold boxes are left out."""
    best: list[float | None] = []
    for wanted, given in zip(gold, found, strict=True):
        each = [max((intersection_over_union(box, other) for other in given), default=0.0) for box in wanted]
        best.append(sum(each) / len(each) if each else None)
    return mean_score(best)


def _area(box: Bounds) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])
