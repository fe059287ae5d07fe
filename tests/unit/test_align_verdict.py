"""A head is active when it beats chance both ways and the floor on average."""

from dataclasses import replace

import pytest

from eval.alignment_figures import AlignmentReport, DirectionReport
from eval.statistics import UNDEFINED, Estimate
from indexers.encoders.aligned.ranking import RankFigures, chance_of


def direction(r10, low):
    figures = RankFigures(0.0, 0.0, r10, 20.0)
    return DirectionReport(figures, {"r10": Estimate(r10, low, 1.0)}, figures)


CLEAR, LUCK, WORSE = Estimate(0.1, 0.02, 0.2), Estimate(0.1, -0.02, 0.2), Estimate(-0.1, -0.2, -0.02)


def report(head, floor, low=0.2, **margins):
    def both(pair):
        return {"image_to_text": direction(pair[0], low), "text_to_image": direction(pair[1], low)}

    found = {"image_to_text": CLEAR, "text_to_image": CLEAR, "both": CLEAR} | margins
    figures = (100, 100, 50, "", both(head), both(floor), chance_of(100), UNDEFINED, {}, {}, None)
    return AlignmentReport(*figures, margins=found)


@pytest.mark.parametrize(
    ("head", "floor", "low", "margins", "reason"),
    [
        ((0.4, 0.3), (0.2, 0.2), 0.2, {}, ""),
        ((0.4, 0.2), (0.2, 0.25), 0.15, {"text_to_image": LUCK}, ""),
        ((0.3, 0.3), (0.3, 0.3), 0.2, {"both": LUCK}, "0.300, does not clearly beat the floor's 0.300 (ridge)"),
        ((0.4, 0.3), (0.2, 0.2), 0.2, {"both": UNDEFINED}, "does not clearly beat the floor's 0.200"),
        ((0.6, 0.2), (0.2, 0.3), 0.15, {"text_to_image": WORSE}, "text to image R@10 is clearly below the floor's"),
        ((0.4, 0.3), (0.2, 0.2), 0.1, {}, "image to text R@10 0.400 is not clearly above chance 0.100"),
    ],
)
def test_verdict(head, floor, low, margins, reason):
    verdict = report(head, floor, low, **margins).verdict()
    assert verdict.active is (reason == "")
    assert reason in verdict.reason


def test_one_direction_at_chance_is_enough_to_refuse():
    one = report((0.4, 0.4), (0.1, 0.1))
    found = one.head | {"text_to_image": direction(0.4, 0.05)}
    assert "text to image" in replace(one, head=found).verdict().reason


def test_an_interval_without_a_low_end_is_not_above_chance():
    unknown = replace(report((0.4, 0.3), (0.1, 0.1)), head={"image_to_text": direction(0.4, None)})
    assert not unknown.verdict().active
