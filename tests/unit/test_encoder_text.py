"""The text encoders over a toy model whose output is known: each token's row is its own embedding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexers.encoders.dense import DenseOptions, DenseTextEncoder
from indexers.encoders.late import LateOptions, LateTextEncoder
from indexers.encoders.onnx_text import OnnxText
from indexers.encoders.unit_rows import unit_rows
from indexers.encoders.window_texts import WindowOptions, window_texts
from indexers.model_lock import ModelFiles
from rag.errors import EnvironmentProblem
from rag.types import PageLocator, Passage, Query

LETTERS = "abcdefghijklmnopqrstuvwxyzäöüßβ心"
VOCABULARY = {
    token: i
    for i, token in enumerate(
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", "-", ">", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    )
}
EMBEDDING = np.random.default_rng(5).standard_normal((len(VOCABULARY), 384)).astype(np.float32)


def page(text: str, *section: str) -> Passage:
    return Passage("p", "page", "book", text, PageLocator(1, section=section))


@pytest.fixture(scope="module")
def model(letter_model) -> ModelFiles:
    return letter_model(VOCABULARY, EMBEDDING)


def expected_rows(passage: Passage, spans: np.ndarray) -> np.ndarray:
    pieces = []
    for start, end in spans:
        inside = start > 0 and passage.text[start - 1].isalnum()
        piece = passage.text[start:end].lower()
        pieces.append(EMBEDDING[VOCABULARY[f"##{piece}" if inside else piece]])
    return unit_rows(np.stack(pieces))


WORDS = st.lists(st.text(LETTERS + "A.-", min_size=1, max_size=6), min_size=1, max_size=60)


@settings(deadline=None, max_examples=60)
@given(words=WORDS, once=st.booleans(), context=st.booleans())
def test_every_row_is_the_token_at_its_span(model, words, once, context):
    passage = page(" \n".join(words), "abc", "de")
    options = LateOptions(windows=WindowOptions(words=12, stride=8, context=context), once=once)
    encoder = LateTextEncoder(model, options=options)
    spans = encoder.spans(passage)
    [rows] = encoder.encode_passages([passage])
    letters = [i for i, character in enumerate(passage.text) if character.isalnum()]
    if rows is None:
        assert letters == []
        assert len(spans) == 0
        return
    assert rows.shape == (len(spans), 384)
    np.testing.assert_allclose(rows, expected_rows(passage, spans), atol=1e-6)
    # The toy tokenizer has one token per letter, so the spans say which letters are stored, and how often.
    stored = [start for start, _ in spans]
    assert sorted(stored) == letters if once else set(stored) == set(letters)


def test_a_page_of_any_length_is_read_to_its_end(model):
    passage = page(" ".join(["abcde"] * 2000) + " ß")
    encoder = LateTextEncoder(model)
    assert passage.text[slice(*encoder.spans(passage)[-1])] == "ß"
    # 180 words of five tokens do not fit the model's 512 tokens: the windows become shorter instead of losing words.
    text = OnnxText(model)
    for window in window_texts(passage, text, WindowOptions()):
        [encoding] = text.tokenize([window.text])
        assert len(encoding.ids) <= 512
        assert encoding.overflowing == []


def test_headings_are_read_but_not_stored(model):
    passage = page("abc", "heart", "valves")
    with_headings = LateTextEncoder(model)
    [window] = window_texts(passage, OnnxText(model), WindowOptions())
    assert window.text == "heart > valves\nabc"
    assert window.text[window.offset :] == "abc"
    assert [passage.text[a:b] for a, b in with_headings.spans(passage)] == ["a", "b", "c"]


def test_endless_headings_leave_room_for_the_text(model):
    passage = page("abc " * 300, "xyz " * 100, "y" * 60, "z" * 30)
    found = window_texts(passage, OnnxText(model), WindowOptions())
    assert found[0].text.startswith("y" * 60 + " > " + "z" * 30 + "\n")
    assert found[-1].span.end_word == 300


def test_punctuation_alone_is_nothing_to_read(model):
    encoder = LateTextEncoder(model)
    assert encoder.encode_passages([page("... - .")]) == [None]
    assert encoder.encode_queries([Query("... -")]) == [None]
    keeping = LateTextEncoder(model, options=LateOptions(keep_punctuation=True))
    [rows] = keeping.encode_passages([page("a.b")])
    assert len(rows) == 3


def test_a_lone_surrogate_from_a_broken_pdf_is_survived(model):
    passage = page("ab \ud800 cd")
    assert len(LateTextEncoder(model).encode_passages([passage])[0]) == 4
    assert len(DenseTextEncoder(model).encode_passages([passage])[0]) == 1


def test_a_fitted_projection_changes_dimension_and_fingerprint(model):
    pages = [page("the quick brown fox jumps over the lazy dog äöüß")]
    plain = LateTextEncoder(model)
    projection = plain.fit(pages, 16)
    small = LateTextEncoder(model, projection=projection)
    assert small.spec.dim == 16
    assert small.encode_passages(pages)[0].shape == (len(small.spans(pages[0])), 16)
    assert small.fingerprint != plain.fingerprint
    assert small.fingerprint != LateTextEncoder(model, projection=projection + 1).fingerprint


def test_dense_rows_are_one_per_window_in_order(model):
    options = DenseOptions(windows=WindowOptions(words=10, stride=10))
    encoder = DenseTextEncoder(model, options=options)
    passage = page(" ".join(["ab"] * 25))
    [rows] = encoder.encode_passages([passage])
    assert len(rows) == len(encoder.windows(passage)) == 3
    # The toy's class vector is the embedding of [CLS], whatever the text.
    np.testing.assert_allclose(rows, unit_rows(EMBEDDING[[2, 2, 2]]), atol=1e-6)


def test_forward_time_is_counted(model):
    encoder = DenseTextEncoder(model)
    assert encoder.forward_seconds == 0
    encoder.encode_queries([Query("abc")])
    assert encoder.forward_seconds > 0


@pytest.mark.parametrize("broken", ["model.onnx", "tokenizer.json"])
@pytest.mark.parametrize("how", ["absent", "damaged"])
def test_a_broken_model_file_is_named_with_what_to_do(tmp_path, model, broken, how):
    for name in ("model.onnx", "tokenizer.json"):
        (tmp_path / name).write_bytes((model.folder / name).read_bytes())
    if how == "absent":
        (tmp_path / broken).unlink()
    else:
        (tmp_path / broken).write_bytes(b"\x00\xff broken")
    encoder = DenseTextEncoder(ModelFiles("toy", tmp_path, "w"))
    with pytest.raises(EnvironmentProblem, match=rf"{broken}.*vesalius models verify"):
        encoder.encode_queries([Query("abc")])


@settings(deadline=None, max_examples=60)
@given(words=WORDS, gaps=st.sampled_from([" ", "\n ", "\u2028"]))
def test_a_short_text_is_read_as_the_one_window_it_is(model, words, gaps):
    passage = page(gaps + gaps.join(words) + gaps)
    options = WindowOptions(words=60, stride=60)
    encoder = DenseTextEncoder(model, options=DenseOptions(windows=options))
    [found] = encoder.encode_passages([passage])
    cut = [window.text for window in window_texts(passage, OnnxText(model), options)]
    assert len(cut) == len(found) == 1
    assert found == pytest.approx(encoder.rows(cut))
