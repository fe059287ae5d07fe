"""BM25's terms and weights, and the words the hash encoder sees."""

from __future__ import annotations

import numpy as np
import pytest

from indexers.encoders.bm25 import Bm25Encoder, Bm25Options
from indexers.encoders.cross import CrossOptions, select_windows
from indexers.encoders.hashing import HashEncoder
from indexers.encoders.inputs import context_of
from rag.errors import ConfigError
from rag.types import CaseLocator, PageLocator, Passage, Query


def case(text: str) -> Passage:
    return Passage("c", "case", "clinic", text, CaseLocator("r"))


def terms(text: str) -> set[int]:
    [vector] = Bm25Encoder().encode_queries([Query(text)])
    return set(vector.indices)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_weights_follow_the_formula(count):
    k, b, mean = 1.5, 0.75, 20.0
    encoder = Bm25Encoder(options=Bm25Options(k=k, b=b, mean_terms=mean))
    [vector] = encoder.encode_passages([case("mucus " * count + "epithelium " * 9)])
    length = count + 9
    expected = [f * (k + 1) / (f + k * (1 - b + b * length / mean)) for f in (count, 9)]
    assert sorted(vector.values) == pytest.approx(sorted(expected), rel=1e-5)


def test_inflections_accents_and_case_meet():
    assert terms("Infections") == terms("infected") == terms("INFECTION")
    assert terms("naïve") == terms("Naive")
    assert terms("心臓")
    assert terms("β") & terms("β-blocker")


def test_stop_words_alone_are_nothing():
    assert Bm25Encoder().encode_passages([case("the of and"), case("心臓"), case("... —")])[0] is None
    assert Bm25Encoder().encode_queries([Query("what is the")]) == [None]


def test_a_long_text_and_a_broken_one_are_survived():
    long, broken = Bm25Encoder().encode_passages([case("zebra fish " * 200_000), case("mucus \ud800 cell")])
    assert len(long.indices) == 2
    assert len(broken.indices) == 2


@pytest.mark.parametrize("options", [{"k": -1.0}, {"b": 1.5}, {"mean_terms": 0.0}])
def test_impossible_weights_are_refused(options):
    with pytest.raises(ConfigError, match="BM25 needs"):
        Bm25Encoder(options=Bm25Options(**options))


def test_an_unknown_language_is_named():
    with pytest.raises(ConfigError, match="klingon"):
        Bm25Encoder(options=Bm25Options(language="klingon")).encode_queries([Query("x")])


def test_hash_vectors_do_not_change_between_versions():
    # Indexes of tests and demos hold these numbers: a change here is a change of format.
    [row] = HashEncoder(dim=4).encode_queries([Query("Trachea")])
    np.testing.assert_allclose(row, [[0.970187, 0.228356, 0.040217, 0.070525]], atol=1e-5)
    assert HashEncoder(form="multi").encode_queries([Query("a b a")])[0].shape == (3, 64)


def test_context_is_the_headings_outermost_first():
    located = Passage("p", "page", "book", "text", PageLocator(1, section=("Chapter 4", " ", "Tissues ")))
    assert context_of(located) == "Chapter 4 > Tissues"
    assert context_of(case("text")) == ""


def test_the_reranker_reads_the_window_that_shares_most_with_the_question():
    filler = "common words that say nothing about it . " * 30
    passage = Passage(
        "p", "page", "b", filler + "goblet cells secrete mucus . " + filler, PageLocator(3, section=("Airways",))
    )
    [[text]] = select_windows(
        "What do goblet cells secrete?", [passage], CrossOptions(window_words=40, stride_words=20)
    )
    assert text.startswith("Airways\n")
    assert "goblet cells secrete" in text
    assert len(text.split()) <= 41


def test_several_windows_are_given_when_asked_and_never_repeated():
    passages = [case("short text"), case(" ".join(f"word{i}" for i in range(300)))]
    short, long = select_windows("word7 word150 word299", passages, CrossOptions(windows=3))
    assert short == ["short text"]
    assert len(set(long)) == 3
    joined = " ".join(long)
    assert all(word in joined for word in ("word7", "word150", "word299"))
