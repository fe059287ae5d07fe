from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.fusion import reciprocal_rank_fusion, standard_score_fusion, with_channel
from rag.retrievers import merge_kinds, relevance
from rag.types import Hit, PageLocator, Passage


def hit(name: str, score: float = 1.0, kind: str = "page", page_id: str = "") -> Hit:
    meta = {"page_id": page_id} if page_id else {}
    return Hit(Passage(name, kind, "book", f"text of {name}", PageLocator(1), meta=meta), score)


def ids(hits):
    return [h.passage.id for h in hits]


def test_scores_are_the_hand_sum_of_reciprocal_ranks():
    lists = {"late": [hit("a"), hit("b")], "bm25": [hit("b"), hit("c")]}
    fused = reciprocal_rank_fusion(lists, {"late": 2.0}, constant=60)
    assert ids(fused) == ["b", "a", "c"]
    assert fused[0].score == 2 / 62 + 1 / 61
    assert fused[1].score == 2 / 61
    assert fused[2].score == 1 / 62


def test_channel_scores_of_one_passage_are_merged():
    lists = {"late": with_channel("late", [hit("a", 7.5)]), "bm25": with_channel("bm25", [hit("b"), hit("a", 3.0)])}
    found = {h.passage.id: h for h in reciprocal_rank_fusion(lists, {})}["a"]
    assert (found.channels["late"].rank, found.channels["late"].score) == (1, 7.5)
    assert (found.channels["bm25"].rank, found.channels["bm25"].score) == (2, 3.0)


def test_equal_scores_rank_by_id():
    assert ids(reciprocal_rank_fusion({"x": [hit("b")], "y": [hit("a")]}, {})) == ["a", "b"]


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True), max_size=5), st.randoms())
def test_fusion_does_not_depend_on_the_order_of_lists(names, rng):
    lists = {f"channel{i}": [hit(n) for n in each] for i, each in enumerate(names)}
    shuffled = list(lists.items())
    rng.shuffle(shuffled)
    assert reciprocal_rank_fusion(dict(shuffled), {}) == reciprocal_rank_fusion(lists, {})


def test_a_figure_follows_its_page_and_pushes_no_page_out():
    pages = [hit("p1"), hit("p2"), hit("p3")]
    figures = [hit("f2", kind="figure", page_id="p2"), hit("f1", kind="figure", page_id="p1")]
    merged = merge_kinds({"page": pages, "figure": figures}, {"page": 1.0, "figure": 1.0}, constant=20)
    assert ids(merged) == ["p1", "f1", "p2", "f2", "p3"]


def test_kinds_meet_by_weighted_rank():
    cases = [replace(hit("c1"), passage=replace(hit("c1").passage, kind="case"))]
    merged = merge_kinds({"page": [hit("p1"), hit("p2")], "case": cases}, {"page": 1.0, "case": 0.5}, constant=20)
    assert ids(merged) == ["p1", "p2", "c1"]


def test_a_figure_without_its_page_keeps_its_own_rank():
    merged = merge_kinds({"page": [hit("p1")], "figure": [hit("f9", kind="figure", page_id="p9")]}, {}, constant=20)
    assert set(ids(merged)) == {"p1", "f9"}


def test_a_kind_of_weight_zero_is_left_out():
    assert ids(merge_kinds({"page": [hit("p1")], "fact": [hit("t1")]}, {"fact": 0.0}, constant=20)) == ["p1"]


def test_relevance_compares_kinds_by_one_channel():
    near = {"page": with_channel("dense", [hit("p1", 0.8)]), "case": with_channel("dense", [hit("c1", 0.7)])}
    assert relevance(near, "dense") == {"page": 1.0, "case": pytest.approx(0.8)}
    far = {**near, "fact": with_channel("dense", [hit("t1", 0.1)]), "figure": [hit("f1")]}
    assert relevance(far, "dense")["fact"] == relevance(far, "dense")["figure"] == 0.5


def test_an_image_that_stands_out_outweighs_words_that_fit_everything():
    image = with_channel("image", [hit("same", 0.99), *(hit(f"c{i}", 0.5 - i / 100) for i in range(8))])
    words = with_channel("dense", [*(hit(f"c{i}", 0.70 - i / 1000) for i in range(8)), hit("same", 0.69)])
    assert ids(standard_score_fusion({"image": image, "dense": words}, {}))[0] == "same"


def test_what_a_list_does_not_hold_counts_as_its_last():
    lists = {"late": [hit("a", 3.0), hit("b", 2.0), hit("c", 1.0)], "bm25": [hit("b", 9.0), hit("d", 1.0)]}
    assert ids(standard_score_fusion(lists, {}))[0] == "b"


def test_only_the_best_figure_of_a_page_follows_it_and_the_others_come_last():
    figures = [hit("f1", kind="figure", page_id="p1"), hit("f1b", kind="figure", page_id="p1"), hit("g", kind="figure")]
    pages = [hit(f"p{i}") for i in range(1, 4)]
    assert ids(merge_kinds({"page": pages, "figure": figures}, {}, constant=20)) == ["p1", "f1", "p2", "p3", "f1b", "g"]
