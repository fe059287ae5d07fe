"""The BM25 baseline against the formula, and its filters."""

import math
import sys

import pytest

from eval.baselines import Bm25Baseline, plain_words
from eval.datasets import QueryItem
from rag.errors import MissingExtra
from rag.types import CaseLocator, PageLocator, Passage, Query

TEXTS = ["the heart beats", "the lung breathes and the lung rests", "kidney", "Heart, heart & HEART valve in the chest"]
PAGES = [Passage(f"p{number}", "page", "book", text, PageLocator(number)) for number, text in enumerate(TEXTS, start=1)]


@pytest.fixture(scope="module")
def baseline():
    return Bm25Baseline(PAGES)


def lucene(query, texts):
    """Lucene's BM25 written out: idf = ln(1 + (N - df + .5) / (df + .5)), k1 1.5, b 0.75."""
    pool = [plain_words(text) for text in texts]
    mean = sum(map(len, pool)) / len(pool)
    totals = []
    for words in pool:
        total = 0.0
        for term in plain_words(query):
            found = sum(term in others for others in pool)
            idf = math.log(1 + (len(pool) - found + 0.5) / (found + 0.5))
            times = words.count(term)
            total += idf * times / (times + 1.5 * (0.25 + 0.75 * len(words) / mean))
        totals.append(total)
    return totals


def test_scores_are_lucenes(baseline):
    hits = baseline.search(Query(text="Heart of the lung"), k=10, kinds=("page",))
    expected = lucene("Heart of the lung", TEXTS)
    assert {hit.passage.page: hit.score for hit in hits} == pytest.approx(
        {number: score for number, score in enumerate(expected, start=1) if score}, rel=1e-5
    )
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_words_are_plain():
    assert plain_words("β-Blocker, 5mg; T2-weighted") == ["blocker", "5mg", "t2", "weighted"]


def test_it_respects_k_kinds_and_filters(baseline):
    assert len(baseline.search(Query(text="the"), k=2, kinds=("page",))) == 2
    assert baseline.search(Query(text="the"), k=9, kinds=("case",)) == []
    limited = Query(text="the", filters={"document": ("book",), "page": ("2",)})
    assert [hit.passage.id for hit in baseline.search(limited, k=9, kinds=("page",))] == ["p2"]


def test_words_unknown_to_the_pool_or_no_words_find_nothing(baseline):
    assert baseline.search(Query(text="zygote"), k=5, kinds=("page",)) == []
    assert baseline.search(Query(text="眼"), k=5, kinds=("page",)) == []


def test_it_applies_to_text_queries_in_its_kinds(baseline, tmp_path):
    text = QueryItem(Query(text="heart"), "set")
    image = QueryItem(Query(images=(tmp_path / "a.png",)), "set")
    assert baseline.applies(text, ("page", "figure"))
    assert not baseline.applies(text, ("case",))
    assert not baseline.applies(image, ("page",))


def test_passages_without_words_are_left_out():
    image_only = Passage("c", "case", "cxr", "", CaseLocator("r"), images=("a.png",))
    empty = Bm25Baseline([image_only])
    assert empty.kinds == frozenset()
    assert empty.search(Query(text="heart"), k=5, kinds=("case",)) == []


def test_without_bm25s_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(MissingExtra, match=r"vesalius\[dev\]"):
        Bm25Baseline(PAGES)
