"""Similarity maps: a planted match shows where it was planted, noise shows as nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from indexers.stores.memory import maxsim_scores
from rag.regions import Region, best_regions, printed_lines
from rag.similarity import (
    cells,
    contributions,
    grid_shape,
    page_size,
    paint,
    places_of,
    similarities,
    standing_out,
    telling,
    whole_query,
    word_boxes,
    word_values,
    words_of,
)
from rag.types import Box, Layout, PageLocator, Passage

NOWHERE = [np.nan] * 4


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def patches(across, down):
    """The boxes of a grid of patches, row by row."""
    return np.array(
        [(x / across, y / down, (x + 1) / across, (y + 1) / down) for y in range(down) for x in range(across)],
        np.float32,
    )


def page_map(query, rows, boxes, shape=(40, 40)):
    places, which = places_of(boxes)
    values = word_values(similarities(query, rows), which, [[i] for i in range(len(query))])
    return paint(places, whole_query(values), shape)


def planted(seed, at, n=100, dim=64):
    """Noise rows, one of which, `at`, is the query's only row."""
    rng = np.random.default_rng(seed)
    rows = unit(rng.normal(size=(n, dim)))
    return rows[[at]].copy(), rows


@pytest.mark.parametrize("at", [0, 37, 99])
def test_a_planted_row_lights_its_box_and_nothing_else(at):
    query, rows = planted(3, at)
    grid = page_map(query, rows, patches(10, 10))
    lit = np.argwhere(grid > 0.3)
    top, left = at // 10 * 4, at % 10 * 4
    assert lit.min(axis=0).tolist() == [top, left]
    assert lit.max(axis=0).tolist() == [top + 3, left + 3]
    assert grid.max() > 0.7


def test_what_rows_add_is_the_maxsim_score_of_the_store():
    rng = np.random.default_rng(0)
    query, rows = unit(rng.normal(size=(7, 16))), unit(rng.normal(size=(50, 16)))
    exact = maxsim_scores(query.astype(np.float64), [rows.astype(np.float64)])
    np.testing.assert_allclose(contributions(similarities(query, rows)).sum(), exact[0], rtol=1e-5)


@pytest.mark.parametrize("spread", [0.001, 0.05, 0.3])
@pytest.mark.parametrize("n", [50, 1000])
def test_noise_of_any_size_stays_dark(spread, n):
    noise = np.random.default_rng(9).normal(0.3, spread, (200, n)).astype(np.float32)
    shown = standing_out(noise)
    # The universal threshold lets the maximum of n Gaussian values pass in about one row of five, and then by little.
    assert (shown.max(axis=1) > 0.3).mean() < 0.1
    assert shown.mean() < 1e-3


def test_a_value_does_not_depend_on_how_well_another_row_matches():
    similarity = np.random.default_rng(1).normal(0, 0.1, (1, 300)).astype(np.float32)
    similarity[0, 7] = 0.7
    alone = standing_out(similarity)[0, 7]
    similarity[0, 8] = 1.0
    assert standing_out(similarity)[0, 7] == pytest.approx(alone, abs=0.01)


def test_a_word_that_matches_most_of_the_page_is_nowhere():
    similarity = np.random.default_rng(1).normal(0, 0.05, (1, 100)).astype(np.float32)
    similarity[0, :60] += 0.6
    assert standing_out(similarity).max() < 0.05


def test_pieces_of_a_word_share_one_value():
    # "epithelium" in three pieces; the second place matches only one of them.
    similarity = np.zeros((3, 50), np.float32)
    similarity[:, 4], similarity[0, 9] = 0.9, 0.9
    values = word_values(similarity, np.arange(50), [[0, 1, 2]])
    assert values[0, 9] == pytest.approx(values[0, 4] / 3)


def test_words_are_runs_of_equal_names_and_unnamed_rows_stay_alone():
    assert words_of(["", "", "pleural", "effusion", "effusion", ""]) == [
        ("", [0]), ("", [1]), ("pleural", [2]), ("effusion", [3, 4]), ("", [5]),
    ]  # fmt: skip
    assert words_of([]) == []


