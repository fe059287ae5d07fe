"""Differences that only rounding makes are none: neither a test nor a count of wins may see them."""

import numpy as np
import pytest

from eval.statistics_effects import compare_paired
from eval.statistics_factors import Design, interactions, main_effects
from eval.statistics_tests import sign_flip_test

NOISE = 0.1 + 0.2 - 0.3
"""5.6e-17, and always on one side: a test of signs would be sure of it."""


def test_rounding_on_one_side_is_no_effect():
    second = np.full(40, 0.3)
    first = second + NOISE
    assert (first > second).all()
    found = sign_flip_test(first, second)
    assert (found.p, found.difference) == (1.0, 0.0)
    compared = compare_paired({"first": first, "second": second})
    assert (compared.wins, compared.ties, compared.losses) == (0, 40, 0)


def test_a_small_difference_is_still_one():
    found = sign_flip_test(np.full(40, 1e-9), np.zeros(40))
    assert found.p == pytest.approx(1 / 10_001)
    assert found.difference == pytest.approx(1e-9)


def test_effects_of_cells_that_score_the_same_are_exactly_none():
    """Cells of one value per question: the mean of their contrasts may be 1e-17, and is reported as 0."""
    table = np.random.default_rng(0).random((20, 1)) * np.ones((1, 6))
    table = table + np.array([0, NOISE, -NOISE, NOISE, 0, -NOISE])
    cells = [{"k": k, "rerank": on} for k in ("1", "2", "5") for on in ("off", "on")]
    design = Design(cells, table)
    for effect in (*main_effects(design), *interactions(design)):
        assert (effect.size.value, effect.p) == (0.0, 1.0)
