"""The late-interaction text encoder says where its rows stand, over a toy model of one row per token."""

from __future__ import annotations

import numpy as np
import pytest

from indexers.encoders.late import MOST_QUERY_ROWS, LateOptions, LateTextEncoder
from indexers.encoders.window_texts import WindowOptions
from indexers.model_lock import ModelFiles
from rag.protocols import Localizer
from rag.similarity import TokenNames
from rag.types import Box, CaseLocator, Layout, PageLocator, Passage, Query

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", ",", "?", "-"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = {token: i for i, token in enumerate([*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS)])}
WORDS = "ab cd, - efg h. ij"
BOXES = [(10, 20, 30, 40), (40, 20, 60, 40), (62, 20, 64, 40), (10, 50, 45, 70), (50, 50, 60, 70), (70, 50, 130, 70)]


@pytest.fixture(scope="module")
def model(letter_model) -> ModelFiles:
    return letter_model(VOCABULARY, np.random.default_rng(5).standard_normal((len(VOCABULARY), 384), np.float32))


@pytest.fixture
def encoder(model) -> LateTextEncoder:
    return LateTextEncoder(model)


def page(text=WORDS, boxes=BOXES, size="100x200") -> Passage:
    meta = {"size": size} if size else {}
    return Passage("p", "page", "book", text, PageLocator(1), meta=meta, layout=Layout.from_boxes(boxes))


def test_it_plays_both_roles(encoder):
    assert isinstance(encoder, Localizer)
    assert isinstance(encoder, TokenNames)


def test_each_row_stands_in_its_word(encoder):
    boxes = encoder.row_boxes(page())
    # Letters are pieces; the hyphen and other marks are no rows. The last word sticks out of the page and is cut.
    words = [0, 0, 1, 1, 3, 3, 3, 4, 5, 5]
    expected = np.array(BOXES, np.float32)[words] / (100, 200, 100, 200)
    np.testing.assert_allclose(boxes, expected.clip(0, 1), atol=1e-3)
    assert len(boxes) == len(encoder.encode_passages([page()])[0])


@pytest.mark.parametrize("once", [True, False])
def test_a_long_page_has_a_box_for_every_row_of_every_window(model, once):
    rng = np.random.default_rng(2)
    words = ["".join(rng.choice(list(LETTERS), rng.integers(1, 5))) for _ in range(60)]
    boxes = [(i, 2 * i, i + 1, 2 * i + 2) for i in range(60)]
    long = page(" ".join(words), boxes)
    encoder = LateTextEncoder(model, options=LateOptions(WindowOptions(words=20, stride=12), once=once))
    found = encoder.row_boxes(long)
    assert len(found) == len(encoder.encode_passages([long])[0])
    # Of one letter per row, so a word's rows are as many as its letters, and more where windows overlap.
    rows = np.bincount(np.rint(found[:, 0] * 100).astype(int), minlength=60)
    letters = np.array([len(word) for word in words])
    assert (rows == letters).all() if once else (rows >= letters).all() and rows.sum() > letters.sum()


@pytest.mark.parametrize(
    "unplaced",
    [
        page(size=""),
        Passage("p", "page", "book", WORDS, PageLocator(1), meta={"size": "100x200"}),
        Passage("f", "figure", "book", WORDS, PageLocator(1, Box(0, 0, 9, 9)), meta={"size": "100x200"}),
        Passage("c", "case", "clinic", WORDS, CaseLocator("r")),
    ],
    ids=["no size", "no layout", "figure", "case"],
)
def test_without_word_boxes_rows_stand_nowhere(encoder, unplaced):
    boxes = encoder.row_boxes(unplaced)
    assert boxes.shape == (10, 4)
    assert np.isnan(boxes).all()


def test_words_beyond_the_layout_stand_nowhere(encoder):
    boxes = encoder.row_boxes(page(boxes=BOXES[:3]))
    assert np.isfinite(boxes[:4]).all()
    assert np.isnan(boxes[4:]).all()


def test_a_page_of_marks_has_no_rows(encoder):
    assert encoder.row_boxes(page(". , ?", BOXES[:3])).shape == (0, 4)


def test_rows_of_a_query_are_named_by_their_words(encoder):
    query = Query("Is (ab) an e-f?")
    assert encoder.query_tokens(query) == ["Is", "Is", "ab", "ab", "an", "an", "e-f", "e-f"]
    assert len(encoder.encode_queries([query])[0]) == 8


def test_a_long_query_has_a_name_for_each_row_it_keeps(encoder):
    query = Query("abc " * 40)
    assert encoder.query_tokens(query) == ["abc"] * MOST_QUERY_ROWS
    assert len(encoder.encode_queries([query])[0]) == MOST_QUERY_ROWS


def test_a_query_without_text_has_no_names(encoder, tmp_path):
    assert encoder.query_tokens(Query(" ", images=(tmp_path / "x.png",))) == []
