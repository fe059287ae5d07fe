"""Tests, corrections, effect sizes, tied groups and factor effects against SciPy and published worked values."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.statistics_check import bootstrap_coverage, sign_flip_error
from eval.statistics import BootstrapOptions, wins_ties_losses
from eval.statistics_effects import (
    ComparisonOptions,
    cliffs_delta,
    compare_paired,
    compare_to_baseline,
    paired_d,
    subgroup_means,
)
from eval.statistics_factors import Design, interactions, main_effects
from eval.statistics_families import (
    all_pairs_test,
    benjamini_hochberg,
    group_letters,
    holm,
    significant_pairs,
    tied_groups,
)
from eval.statistics_tests import RandomisationOptions, mcnemar_test, sign_flip_test, wilson_interval
from rag.errors import ConfigError

QUICK = ComparisonOptions(BootstrapOptions(resamples=500), RandomisationOptions(resamples=500))


def zeros_like(values):
    return np.zeros(len(values))


def test_the_published_sign_flip_value_of_one_to_five():
    found = sign_flip_test(np.arange(1.0, 6.0), np.zeros(5))
    assert (found.p, found.exact, found.n, found.clusters) == (0.0625, True, 5, 5)
    assert found.difference == 3.0


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-8, 8), min_size=2, max_size=9))
def test_the_exact_sign_flip_is_scipys(gaps):
    values = np.array(gaps, dtype=float)
    theirs = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert sign_flip_test(values, zeros_like(values)).p == pytest.approx(min(1.0, theirs))


def test_the_random_sign_flip_is_scipys():
    values = np.random.default_rng(1).normal(0.12, 1, 200)
    ours = sign_flip_test(values, zeros_like(values))
    theirs = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=5_000, rng=np.random.default_rng(2)
    ).pvalue
    assert not ours.exact
    assert ours.p == pytest.approx(theirs, abs=0.025)
    assert ours == sign_flip_test(values, zeros_like(values))  # the seed is fixed
    assert ours.p == pytest.approx(stats.ttest_rel(values, zeros_like(values)).pvalue, abs=0.02)


def test_a_random_p_value_is_never_zero():
    found = sign_flip_test(np.ones(50), np.zeros(50), options=RandomisationOptions(resamples=999))
    assert found.p == pytest.approx(1 / 1000)


def test_equal_answers_of_one_patient_count_once():
    gaps = np.repeat(np.arange(1.0, 6.0), 20)
    patients = np.repeat(np.arange(5), 20).tolist()
    clustered = sign_flip_test(gaps, np.zeros(100), patients)
    assert (clustered.p, clustered.clusters, clustered.n) == (0.0625, 5, 100)
    assert sign_flip_test(gaps, np.zeros(100)).p < 0.001


def test_no_difference_and_no_question():
    assert sign_flip_test([1, 0, 1], [1, 0, 1]).p == 1.0
    assert sign_flip_test([], []).p is None
    assert mcnemar_test([], []).p is None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sign_flip_test([1.0], [1.0, 2.0]), "not of the same questions"),
        (lambda: sign_flip_test([float("nan")], [1.0]), "finite numbers"),
        (lambda: sign_flip_test([1.0, 2.0], [1.0, 2.0], ["a"]), "1 cluster names for 2 questions"),
        (lambda: mcnemar_test([0.5], [1]), "right or wrong"),
        (lambda: wilson_interval(3, 2), "3 right of 2"),
        (lambda: holm([0.5, 1.5]), "from 0 to 1"),
        (lambda: benjamini_hochberg([float("nan")]), "from 0 to 1"),
        (lambda: all_pairs_test(np.zeros((0, 3))), "one row per question"),
        (lambda: compare_to_baseline({"a": [1.0]}, "b"), "not among the systems"),
        (lambda: compare_paired({"a": [1.0]}), "needs two systems"),
        (lambda: subgroup_means([1.0], ["x", "y"]), "group names"),
    ],
)
def test_impossible_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_too_few_patterns_and_impossible_levels_are_refused():
    with pytest.raises(ConfigError, match="at least 99"):
        RandomisationOptions(resamples=10)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        wilson_interval(1, 2, level=1.0)


def test_the_published_mcnemar_value():
    first = [1] * 8 + [0] * 20 + [1] * 5 + [0] * 5
    second = [0] * 8 + [1] * 20 + [1] * 5 + [0] * 5
    found = mcnemar_test(first, second)
    assert (found.only_first, found.only_second, found.n) == (8, 20, 38)
    assert found.p == pytest.approx(0.035698, abs=5e-7)


@given(st.integers(0, 30), st.integers(0, 30))
def test_mcnemar_is_scipys_binomial_test(only_first, only_second):
    first = [1] * only_first + [0] * only_second + [1]
    second = [0] * only_first + [1] * only_second + [1]
    total = only_first + only_second
    expected = stats.binomtest(only_first, total, 0.5).pvalue if total else 1.0
    assert mcnemar_test(first, second).p == pytest.approx(expected)


def test_the_published_wilson_value():
    found = wilson_interval(70, 100)
    assert (found.low, found.high) == (pytest.approx(0.6042, abs=5e-5), pytest.approx(0.7811, abs=5e-5))


@given(st.integers(1, 200), st.data())
def test_wilson_is_scipys(n, data):
    right = data.draw(st.integers(0, n))
    theirs = stats.binomtest(right, n).proportion_ci(method="wilson")
    ours = wilson_interval(right, n)
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=1e-12), pytest.approx(theirs.high, abs=1e-12))


def test_wilson_of_nothing_is_undefined():
    assert wilson_interval(0, 0).value is None


def test_the_published_corrections():
    p = [0.01, 0.02, 0.03, 0.2]
    assert holm(p) == pytest.approx([0.04, 0.06, 0.06, 0.2])
    assert benjamini_hochberg(p) == pytest.approx([0.04, 0.04, 0.04, 0.2])
    assert holm(p[::-1]) == pytest.approx([0.2, 0.06, 0.06, 0.04])
    assert holm([]).size == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_benjamini_hochberg_is_scipys_and_holm_is_stricter(p):
    ours = benjamini_hochberg(p)
    assert ours == pytest.approx(stats.false_discovery_control(p, method="bh"))
    assert (holm(p) >= ours - 1e-12).all()
    assert (holm(p) >= np.array(p)).all()


def test_corrections_are_those_of_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = np.random.default_rng(0).uniform(size=15)
    assert holm(p) == pytest.approx(multitest.multipletests(p, method="holm")[1])
    assert benjamini_hochberg(p) == pytest.approx(multitest.multipletests(p, method="fdr_bh")[1])


def test_all_pairs_of_two_systems_is_the_sign_flip_test():
    table = np.random.default_rng(4).normal(size=(40, 2)) + np.array([0.4, 0.0])
    ours = all_pairs_test(table, options=RandomisationOptions(resamples=4000))
    assert ours[0, 1] == ours[1, 0] == pytest.approx(sign_flip_test(table[:, 0], table[:, 1]).p, abs=0.02)
    assert ours[0, 0] == 1.0


def test_all_pairs_is_stricter_with_more_systems_and_sees_clusters():
    rng = np.random.default_rng(5)
    base = rng.normal(size=(12, 3)) + np.array([0.8, 0.0, 0.1])
    three = all_pairs_test(base, options=RandomisationOptions(resamples=2000))
    two = all_pairs_test(base[:, :2], options=RandomisationOptions(resamples=2000))
    assert three[0, 1] > two[0, 1]
    repeated = all_pairs_test(
        np.repeat(base, 6, axis=0), np.repeat(np.arange(12), 6).tolist(), RandomisationOptions(resamples=2000)
    )
    assert repeated[0, 1] == pytest.approx(three[0, 1], abs=0.02)


def test_tied_groups_of_piephos_kind():
    # a differs from c, b from nothing: a and b share a letter, b and c share another.
    different = {frozenset("ac")}
    assert tied_groups(["a", "b", "c"], different) == [frozenset("ab"), frozenset("bc")]
    assert group_letters(["a", "b", "c"], different) == {"a": "a", "b": "ab", "c": "b"}
    assert group_letters(["a", "b"], set()) == {"a": "a", "b": "a"}


@given(st.sets(st.sampled_from([frozenset(pair) for pair in itertools.combinations("abcdef", 2)])))
def test_systems_share_a_letter_exactly_when_they_do_not_differ(different):
    letters = group_letters(list("abcdef"), different)
    for one, two in itertools.combinations("abcdef", 2):
        assert bool(set(letters[one]) & set(letters[two])) == (frozenset((one, two)) not in different)


def test_significant_pairs_reads_the_table():
    adjusted = np.array([[1.0, 0.01, 0.3], [0.01, 1.0, 0.04], [0.3, 0.04, 1.0]])
    assert significant_pairs(["x", "y", "z"], adjusted) == {frozenset("xy"), frozenset("yz")}


def test_effect_sizes():
    assert paired_d([1, 2, 3, 4], [0, 0, 0, 0]) == pytest.approx(2.5 / np.std([1, 2, 3, 4], ddof=1))
    assert paired_d([1, 1], [0, 0]) is None
    assert paired_d([1], [0]) is None
    assert cliffs_delta([1, 2], [3, 4]) == -1.0
    assert cliffs_delta([], [1]) is None


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_cliffs_delta_by_counting_and_by_mann_whitney(first, second):
    pairs = [np.sign(x - y) for x in first for y in second]
    ours = cliffs_delta(first, second)
    assert ours == pytest.approx(np.mean(pairs))
    u = stats.mannwhitneyu(first, second, method="asymptotic").statistic
    assert ours == pytest.approx(2 * u / (len(first) * len(second)) - 1)


def test_ties_have_a_tolerance():
    first, second = np.array([0.50, 0.58, 0.30]), np.array([0.51, 0.50, 0.50])
    assert wins_ties_losses(first, second) == (1, 0, 2)
    assert wins_ties_losses(first, second, 0.02) == (1, 1, 1)


def test_a_family_carries_adjusted_p_values():
    rng = np.random.default_rng(7)
    base = rng.normal(size=30)
    systems = {"base": base, "better": base + 1 + rng.normal(0, 0.2, 30), "same": base + rng.normal(0, 0.2, 30)}
    better, same = compare_to_baseline(systems, "base", options=QUICK)
    assert (better.first, better.second, better.n, better.clusters) == ("better", "base", 30, 30)
    assert better.difference.low > 0
    assert better.is_significant()
    assert not same.is_significant()
    assert better.p_holm == pytest.approx(min(1.0, 2 * better.p))
    assert better.wins == 30
    assert better.means[0] > better.means[1]


def test_a_family_without_questions_is_undefined():
    [only] = compare_to_baseline({"base": [], "other": []}, "base", options=QUICK)
    assert (only.n, only.p, only.p_holm, only.means) == (0, None, None, (None, None))
    assert not only.is_significant()


def test_subgroups_come_with_their_n_largest_first():
    small, large = subgroup_means([1, 0, 1, 1, 1], ["ct", "ct", "mri", "mri", "mri"], list("aabcc"))[::-1]
    assert (large.name, large.n, large.clusters, large.mean.value) == ("mri", 3, 2, 1.0)
    assert (small.name, small.n, small.clusters, small.mean.value) == ("ct", 2, 1, 0.5)


def two_by_two(cells=None):
    """Scores 1 + 2[k=5] + 1[rerank=yes] + 3[both] and noise that is shared by all cells of a question."""
    cells = cells or [{"k": k, "rerank": r} for k in ("1", "5") for r in ("no", "yes")]
    noise = np.random.default_rng(3).normal(size=(25, 1))
    effect = [1 + 2 * (c["k"] == "5") + (c["rerank"] == "yes") + 3 * (c == {"k": "5", "rerank": "yes"}) for c in cells]
    return Design(cells, noise + np.array(effect, dtype=float))


def test_main_effects_and_interaction_of_a_known_model():
    k, rerank = main_effects(two_by_two(), options=QUICK)
    assert k.levels == (("k", "5"),)
    assert k.reference == (("k", "1"),)
    assert (k.size.value, rerank.size.value) == (pytest.approx(3.5), pytest.approx(2.5))
    assert k.matched == 2
    assert k.p < 0.01
    [both] = interactions(two_by_two(), options=QUICK)
    assert (both.size.value, both.matched, both.n) == (pytest.approx(3.0), 1, 25)


def test_the_reference_value_can_be_chosen():
    k, _ = main_effects(two_by_two(), {"k": "5"}, QUICK)
    assert k.reference == (("k", "5"),)
    assert k.size.value == pytest.approx(-3.5)
    with pytest.raises(ValueError, match="no k = 7"):
        main_effects(two_by_two(), {"k": "7"})


def test_an_incomplete_design_uses_its_matched_cells():
    cells = [{"k": "1", "rerank": "no"}, {"k": "5", "rerank": "no"}, {"k": "5", "rerank": "yes"}]
    k, rerank = main_effects(two_by_two(cells), options=QUICK)
    assert (k.matched, k.size.value) == (1, pytest.approx(2.0))
    assert (rerank.matched, rerank.size.value) == (1, pytest.approx(4.0))
    [both] = interactions(two_by_two(cells), options=QUICK)
    assert (both.matched, both.p, both.size.value) == (0, None, None)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([{"k": "1"}], "for 1 cells"),
        ([{"k": "1"}, {"k": "1"}], "average the repeats"),
        ([{"k": "1"}, {"m": "1"}], "same factors"),
    ],
)
def test_a_design_must_fit_its_scores(cells, words):
    with pytest.raises(ValueError, match=words):
        Design(cells, np.zeros((3, 2)))


def test_simulated_coverage_and_error_are_near_their_levels():
    # Loose bounds: 150 simulations have a standard error of 1.8 points.
    assert bootstrap_coverage(simulations=150, questions=80, seed=1)["bca"] == pytest.approx(0.94, abs=0.055)
    assert sign_flip_error(simulations=150, patients=30, per_patient=4, seed=1)["clustered"] <= 0.11
