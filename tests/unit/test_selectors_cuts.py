"""Cuts of sorted scores: worked values, traps, and properties of all of them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import ConfigError
from rag.selectors import Above, LargestGap, LogRatio, TopK, TopRatio, TwoGroups

SCORES = st.lists(st.floats(-1e6, 1e6), max_size=40).map(lambda scores: sorted(scores, reverse=True))
ROUND = st.lists(st.integers(-3, 3).map(float), max_size=12).map(lambda scores: sorted(scores, reverse=True))
CUTS = [TopK(3), Above(0.5), LogRatio(0.3), TopRatio(1.5), LargestGap(1, 8), LargestGap(2, 8, 1), TwoGroups()]
NAMES = [f"{number} {type(cut).__name__}" for number, cut in enumerate(CUTS)]


@pytest.mark.parametrize("cut", CUTS, ids=NAMES)
class TestEveryCut:
    @given(scores=SCORES | ROUND)
    def test_keeps_a_leading_part(self, cut, scores):
        assert 0 <= cut.count(scores) <= len(scores)

    def test_nothing_stays_nothing(self, cut):
        assert cut.count([]) == 0

    def test_one_good_score_is_kept(self, cut):
        assert cut.count([2.0]) == 1

    @given(n=st.integers(1, 12))
    def test_equal_scores_are_all_kept_up_to_the_bound(self, cut, n):
        most = {TopK: 3, LargestGap: 8}.get(type(cut), n)
        assert cut.count([1.0] * n) == min(n, most)

    def test_says_why(self, cut):
        assert cut.words()


def test_log_ratio_ends_at_the_first_drop_above_gamma():
    scores = [0.9, 0.8, 0.4, 0.1]  # log ratios 0.118, 0.693, 1.386
    assert LogRatio(0.5).count(scores) == 2
    assert LogRatio(0.7).count(scores) == 3
    assert LogRatio(1.4).count(scores) == 4
    assert LogRatio(0.1).count(scores) == 1


def test_log_ratio_ends_before_a_score_that_has_no_logarithm():
    assert LogRatio(1e9).count([0.5, 0.4, 0.0, -1.0]) == 2
    assert LogRatio(1e9).count([0.0, -1.0]) == 0
    assert LogRatio(1e9).count([-0.1, -0.2]) == 0


def test_log_ratio_takes_numbers_whose_quotient_overflows():
    assert LogRatio(1e4).count([1e308, 5e-324]) == 2


def test_top_ratio_keeps_what_is_near_the_best():
    assert TopRatio(1.5).count([0.9, 0.7, 0.61, 0.6, 0.2]) == 3  # 0.9 / 0.6 = 1.5 is not below 1.5
    assert TopRatio(1.0).count([0.9, 0.9, 0.8]) == 2


def test_top_ratio_is_not_fooled_by_negative_scores():
    # The released code keeps these: 0.9 / -0.5 is below 1.5.
    assert TopRatio(1.5).count([0.9, 0.0, -0.5, -3.0]) == 1
    assert TopRatio(1.5).count([-0.5, -3.0]) == 0


def test_largest_gap_with_bounds_and_buffer():
    scores = [0.9, 0.5, 0.45, 0.44, 0.1]
    assert LargestGap(1, 5).count(scores) == 1
    assert LargestGap(2, 5).count(scores) == 4
    assert LargestGap(2, 3).count(scores) == 2
    assert LargestGap(1, 5, 2).count(scores) == 3
    assert LargestGap(1, 2, 5).count(scores) == 2
    assert LargestGap(3, 5).count(scores[:2]) == 2


def test_the_first_of_equal_gaps_counts():
    assert LargestGap(1, 5).count([3.0, 2.0, 1.0, 0.0]) == 1


def test_two_groups_are_told_apart():
    scores = [0.91, 0.9, 0.89, 0.3, 0.29, 0.28, 0.27, 0.26]
    assert TwoGroups().count(scores) == 3
    assert TwoGroups(head=2).count([0.9, 0.9, 0.1]) == 2


@pytest.mark.parametrize(("cut", "looser"), [(Above(0.5), Above(0.2)), (LogRatio(0.2), LogRatio(0.6)),
                                             (TopRatio(1.2), TopRatio(1.9)), (TopK(2), TopK(5))])  # fmt: skip
@given(scores=SCORES | ROUND)
def test_a_looser_parameter_never_keeps_less(cut, looser, scores):
    assert cut.count(scores) <= looser.count(scores)


@given(scores=SCORES | ROUND, data=st.data())
@pytest.mark.parametrize("made", [Above, LogRatio, TopRatio, TopK])
def test_the_critical_value_is_the_tightest_that_keeps_a_place(made, scores, data):
    if not scores:
        return
    place = data.draw(st.integers(0, len(scores) - 1))
    value = made.critical(scores, place)
    if math.isinf(value):
        assert scores[place] <= 0 or made is TopRatio  # the quotient of a very small score overflows
        return
    assert cut_of(made, value).count(scores) > place
    tighter = math.nextafter(value, -math.inf) if made is not TopK else value - 1
    if made is Above or (made is LogRatio and tighter >= 0) or (made is TopRatio and tighter >= 1) or made is TopK:
        assert cut_of(made, tighter).count(scores) <= place


def cut_of(made, value):
    return Above(-value) if made is Above else made(round(value)) if made is TopK else made(value)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: TopK(-1),
        lambda: Above(math.nan),
        lambda: LogRatio(-0.1),
        lambda: LogRatio(math.nan),
        lambda: TopRatio(0.9),
        lambda: LargestGap(3, 2),
        lambda: LargestGap(0, 2),
        lambda: LargestGap(1, 2, -1),
        lambda: TwoGroups(0),
    ],
)
def test_impossible_parameters_are_refused(wrong):
    with pytest.raises(ConfigError):
        wrong()
