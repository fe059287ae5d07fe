"""The fusion score, computed by hand on matrices of three query rows and four page rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.token_fusion import TokenFusionOptions, fusion_score, mean_maxsim, row_kurtosis

# Row means 1/4, 1/2, 0; variances 3/16, 1/4, 0; fourth moments 21/256, 1/16, 0: kurtosis 7/3, 1, none.
TEXT = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]], dtype=np.float32)
# Kurtosis 7/3, 7/3, 1.
IMAGE = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0]], dtype=np.float32)
# Standard deviations sqrt(3)/4, 1/2, 0: their mean square is 7/48, and the spread of the three follows.
SPREAD = math.sqrt(7 / 48 - ((math.sqrt(3) / 4 + 1 / 2) / 3) ** 2)
MAXSIM = 2 / 3


def test_kurtosis_by_hand():
    assert row_kurtosis(TEXT) == pytest.approx([7 / 3, 1, 0])
    assert row_kurtosis(TEXT, TokenFusionOptions(kurtosis="excess")) == pytest.approx([-2 / 3, -2, 0])


@pytest.mark.parametrize(
    ("options", "words", "seen"),
    [
        (TokenFusionOptions(), (49 / 9 + 1) / 3, 17 / 9),
        (TokenFusionOptions(square="outside"), ((7 / 3 + 1) / 3) ** 2, 17 / 9),
        (TokenFusionOptions("excess"), (4 / 9 + 4) / 3, -10 / 9),
        (TokenFusionOptions("excess", "outside"), ((-2 / 3 - 2) / 3) ** 2, -10 / 9),
    ],
)
def test_score_by_hand(options, words, seen):
    assert fusion_score(TEXT, IMAGE, options) == pytest.approx(SPREAD * words * seen + MAXSIM)
    assert fusion_score(TEXT, None, options) == pytest.approx(SPREAD * words + MAXSIM)


def test_without_spread_only_maxsim_is_left():
    flat = np.full((3, 4), 0.25)
    assert fusion_score(flat, IMAGE) == pytest.approx(0.25)
    one_column = np.array([[0.2], [0.4]])
    assert fusion_score(one_column, None) == pytest.approx(0.3)


def test_one_query_row_has_no_spread_between_rows():
    assert fusion_score(TEXT[:1], IMAGE) == pytest.approx(1.0)


def test_the_images_level_does_not_count_only_its_shape():
    assert fusion_score(TEXT, IMAGE * 0.5 + 0.1) == pytest.approx(fusion_score(TEXT, IMAGE))


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (4,)])
def test_an_empty_matrix_is_refused(shape):
    with pytest.raises(ValueError, match="query rows x page rows"):
        fusion_score(np.zeros(shape), None)


def test_matrices_of_two_pages_are_refused():
    with pytest.raises(ValueError, match="4 page rows and the image 3"):
        fusion_score(TEXT, IMAGE[:, :3])


@given(st.integers(0, 10_000), st.permutations(range(6)), st.permutations(range(5)))
def test_order_of_rows_and_columns_does_not_matter(seed, columns, rows):
    rng = np.random.default_rng(seed)
    text, image = rng.uniform(-1, 1, (5, 6)), rng.uniform(-1, 1, (7, 6))
    shuffled = fusion_score(text[np.ix_(rows, columns)], image[:, columns])
    assert shuffled == pytest.approx(fusion_score(text, image))


@given(st.integers(0, 10_000))
def test_mean_maxsim_is_maxsim_over_rows(seed):
    text = np.random.default_rng(seed).uniform(-1, 1, (5, 6))
    assert mean_maxsim(text) == pytest.approx(sum(max(row) for row in text.tolist()) / 5)
