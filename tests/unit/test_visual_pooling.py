import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexers.encoders.pooling import ward_labels
from indexers.encoders.visual.grids import tiled_grid, uniform_grid
from indexers.encoders.visual.options import VisualOptions
from indexers.encoders.visual.pooling import averaging, band_weights, group_boxes, token_groups
from indexers.encoders.visual.rows import finished, placed


def unit(rng, n, dim=16):
    rows = rng.normal(size=(n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def scaled(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_averaging_is_the_mean_of_each_group(rng):
    rows = unit(rng, 6)
    weights = averaging([0, 1, 0, -1, 1, 1])
    np.testing.assert_allclose(weights @ rows, [rows[[0, 2]].mean(0), rows[[1, 4, 5]].mean(0)], atol=1e-6)


def test_groups_that_nobody_is_in_leave_no_row():
    assert averaging([0, 3, 3]).shape == (2, 3)
    assert averaging([]).shape == (0, 0)


def test_bands_are_means_over_rows_and_columns_of_patches(rng):
    patches = unit(rng, 12)
    grid = uniform_grid(3, 4)
    by_place = patches.reshape(3, 4, -1)
    np.testing.assert_allclose(scaled(band_weights(grid, "rows") @ patches), scaled(by_place.mean(1)), atol=1e-5)
    np.testing.assert_allclose(scaled(band_weights(grid, "columns") @ patches), scaled(by_place.mean(0)), atol=1e-5)
    assert len(band_weights(grid, "rows-columns")) == 3 + 4


def test_bands_run_across_tiles_and_leave_out_the_small_view(rng):
    patches = unit(rng, 2 * 4 + 4)
    rows = scaled(band_weights(tiled_grid(1, 2, 2), "rows") @ patches)
    np.testing.assert_allclose(rows[0], scaled(patches[[0, 1, 4, 5]].mean(0)), atol=1e-5)
    assert len(rows) == 2


def test_clusters_join_what_is_alike(rng):
    centres = unit(rng, 4)
    rows = scaled(np.repeat(centres, 5, axis=0) + 0.01 * rng.normal(size=(20, 16)))
    shuffled = rng.permutation(20)
    labels = ward_labels(rows[shuffled] @ rows[shuffled].T, 4)
    assert len(set(zip(labels, shuffled // 5, strict=True))) == 4
    assert labels[0] == 0  # numbered by their first member


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 5))
def test_clusters_are_numbered_without_gaps_and_as_many_as_asked(n, groups, seed):
    rows = unit(np.random.default_rng(seed), n)
    labels = ward_labels(rows @ rows.T, groups)
    assert sorted(set(labels.tolist())) == list(range(min(n, max(groups, 1))))


def test_equal_rows_do_not_break_clustering():
    rows = np.tile([[1.0, 0.0]], (9, 1))
    assert ward_labels(rows @ rows.T, 3).max() == 2


@pytest.mark.parametrize(("n", "factor", "groups"), [(700, 3, 233), (2, 3, 1), (9, 1, 9)])
def test_token_pooling_divides_the_rows(n, factor, groups):
    assert token_groups(n, factor) == groups


def test_a_group_is_boxed_by_those_of_its_rows_that_have_a_place():
    nowhere = [np.nan] * 4
    boxes = np.array([[0, 0, 0.5, 0.5], nowhere, [0.5, 0.5, 1, 1], nowhere], dtype=np.float32)
    found = group_boxes(boxes, np.array([0, 0, 0, 1]))
    np.testing.assert_allclose(found[0], [0, 0, 1, 1])
    assert np.isnan(found[1]).all()


def test_a_page_becomes_its_full_rows_and_the_means_of_its_patches(rng):
    rows = 3 * unit(rng, 8)
    is_patch = np.array([False, *[True] * 6, False])
    vectors = finished(rows, is_patch, uniform_grid(2, 3), VisualOptions("m", coarse="rows"))
    np.testing.assert_allclose(vectors["visual"], rows / 3, atol=1e-5)
    np.testing.assert_allclose(vectors["visual_coarse"], scaled((rows[1:7] / 3).reshape(2, 3, -1).mean(1)), atol=1e-5)
    assert vectors["visual"].dtype == vectors["visual_coarse"].dtype == np.float32


def test_the_first_stage_has_the_means_of_runs_of_coarse_rows(rng):
    vectors = finished(unit(rng, 40), np.ones(40, bool), uniform_grid(20, 2), VisualOptions("m", coarse="rows"))
    coarse, first = vectors["visual_coarse"], vectors["visual_first"]
    assert (len(coarse), len(first)) == (20, 8)
    np.testing.assert_allclose(first[0], scaled(coarse[:3].mean(0, keepdims=True))[0], atol=1e-5)
    few = finished(unit(rng, 6), np.ones(6, bool), uniform_grid(3, 2), VisualOptions("m", coarse="rows"))
    np.testing.assert_allclose(few["visual_first"], few["visual_coarse"], atol=1e-6)


def test_token_pooling_shortens_the_full_rows_alone(rng):
    rows = unit(rng, 30)
    grid, everything = uniform_grid(5, 6), np.ones(30, dtype=bool)
    plain = finished(rows, everything, grid, VisualOptions("m"))
    short = finished(rows, everything, grid, VisualOptions("m", pool_factor=3))
    assert len(short["visual"]) == 10
    np.testing.assert_allclose(np.linalg.norm(short["visual"], axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(short["visual_coarse"], plain["visual_coarse"])


def test_without_a_first_stage_there_is_one_channel(rng):
    assert list(finished(unit(rng, 4), np.ones(4, bool), None, VisualOptions("m", coarse="none"))) == ["visual"]


def test_clusters_make_as_many_coarse_rows_as_the_page_has_rows_of_patches(rng):
    options = VisualOptions("m", coarse="hierarchical")
    assert len(finished(unit(rng, 30), np.ones(30, bool), uniform_grid(5, 6), options)["visual_coarse"]) == 5


@pytest.mark.parametrize("coarse", ["rows", "hierarchical"])
@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_a_row_that_is_no_direction_is_never_hidden(rng, coarse, bad):
    rows = unit(rng, 6)
    rows[2] = bad
    with np.errstate(invalid="ignore"):
        options = VisualOptions("m", coarse=coarse, pool_factor=2)
        vectors = finished(rows, np.ones(6, bool), uniform_grid(2, 3), options)
        assert not all(np.isfinite(value).all() for value in vectors.values())
        assert not np.isfinite(placed(rows)).all()
