"""The figures of an aligned space, and whether it may be used."""

from __future__ import annotations

from dataclasses import dataclass

from eval.statistics import Estimate
from indexers.encoders.aligned.ranking import RankFigures

BOTH = "both"
"""The mean over both directions, among the margins."""


@dataclass(frozen=True, slots=True)
class DirectionReport:
    """One direction of a system. `equal` counts a nearly equal text (or its image) as right, too."""

    figures: RankFigures
    intervals: dict[str, Estimate]
    equal: RankFigures


@dataclass(frozen=True, slots=True)
class PartReport:
    """One domain or corpus, its own texts alone as candidates, image to text.

    works: the head's R@10 is above chance with its whole interval.
    """

    n: int
    chance: RankFigures
    head: RankFigures
    floor: RankFigures
    r10: Estimate
    works: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a head may be used, and why not."""

    active: bool
    reason: str


@dataclass(frozen=True, slots=True)
class AlignmentReport:
    """The figures of a head, out of sample. Directions are "image_to_text" and "text_to_image".

    floor_name: what the floor is. gain: R@10 of the head over the floor's, image to text, on the same pairs, with its
    interval. margins: R@10 of the head minus the floor's, by direction and for the mean of "both". same_case: image to
    image of the same patient or case, aligned and unaligned.
    """

    n: int
    n_candidates: int
    n_groups: int
    how: str
    head: dict[str, DirectionReport]
    floor: dict[str, DirectionReport]
    chance: RankFigures
    gain: Estimate
    domains: dict[str, PartReport]
    corpora: dict[str, PartReport]
    same_case: tuple[RankFigures, RankFigures, int] | None
    margins: dict[str, Estimate]
    floor_name: str = "ridge"

    def verdict(self) -> Verdict:
        """Active when R@10 is above chance both ways, and above the floor on average over both, neither way below it.

        Each with the whole interval: a head that is as good as the floor would pass by luck every other time.
        """
        for direction, report in self.head.items():
            low, reached = report.intervals["r10"].low, report.figures.r10
            if low is None or low <= self.chance.r10:
                name = direction.replace("_", " ")
                return Verdict(False, f"{name} R@10 {reached:.3f} is not clearly above chance {self.chance.r10:.3f}")
        head, floor = (
            sum(report.figures.r10 for report in system.values()) / len(system) for system in (self.head, self.floor)
        )
        low = self.margins[BOTH].low
        if low is None or low <= 0:
            told = f"R@10 over both directions, {head:.3f}, does not clearly beat the floor's"
            return Verdict(False, f"{told} {floor:.3f} ({self.floor_name}); the difference may be {low or 0:+.3f}")
        for direction, margin in self.margins.items():
            if margin.high is not None and margin.high < 0:
                name = direction.replace("_", " ")
                return Verdict(
                    False, f"{name} R@10 is clearly below the floor's ({self.floor_name}): {margin.value:+.3f}"
                )
        return Verdict(True, "")
