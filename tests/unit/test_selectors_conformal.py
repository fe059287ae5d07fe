"""Conformal quantiles and certified risks: worked values, and what they guarantee in simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from rag.errors import ConfigError
from rag.selectors.conformal import certified, conformal_quantile, hoeffding_bentkus


def test_the_finite_sample_quantile_of_worked_examples():
    assert conformal_quantile(list(range(1, 10)), 0.9) == 9  # ceil(10 * 0.9) = 9
    assert conformal_quantile(list(range(1, 20)), 0.9) == 18  # ceil(20 * 0.9) = 18, in spite of rounding
    assert conformal_quantile(list(range(1, 9)), 0.9) == math.inf  # 8 values cannot say 0.9
    assert conformal_quantile([1.0, math.inf, math.inf], 0.5) == math.inf
    assert conformal_quantile([], 0.5) == math.inf


@given(st.lists(st.floats(-9, 9), max_size=30), st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_a_higher_target_never_gives_a_tighter_bound(values, one, other):
    low, high = sorted((one, other))
    assert conformal_quantile(values, low) <= conformal_quantile(values, high)


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_the_values_does_not_matter(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    assert conformal_quantile(values, 0.8) == conformal_quantile(shuffled, 0.8)


@pytest.mark.parametrize(("n", "target"), [(99, 0.9), (39, 0.8), (19, 0.95)])
def test_coverage_over_a_thousand_draws_is_the_target(n, target):
    rng = np.random.default_rng(5)
    covered = np.array(
        [
            float(np.mean(draw[n:] <= conformal_quantile(draw[:n].tolist(), target)))
            for draw in rng.gumbel(size=(1000, n + 200))
        ]
    )
    error = covered.std(ddof=1) / 1000**0.5
    assert abs(covered.mean() - target) <= 3 * error


def test_equal_scores_only_raise_the_coverage():
    rng = np.random.default_rng(6)
    draws = rng.integers(0, 4, size=(500, 139)).astype(float)
    covered = [float(np.mean(draw[39:] <= conformal_quantile(draw[:39].tolist(), 0.8))) for draw in draws]
    assert np.mean(covered) >= 0.8


def test_p_values_of_worked_examples():
    # Hoeffding: exp(-100 h(0.05, 0.2)) with h = 0.05 log(1/4) + 0.95 log(0.95/0.8)
    h = 0.05 * math.log(0.25) + 0.95 * math.log(0.95 / 0.8)
    bentkus = math.e * binom.cdf(5, 100, 0.2)
    assert hoeffding_bentkus(0.05, 100, 0.2) == pytest.approx(min(math.exp(-100 * h), bentkus))
    assert hoeffding_bentkus(0.3, 100, 0.2) == 1.0
    assert hoeffding_bentkus(0.0, 50, 0.1) == pytest.approx(0.9**50)
    assert hoeffding_bentkus(1.0, 50, 0.1) == 1.0


@given(st.integers(1, 300), st.floats(0.02, 0.9), st.floats(0, 1), st.floats(0, 1))
def test_a_lower_observed_risk_never_has_a_higher_p_value(n, limit, one, other):
    low, high = sorted((one, other))
    assert 0 <= hoeffding_bentkus(low, n, limit) <= hoeffding_bentkus(high, n, limit) + 1e-12 <= 1 + 1e-9


def test_certified_settings_of_a_table_with_a_known_answer():
    losses = np.zeros((200, 4))
    losses[:, 0] = 1  # always wrong
    losses[:60, 1] = 1  # 30 % wrong
    losses[:4, 2] = 1  # 2 % wrong
    assert certified(losses, 0.1, 0.1) == [2, 3]
    assert certified(losses, 0.1, 0.1, "bonferroni") == [2, 3]
    assert certified(losses[:, :2], 0.1, 0.1) == []
    assert certified(np.zeros((5, 3)), 0.1, 0.1) == []  # five queries certify nothing
    assert certified(np.zeros((0, 3)), 0.1, 0.1) == []


def test_the_fixed_sequence_stops_at_the_first_failure():
    losses = np.zeros((200, 3))
    losses[:, 1] = 1
    assert certified(losses, 0.1, 0.1) == [2]
    assert certified(losses, 0.1, 0.1, "bonferroni") == [0, 2]


@pytest.mark.parametrize("procedure", ["fixed-sequence", "bonferroni"])
def test_a_setting_of_too_high_risk_is_seldom_certified(procedure):
    # Ten settings whose risk falls with k; only the last three are within the limit.
    risks = np.array([0.5, 0.45, 0.4, 0.35, 0.3, 0.27, 0.24, 0.2, 0.15, 0.1])
    rng = np.random.default_rng(9)
    wrong = 0
    for _ in range(400):
        # One uniform number per query for all settings, as nested contexts have.
        losses = (rng.random((150, 1)) < risks).astype(float)
        passed = certified(losses, 0.2, 0.1, procedure)
        wrong += any(risks[column] > 0.2 for column in passed)
    assert wrong / 400 <= 0.1 + 3 * (0.1 * 0.9 / 400) ** 0.5


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: conformal_quantile([1.0], 1.0),
        lambda: conformal_quantile([1.0], 0.0),
        lambda: certified([[0.0]], 0.0, 0.1),
        lambda: certified([[0.0]], 0.1, 1.0),
    ],
)
def test_impossible_shares_are_refused(wrong):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        wrong()


@pytest.mark.parametrize("table", [[0.5, 0.2], [[1.5]], [[-0.1]], [[math.nan]]])
def test_a_table_that_holds_no_losses_is_refused(table):
    with pytest.raises(ValueError, match="losses"):
        certified(table, 0.1, 0.1)
