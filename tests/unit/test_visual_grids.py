import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexers.encoders.visual.grids import (
    DynamicLayout,
    FixedLayout,
    TiledLayout,
    read_layout,
    tiled_grid,
    uniform_grid,
)
from rag.errors import ConfigError

COLQWEN = DynamicLayout(factor=28, least_pixels=56 * 56, most_pixels=768 * 28 * 28)
COLSMOL = TiledLayout(longest=2048, tile=512, side=8)
A4_AT_150 = (1240, 1754)
sides = st.integers(20, 4000)


def area(boxes):
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def test_a_uniform_grid_runs_row_by_row_from_the_top_left():
    grid = uniform_grid(2, 3)
    np.testing.assert_allclose(grid.boxes[0], [0, 0, 1 / 3, 1 / 2], atol=1e-6)
    np.testing.assert_allclose(grid.boxes[1], [1 / 3, 0, 2 / 3, 1 / 2], atol=1e-6)
    np.testing.assert_allclose(grid.boxes[5], [2 / 3, 1 / 2, 1, 1], atol=1e-6)
    assert grid.row.tolist() == [0, 0, 0, 1, 1, 1]
    assert grid.column.tolist() == [0, 1, 2, 0, 1, 2]


def test_tiles_come_one_by_one_and_the_whole_page_last():
    grid = tiled_grid(1, 2, 2)
    assert len(grid) == 2 * 4 + 4
    # The second tile starts in the middle of the page's first row of patches.
    np.testing.assert_allclose(grid.boxes[4], [0.5, 0, 0.75, 0.5], atol=1e-6)
    assert grid.row.tolist() == [0, 0, 1, 1, 0, 0, 1, 1, -1, -1, -1, -1]
    assert grid.column[4:8].tolist() == [2, 3, 2, 3]
    np.testing.assert_allclose(grid.boxes[-1], [0.5, 0.5, 1, 1], atol=1e-6)


@given(sides, sides)
def test_patches_of_any_page_cover_it_once(width, height):
    for layout in (COLQWEN, COLSMOL, FixedLayout(32)):
        grid = layout.grid(width, height)
        placed = grid.row >= 0
        assert area(grid.boxes[placed]).sum() == pytest.approx(1, abs=1e-3)
        assert grid.boxes.min() >= 0
        assert grid.boxes.max() <= 1
        if not placed.all():
            assert area(grid.boxes[~placed]).sum() == pytest.approx(1, abs=1e-3)


@given(st.integers(200, 4000), st.integers(200, 4000), st.integers(64, 900))
def test_a_limit_of_patches_is_kept_on_pages_of_any_shape(width, height, patches):
    assert len(COLQWEN.limited(patches).grid(width, height)) <= patches
    assert len(COLSMOL.limited(patches).grid(width, height)) <= patches


@given(sides, sides)
def test_no_page_has_more_rows_than_the_most(width, height):
    for layout in (COLQWEN, COLSMOL, COLSMOL.limited(400)):
        assert len(layout.grid(width, height)) <= layout.most_rows()


def test_an_a4_page_gives_what_the_models_are_known_for():
    assert len(COLQWEN.grid(*A4_AT_150)) == 736  # 32 x 23: at most 768 of 28 x 28 pixels
    assert COLSMOL.tiles(*A4_AT_150) == (4, 3)
    assert len(COLSMOL.grid(*A4_AT_150)) == 13 * 64
    assert len(FixedLayout(32).grid(*A4_AT_150)) == 1024


@pytest.mark.parametrize(
    ("layout", "patches", "words"),
    [(FixedLayout(32), 1000, "pool_factor"), (COLQWEN, 3, "needs 4"), (COLSMOL, 63, "one tile")],
)
def test_a_limit_that_the_model_cannot_keep_is_refused(layout, patches, words):
    with pytest.raises(ConfigError, match=words):
        layout.limited(patches)


def test_a_limit_above_the_most_changes_nothing():
    assert FixedLayout(32).limited(2000) == FixedLayout(32)
    assert COLSMOL.limited(20_000) == COLSMOL
    assert COLQWEN.limited(20_000) == COLQWEN


def test_a_strip_that_processors_refuse_is_refused():
    with pytest.raises(ConfigError, match="200 times"):
        COLQWEN.grid(10, 3000)


def test_settings_are_read_from_old_and_new_files():
    new = {"patch_size": 14, "merge_size": 2, "size": {"shortest_edge": 3136, "longest_edge": 602112}}
    old = {"patch_size": 14, "merge_size": 2, "min_pixels": 3136, "max_pixels": 602112}
    assert read_layout("dynamic", {}, new, "m") == read_layout("dynamic", {}, old, "m") == COLQWEN
    vision = {"vision_config": {"image_size": 448, "patch_size": 14}}
    assert (
        read_layout("fixed", vision, {}, "m")
        == read_layout("fixed", {"vlm_config": vision}, {}, "m")
        == FixedLayout(32)
    )
    tiles = {"size": {"longest_edge": 2048}, "max_image_size": {"longest_edge": 512}, "image_seq_len": 64}
    assert read_layout("tiled", {}, tiles, "m") == COLSMOL
    assert len(read_layout("tiled", {}, {**tiles, "do_image_splitting": False}, "m").grid(100, 900)) == 64


def test_a_missing_setting_is_named():
    with pytest.raises(ConfigError, match="merge_size"):
        read_layout("dynamic", {}, {"patch_size": 14}, "colqwen")