def test_many_weak_words_do_not_add_up_to_a_strong_one():
    values = np.full((30, 4), 0.1, np.float32)
    values[3, 2] = 0.6
    assert whole_query(values).tolist() == pytest.approx([0.1, 0.1, 0.6, 0.1])


def test_telling_words_come_before_common_and_absent_ones():
    values = np.zeros((3, 20), np.float32)
    values[0], values[1, 3] = 0.8, 0.8
    assert np.argsort(-telling(values)).tolist() == [1, 0, 2]
    assert telling(np.zeros((2, 0), np.float32)).tolist() == [0, 0]


def test_overlapping_boxes_show_the_best_of_them():
    # A coarse view of the upper left quarter, and a tile within it.
    places = np.array([(0, 0, 0.5, 0.5), (0.1, 0.1, 0.2, 0.2)], np.float32)
    grid = paint(places, np.array([0.4, 0.9], np.float32), (10, 10))
    assert grid[1, 1] == np.float32(0.9)
    assert (grid[:5, :5] > 0).all()
    assert grid[5:].max() == 0
    dimmer = paint(places, np.array([0.9, 0.4], np.float32), (10, 10))
    assert dimmer[1, 1] == np.float32(0.9)


def test_a_box_smaller_than_a_cell_or_off_the_page_fills_one():
    assert cells(0.501, 0.502, 10) == (5, 6)
    assert cells(1.0, 1.0, 10) == (9, 10)
    assert cells(-3.0, 0.0, 10) == (0, 1)


