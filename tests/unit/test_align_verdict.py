"""A head is active when it beats chance both ways and the floor on average."""

from dataclasses import replace

import pytest

from eval.alignment import AlignmentReport, DirectionReport
from eval.statistics import UNDEFINED, Estimate
from indexers.encoders.aligned.ranking import RankFigures, chance_of


def direction(r10, low):
    figures = RankFigures(0.0, 0.0, r10, 20.0)
    return DirectionReport(figures, {"r10": Estimate(r10, low, 1.0)}, figures)


def report(head, floor, low=0.2):
    def both(pair):
        return {"image_to_text": direction(pair[0], low), "text_to_image": direction(pair[1], low)}

    return AlignmentReport(100, 100, 50, "", both(head), both(floor), chance_of(100), UNDEFINED, {}, {}, None)


@pytest.mark.parametrize(
    ("head", "floor", "low", "reason"),
    [
        ((0.4, 0.3), (0.2, 0.2), 0.2, ""),
        ((0.4, 0.2), (0.2, 0.25), 0.15, ""),
        ((0.3, 0.3), (0.3, 0.3), 0.2, "does not beat the ridge floor's 0.300"),
        ((0.4, 0.3), (0.2, 0.2), 0.1, "not clearly above chance 0.100"),
    ],
)
def test_verdict(head, floor, low, reason):
    verdict = report(head, floor, low).verdict()
    assert verdict.active is (reason == "")
    assert reason in verdict.reason


def test_an_interval_without_a_low_end_is_not_above_chance():
    unknown = replace(report((0.4, 0.3), (0.1, 0.1)), head={"image_to_text": direction(0.4, None)})
    assert not unknown.verdict().active
