"""Bootstrap intervals against SciPy, exact enumeration, and their edge cases."""

import itertools

import numpy as np
import pytest
from scipy import stats

from eval.statistics import (
    BootstrapOptions,
    Estimate,
    bootstrap,
    mean_interval,
    paired_ratio,
    wins_ties_losses,
)
from rag.errors import ConfigError

MANY = BootstrapOptions(resamples=40_000, seed=3)


@pytest.fixture
def skewed():
    return np.random.default_rng(5).exponential(size=60)


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_the_interval_of_a_mean_is_scipys(skewed, method):
    theirs = stats.bootstrap(
        (skewed,), np.mean, n_resamples=40_000, method=method, rng=np.random.default_rng(9)
    ).confidence_interval
    ours = mean_interval(skewed, BootstrapOptions(resamples=40_000, method=method))
    assert ours.value == pytest.approx(skewed.mean())
    # Two seeds of 40,000 resamples differ by about 1 % of the interval's width.
    assert ours.low == pytest.approx(theirs.low, abs=0.012)
    assert ours.high == pytest.approx(theirs.high, abs=0.012)


def test_a_paired_difference_is_scipys_of_the_differences(skewed):
    other = skewed * 0.7 + np.random.default_rng(6).normal(0, 0.1, 60)
    theirs = stats.bootstrap(
        (skewed - other,), np.mean, n_resamples=40_000, method="BCa", rng=np.random.default_rng(9)
    ).confidence_interval
    ours = bootstrap(np.column_stack([skewed, other]), MANY).difference(0, 1)
    assert ours.value == pytest.approx(np.mean(skewed - other))
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=0.004), pytest.approx(theirs.high, abs=0.004))


def test_a_paired_ratio_is_scipys_ratio_of_means(skewed):
    other = skewed * 0.7 + np.random.default_rng(6).uniform(0, 0.3, 60)
    theirs = stats.bootstrap(
        (skewed, other), lambda a, b, axis: a.mean(axis) / b.mean(axis), paired=True, n_resamples=20_000,
        method="BCa", rng=np.random.default_rng(9),
    ).confidence_interval  # fmt: skip
    ours = paired_ratio(skewed, other, MANY)
    assert ours.value == pytest.approx(skewed.mean() / other.mean())
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=0.006), pytest.approx(theirs.high, abs=0.006))


def test_replicates_follow_the_exact_distribution_of_three_values():
    values = np.array([0.0, 0.0, 1.0])
    exact = np.mean([np.mean(draw) >= 2 / 3 for draw in itertools.product(values, repeat=3)])
    replicates = bootstrap(values[:, None], MANY).replicates[:, 0]
    assert np.mean(replicates >= 2 / 3 - 1e-9) == pytest.approx(exact, abs=0.01)


def test_whole_clusters_are_resampled():
    # Ten patients with ten equal answers each hold ten observations, not a hundred.
    values = np.repeat([0, 1, 0, 1, 0, 1, 0, 1, 0, 1], 10).astype(float)
    patients = np.repeat(np.arange(10), 10).tolist()
    clustered = mean_interval(values, clusters=patients)
    ten = mean_interval(values[::10])
    loose = mean_interval(values)
    assert (clustered.low, clustered.high) == pytest.approx((ten.low, ten.high))
    assert clustered.high - clustered.low > 2 * (loose.high - loose.low)


def test_a_cluster_mean_weighs_every_query_alike():
    resampled = bootstrap([[1.0], [1.0], [1.0], [0.0]], clusters=["a", "a", "a", "b"])
    assert resampled.means[0] == pytest.approx(0.75)
    assert sorted(set(np.round(resampled.replicates[:, 0], 9))) == [0.0, 0.75, 1.0]
    assert resampled.clusters == 2


def test_the_same_seed_gives_the_same_interval_and_another_does_not(skewed):
    first, again = (mean_interval(skewed, BootstrapOptions(seed=1)) for _ in range(2))
    assert first == again
    assert first != mean_interval(skewed, BootstrapOptions(seed=2))


def test_more_columns_and_smaller_blocks_change_nothing(skewed, monkeypatch):
    alone = bootstrap(skewed[:, None]).mean(0)
    monkeypatch.setattr("eval.statistics._BLOCK_DRAWS", 6_001)
    beside = bootstrap(np.column_stack([skewed, skewed**2])).mean(0)
    assert (beside.low, beside.high) == pytest.approx((alone.low, alone.high), abs=1e-12)


def test_without_spread_the_interval_is_the_value():
    assert mean_interval(np.ones(20)) == Estimate(1.0, 1.0, 1.0)
    assert mean_interval([0.4]) == Estimate(0.4, 0.4, 0.4)
    assert mean_interval([0.25, 0.75], clusters=["p", "p"]) == Estimate(0.5, 0.5, 0.5)


def test_no_query_has_no_figure():
    assert mean_interval([]) == Estimate(None, None, None)
    assert paired_ratio([], []) == Estimate(None, None, None)


def test_a_ratio_to_zero_is_undefined():
    assert paired_ratio([1.0, 1.0], [0.0, 0.0]) == Estimate(None, None, None)


def test_a_ratio_to_almost_nothing_has_no_upper_limit():
    ratio = paired_ratio([1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0])
    assert (ratio.value, ratio.high) == (4.0, None)
    assert ratio.low is not None
    assert ratio.as_json()["high"] is None


def test_coverage_of_the_interval_is_near_its_level():
    rng = np.random.default_rng(0)
    options = BootstrapOptions(resamples=600)
    covered = 0
    for _ in range(200):
        estimate = mean_interval(rng.binomial(1, 0.7, size=60), options)
        covered += estimate.low <= 0.7 <= estimate.high
    assert 0.90 <= covered / 200 <= 0.99


def test_wins_ties_and_losses_ignore_rounding():
    assert wins_ties_losses(np.array([1.0, 0.5, 0.1 + 0.2, 0.0]), np.array([0.5, 1.0, 0.3, 0.0])) == (1, 2, 1)


@pytest.mark.parametrize("wrong", [{"resamples": 10}, {"level": 1.0}, {"level": 95.0}])
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ConfigError):
        BootstrapOptions(**wrong)


def test_a_table_that_is_not_finite_or_has_other_clusters_is_refused():
    with pytest.raises(ValueError, match="finite"):
        mean_interval([0.1, float("nan")])
    with pytest.raises(ValueError, match="2 cluster names for 3 queries"):
        mean_interval([0.1, 0.2, 0.3], clusters=["a", "b"])
