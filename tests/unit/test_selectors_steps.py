"""Steps around the cut: readings, domains, likeness, caps, and the reasons they leave."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import ConfigError
from rag.selection import FixedK
from rag.selectors import (
    Above,
    Chain,
    ClusterCap,
    Diversity,
    LargestGap,
    ScoreCut,
    ScoreReading,
    TopK,
    domain_of,
    word_overlap,
)
from rag.types import CaseLocator, ChannelScore, Hit, PageLocator, Passage, Query

QUERY = Query(text="anything")
DENSE = ScoreReading("dense")


def page(i, text="", **scores):
    passage = Passage(f"p{i}", "page", "book", text or f"page text {i}", PageLocator(i + 1))
    return hit_of(passage, i, scores)


def case(i, domain="radiology", text="", **scores):
    passage = Passage(f"c{i}", "case", "cases", text or f"case text {i}", CaseLocator(str(i)), meta={"domain": domain})
    return hit_of(passage, i, scores)


def hit_of(passage, i, scores):
    return Hit(passage, 1 / (i + 1), {name: ChannelScore(i + 1, score) for name, score in scores.items()})


def kept(step, hits):
    return [hit.passage.id for hit, words in zip(hits, step.reasons(hits), strict=True) if words is None]


def test_a_channel_is_read_whatever_the_order_of_the_list():
    hits = [page(0, dense=0.2), page(1, dense=0.9), page(2), page(3, dense=math.nan)]
    assert DENSE.descending(hits) == ([1, 0], [0.9, 0.2])
    assert ScoreReading("score").descending(hits)[0] == [0, 1, 2, 3]
    assert ScoreReading("rank").descending(hits)[1] == [1, 1 / 2, 1 / 3, 1 / 4]


def test_hits_below_the_threshold_are_dropped_with_their_score():
    hits = [page(0, dense=0.9), page(1, dense=0.2), page(2, bm25=7.0)]
    step = ScoreCut(Above(0.5), DENSE)
    assert step.reasons(hits) == [None, "below the threshold 0.5 (dense 0.2)", "dense did not find it"]


def test_the_least_number_is_taken_back_from_the_best_ranked():
    hits = [page(0, dense=0.1), page(1, dense=0.2), page(2, dense=0.3)]
    assert kept(ScoreCut(Above(0.5), DENSE, least=2), hits) == ["p0", "p1"]
    assert kept(ScoreCut(Above(0.25), DENSE, least=2), hits) == ["p0", "p2"]
    assert kept(ScoreCut(Above(0.5), DENSE, least=9), hits) == ["p0", "p1", "p2"]
    assert kept(ScoreCut(Above(0.5), DENSE, least=0), hits) == []


def test_kinds_are_cut_apart_because_their_scores_do_not_compare():
    hits = [page(0, dense=0.9), case(1, dense=0.31), page(2, dense=0.8), case(3, dense=0.3), case(4, dense=0.1)]
    assert kept(ScoreCut(LargestGap(1, 9), DENSE), hits) == ["p0", "c1", "c3"]


def test_a_kind_that_is_cut_leaves_no_room_for_another_far_behind():
    hits = [
        page(0, dense=0.9),
        page(1, dense=0.1),
        case(2, dense=0.8),
        page(3, dense=0.05),
        case(4, dense=0.79),
        case(5, dense=0.1),
    ]
    step = ScoreCut(LargestGap(1, 9), DENSE, head=3)
    assert kept(step, hits) == ["p0", "c2"]
    assert step.reasons(hits)[4] == "behind the first 3 places"
    assert kept(ScoreCut(LargestGap(1, 9), DENSE, head=5), hits) == ["p0", "c2", "c4"]
    assert kept(ScoreCut(Above(0.95), DENSE, least=2, head=1), hits) == ["p0", "p1"]


def test_a_domain_has_its_own_threshold_and_its_kind_the_rest():
    hits = [case(0, "radiology", dense=0.6), case(1, "pathology", dense=0.6), page(2, dense=0.6)]
    cuts = {"case/radiology": Above(0.7), "case": Above(0.5)}
    assert kept(ScoreCut(TopK(0), DENSE, least=0, domains=cuts), hits) == ["c1"]
    assert domain_of(hits[0].passage) == "case/radiology"
    assert domain_of(hits[2].passage) == "page"


def test_a_kind_that_the_channel_never_reads_is_not_cut():
    hits = [page(0, dense=0.1), case(1, image=0.9)]
    assert kept(ScoreCut(Above(0.5), DENSE, least=0), hits) == ["c1"]


@given(st.lists(st.tuples(st.booleans(), st.none() | st.floats(-1, 1)), max_size=12), st.integers(0, 5))
def test_a_cut_keeps_at_least_what_it_was_told(rows, least):
    hits = [(page if is_page else case)(i, **({} if score is None else {"dense": score})) for i, (is_page, score) in
            enumerate(rows)]  # fmt: skip
    reasons = ScoreCut(Above(0.5), DENSE, least).reasons(hits)
    assert reasons.count(None) >= min(least, len(hits))
    assert all(reasons.count(words) and (words is None or words) for words in reasons)


def test_diversity_prefers_a_new_text_to_a_repeated_one():
    hits = [page(0, "red green blue", dense=1.0), page(1, "red green blue black", dense=0.9), page(2, "one", dense=0.7)]
    step = Diversity(word_overlap, per_kind=2, share=0.5, reading=DENSE)
    assert kept(step, hits) == ["p0", "p2"]
    assert step.reasons(hits)[1] == "adds less than the 2 kept: likeness 0.75 to p0"
    assert kept(replace(step, share=1.0), hits) == ["p0", "p1"]


def test_diversity_does_not_compare_kinds():
    hits = [page(0, "red green"), case(1, text="red green"), case(2, text="red green")]
    assert kept(Diversity(word_overlap, per_kind=1), hits) == ["p0", "c1"]


def test_diversity_takes_any_similarity():
    hits = [page(i, dense=1.0) for i in range(4)]
    alike = Diversity(lambda first, second: -1.0, per_kind=3, reading=DENSE)
    assert kept(alike, hits) == ["p0", "p1", "p2"]
    assert Diversity(word_overlap).reasons([]) == []


@given(st.lists(st.floats(-5, 5), max_size=10), st.integers(1, 6), st.floats(0, 1))
def test_diversity_keeps_the_number_it_was_told(scores, per_kind, share):
    hits = [page(i, f"word {i % 3}", dense=score) for i, score in enumerate(scores)]
    assert len(kept(Diversity(word_overlap, per_kind, share, DENSE), hits)) == min(per_kind, len(hits))


def test_a_cluster_of_equal_images_gives_one_hit():
    names = {"c0": "a", "c1": "a", "c3": "b"}
    hits = [case(i) for i in range(4)]
    step = ClusterCap(lambda passages: [names.get(passage.id) for passage in passages])
    assert step.reasons(hits) == [None, "the image of a already has 1 of the hits", None, None]
    assert kept(replace(step, most=2), hits) == ["c0", "c1", "c2", "c3"]


def test_a_chain_keeps_every_reason_in_the_order_of_the_list():
    hits = [page(0, "a b c", dense=0.9), page(1, dense=0.1), page(2, "a b c", dense=0.8), page(3, "d", dense=0.8)]
    evidence = Chain((ScoreCut(Above(0.5), DENSE),), FixedK(k=5)).select(QUERY, hits)
    assert [hit.passage.id for hit in evidence.hits] == ["p0", "p3"]
    assert [(row.hit.passage.id, row.reason) for row in evidence.dropped] == [
        ("p1", "below the threshold 0.5 (dense 0.1)"),
        ("p2", "same text as p0"),
    ]


def test_words_in_common():
    assert word_overlap(page(0, "A b").passage, page(1, "a B c d").passage) == 0.5
    assert word_overlap(page(0, "a").passage, page(1, "b").passage) == 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ScoreCut(TopK(1), least=-1),
        lambda: ScoreCut(TopK(1), head=0),
        lambda: Diversity(word_overlap, share=1.1),
        lambda: Diversity(word_overlap, per_kind=0),
        lambda: ClusterCap(lambda passages: [None for _ in passages], most=0),
    ],
)
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ConfigError):
        wrong()
