"""ViDoRAG's cut and its two unions, on lists whose outcome can be said without running them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.errors import ConfigError
from rag.fusion import with_channel
from rag.types import Hit, PageLocator, Passage
from rag.unions import SIZES, UnionOptions, hybrid_union, mixture_cut, two_groups

UNION = UnionOptions(fill=False)


def hit(number, score, document="atlas"):
    return Hit(Passage(f"{document}-{number:02d}", "page", document, "text", PageLocator(number)), score)


def ranked(*numbers, scores=None, document="atlas"):
    """A list of pages, best first; scores fall evenly unless given."""
    scores = scores or [1 - place / 100 for place in range(len(numbers))]
    return [hit(number, score, document) for number, score in zip(numbers, scores, strict=True)]


def pages(hits):
    return [found.passage.page for found in hits]


BIMODAL = [0.9, 0.89, 0.88, 0.87, 0.86, 0.85, 0.2, 0.19, 0.18, 0.17]


def test_cut_keeps_the_better_of_two_groups():
    assert pages(mixture_cut(ranked(*range(1, 11), scores=BIMODAL))) == [1, 2, 3, 4, 5, 6]


def test_a_small_group_is_filled_from_the_other():
    scores = [0.9, 0.89, *(0.2 - place / 100 for place in range(8))]
    assert pages(mixture_cut(ranked(*range(1, 11), scores=scores))) == [1, 2, 3, 4, 5]


def test_a_large_group_is_capped():
    scores = [*(0.9 - place / 1000 for place in range(15)), 0.1, 0.1, 0.1, 0.1, 0.1]
    assert pages(mixture_cut(ranked(*range(1, 21), scores=scores))) == list(range(1, 11))


def test_equal_scores_are_one_group():
    assert pages(mixture_cut(ranked(*range(1, 21), scores=[0.5] * 20))) == list(range(1, 11))


def test_only_the_head_is_looked_at():
    scores = [*(0.9 - place / 1000 for place in range(20)), *[0.0] * 10]
    cut = mixture_cut(ranked(*range(1, 31), scores=scores))
    assert set(pages(cut)) <= set(range(1, 21))


@pytest.mark.parametrize("n", [0, 1, 2, 4])
def test_a_short_list_is_kept_whole(n):
    assert len(mixture_cut(ranked(*range(1, n + 1)))) == n


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=20), st.floats(0.1, 1000), st.floats(-50, 50))
def test_groups_follow_neither_scale_nor_order(scores, scale, shift):
    values = np.round(np.array(scores), 3)
    groups = two_groups(values)
    assert set(groups) <= {0, 1}
    assert groups[int(np.argmax(values))] in {0, 1}
    assert two_groups(values[::-1])[::-1] == groups
    if values.std() > 1e-2:
        assert two_groups(values * scale + shift) == groups


@given(st.lists(st.floats(0, 1), min_size=0, max_size=30), st.integers(1, 5), st.integers(0, 5))
def test_cut_sizes(scores, least, more):
    options = UnionOptions(head=20, least=least, most=least + more)
    cut = mixture_cut(ranked(*range(1, len(scores) + 1), scores=sorted(scores, reverse=True)), options)
    assert min(least, len(scores)) <= len(cut) <= least + more
    assert len({found.passage.id for found in cut}) == len(cut)


# Each list of five is kept whole, so what follows is decided by the lists alone.
VISUAL = ranked(3, 1, 9, 7, 5, 20, 21, 22)
TEXT = ranked(2, 1, 4, 3, 6, 22, 30)


def cut_to_five(hits):
    """The same pages, scored so that the first five are the better group."""
    return ranked(*pages(hits), scores=[1.0] * 5 + [0.0] * (len(hits) - 5))


def test_the_plain_union_holds_both_cuts():
    found = hybrid_union(cut_to_five(VISUAL), cut_to_five(TEXT), UNION)
    assert sorted(pages(found)) == [1, 2, 3, 4, 5, 6, 7, 9]


def test_the_filled_union_prefers_pages_of_both_lists_then_the_visual_list():
    # Eight pages become nine: page 22 stands in both lists, pages 20 and 21 only in the visual one, before it.
    found = hybrid_union(cut_to_five(VISUAL), cut_to_five(TEXT))
    assert sorted(pages(found)) == [1, 2, 3, 4, 5, 6, 7, 9, 22]
    # Without page 22 in the text list, the visual list's next page fills.
    found = hybrid_union(cut_to_five(VISUAL), cut_to_five(TEXT[:5]))
    assert sorted(pages(found)) == [1, 2, 3, 4, 5, 6, 7, 9, 20]


def test_a_union_of_a_size_that_tiles_is_not_filled():
    visual = cut_to_five(ranked(1, 2, 3, 4, 5, 8, 9))
    text = cut_to_five(ranked(1, 2, 3, 4, 6, 8, 9))
    assert sorted(pages(hybrid_union(visual, text))) == [1, 2, 3, 4, 5, 6]


def test_flat_scores_keep_the_first_ten_of_each_list():
    visual, text = ranked(*range(1, 21), scores=[0.5] * 20), ranked(*range(11, 31), scores=[0.5] * 20)
    assert sorted(pages(hybrid_union(visual, text, UNION))) == list(range(1, 21))
    assert sorted(pages(hybrid_union(visual, text))) == list(range(1, 21))


@pytest.mark.parametrize("options", [UNION, UnionOptions()])
def test_empty_lists(options):
    assert hybrid_union([], [], options) == []
    assert sorted(pages(hybrid_union(ranked(4, 2), [], options))) == [2, 4]
    assert sorted(pages(hybrid_union([], ranked(4, 2), options))) == [2, 4]


def test_a_visual_list_that_is_too_short_is_filled_from_the_text_list():
    text = cut_to_five(ranked(1, 2, 3, 4, 5, 6))
    assert sorted(pages(hybrid_union([], text))) == [1, 2, 3, 4, 5, 6]


def test_rank_order_is_by_reciprocal_rank_ties_by_id():
    found = hybrid_union(ranked(2, 1), ranked(1, 2), UNION)
    assert pages(found) == [1, 2]
    assert found[0].score == found[1].score == pytest.approx(1 / 21 + 1 / 22)


def test_place_order_is_documents_as_found_and_pages_as_printed():
    visual = [hit(7, 0.9, "skin"), hit(3, 0.8, "atlas"), hit(2, 0.7, "skin")]
    text = [hit(1, 0.9, "atlas")]
    found = hybrid_union(visual, text, UnionOptions(fill=False, order="place"))
    assert [(one.passage.document, one.passage.page) for one in found] == [
        ("skin", 2), ("skin", 7), ("atlas", 1), ("atlas", 3),
    ]  # fmt: skip


def test_hits_keep_what_each_channel_said():
    found = hybrid_union(with_channel("visual", ranked(1)), with_channel("late", ranked(1)))
    assert set(found[0].channels) == {"visual", "late"}


@settings(max_examples=40)
@given(st.permutations(range(1, 16)), st.permutations(range(8, 23)))
def test_every_union_holds_both_cuts_and_ends_at_a_size(first, second):
    visual, text = ranked(*first), ranked(*second)
    cuts = {found.passage.id for found in (*mixture_cut(visual), *mixture_cut(text))}
    plain = hybrid_union(visual, text, UNION)
    filled = hybrid_union(visual, text)
    assert {found.passage.id for found in plain} == cuts
    assert {found.passage.id for found in filled} >= cuts
    assert len(filled) == min(size for size in SIZES if size >= len(plain))


@pytest.mark.parametrize("bounds", [(20, 0, 5), (20, 6, 5), (4, 2, 5)])
def test_impossible_bounds_are_refused(bounds):
    head, least, most = bounds
    with pytest.raises(ConfigError, match="least <= most <= head"):
        UnionOptions(head, least, most)