@st.composite
def matches(draw):
    n = draw(st.integers(1, 30))
    similarity = draw(arrays.arrays(np.float32, (draw(st.integers(1, 5)), n), elements=st.floats(-1, 1, width=32)))
    corners = draw(arrays.arrays(np.float32, (n, 4), elements=st.floats(0, 1, width=32)))
    boxes = np.concatenate([np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1)
    boxes[draw(arrays.arrays(np.bool_, n))] = np.nan
    return similarity, boxes


def grid_of(similarity, boxes):
    places, which = places_of(boxes)
    values = word_values(similarity, which, [[i] for i in range(len(similarity))])
    return paint(places, whole_query(values), (12, 9))


@settings(max_examples=150, deadline=None)
@given(matches(), st.randoms(use_true_random=False))
def test_maps_are_bounded_and_know_no_order_of_rows(found, random):
    similarity, boxes = found
    grid = grid_of(similarity, boxes)
    assert grid.min() >= 0
    assert grid.max() <= 1
    order = list(range(len(boxes)))
    random.shuffle(order)
    np.testing.assert_array_equal(grid_of(similarity[:, order], boxes[order]), grid)


@settings(max_examples=100, deadline=None)
@given(matches(), st.integers(1, 9))
def test_rows_that_stand_nowhere_do_not_count(found, extra):
    similarity, boxes = found
    more = np.concatenate([similarity, np.ones((len(similarity), extra), np.float32)], axis=1)
    unplaced = np.concatenate([boxes, np.array([NOWHERE] * extra, np.float32)])
    np.testing.assert_array_equal(grid_of(more, unplaced), grid_of(similarity, boxes))


def test_an_empty_page_has_an_empty_map():
    places, which = places_of(np.full((3, 4), np.nan, np.float32))
    values = word_values(np.ones((2, 3), np.float32), which, [[0], [1]])
    assert values.shape == (2, 0)
    assert not paint(places, whole_query(values), (4, 4)).any()


LINES = (("Pleural effusion", 20), ("", 0), ("Fluid sinks to the base", 40), ("and blunts the angle.", 52), ("", 0),
         ("Air rises to the apex.", 80))  # fmt: skip


def page(lines=LINES, size="100x200"):
    boxes = []
    for text, top in lines:
        boxes += [(10 + 15 * i, top, 22 + 15 * i, top + 8) for i in range(len(text.split()))]
    text = "\n".join(text for text, _ in lines)
    return Passage("p", "page", "book", text, PageLocator(1), meta={"size": size}, layout=Layout.from_boxes(boxes))


def figure(box, text, key="f"):
    return Passage(key, "figure", "book", text, PageLocator(1, box), meta={"page_id": "p"})


def heat(*spots, shape=(200, 100)):
    grid = np.zeros(shape, np.float32)
    for x0, y0, x1, y1 in spots:
        grid[y0:y1, x0:x1] = 0.8
    return grid


def test_lines_and_paragraphs_are_those_of_the_text():
    found = printed_lines(page())
    assert [[line.text for line in paragraph] for paragraph in found] == [
        ["Pleural effusion"], ["Fluid sinks to the base", "and blunts the angle."], ["Air rises to the apex."],
    ]  # fmt: skip
    assert found[1][0].box == Box(10, 40, 82, 48)


def test_the_region_is_the_run_of_lines_that_the_heat_lies_on():
    [region] = best_regions(heat((10, 40, 22, 48), (25, 52, 37, 60)), page())
    assert region.kind == "text"
    assert region.text == "Fluid sinks to the base and blunts the angle."
    assert region.box == Box(10, 40, 82, 60)
    assert 0 < region.score < 0.8


def test_a_figure_is_found_by_the_heat_inside_it():
    lower = figure(Box(5, 100, 95, 190), "Figure 1 Lung")
    first = best_regions(heat((40, 120, 60, 140)), page(), [figure(Box(0, 0, 9, 9), "other", "g"), lower])[0]
    assert (first.kind, first.box, first.text) == ("figure", lower.box, "Figure 1 Lung")


def test_a_caption_speaks_for_its_figure_and_is_no_region_itself():
    captioned = page((*LINES, ("", 0), ("Figure 1 A lung with fluid", 150)))
    lung = figure(Box(5, 100, 95, 145), "Figure 1 A lung\nwith fluid")
    [region] = best_regions(heat((55, 150, 80, 158)), captioned, [lung])
    assert (region.kind, region.box) == ("figure", lung.box)


def test_regions_are_ranked_apart_and_few():
    spots = heat((10, 20, 40, 28), (10, 40, 22, 48), (10, 80, 70, 88))
    found = best_regions(spots, page(), most=2)
    assert [region.text for region in found] == ["Air rises to the apex.", "Pleural effusion"]
    assert found[0].score > found[1].score


def test_weak_heat_scores_low_wherever_it_gathers():
    strong, weak = heat((10, 40, 22, 48)), heat((10, 40, 22, 48)) / 8
    [bright], [dim] = best_regions(strong, page()), best_regions(weak, page())
    assert dim.box == bright.box
    assert dim.score == pytest.approx(bright.score / 8, rel=1e-5)


@pytest.mark.parametrize("size", ["", "100", "0x10", "axb", "nanx3", "infx10"])
def test_without_a_size_there_is_no_place(size):
    unknown = page(size=size)
    assert page_size(unknown) is None
    assert best_regions(heat((10, 40, 22, 48)), unknown) == ()
    assert word_boxes(unknown).shape == (0, 4)


def test_nothing_lit_means_no_region():
    assert best_regions(heat(), page(), [figure(Box(0, 0, 50, 50), "x")]) == ()


def test_words_stand_within_the_page():
    boxes = word_boxes(page((("a b", 195),)))
    np.testing.assert_allclose(boxes[0], [0.1, 0.975, 0.22, 1.0], atol=1e-3)


def test_a_region_row_is_what_the_interface_promises():
    row = Region(Box(1.04, 2, 3, 4.06), 0.123456, "text", "words").row()
    assert row == {"box": [1.0, 2, 3, 4.1], "score": 0.1235, "kind": "text", "text": "words"}


@given(st.floats(10, 2000), st.floats(10, 2000))
def test_the_longer_side_of_a_grid_is_as_asked(width, height):
    shape = grid_shape(width, height, 300)
    assert max(shape) == 300
    assert min(shape) >= 1
