"""Windows lose no word, and batches lose no text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexers.encoders.batches import plan_batches
from indexers.encoders.windows import windows, word_spans


@given(st.text())
def test_words_are_those_of_split(text):
    assert [text[start:end] for start, end in word_spans(text)] == text.split()


@given(st.integers(0, 400), st.integers(1, 60), st.data())
def test_windows_cover_every_word_in_order(n_words, size, data):
    stride = data.draw(st.integers(1, size))
    text = " ".join(f"w{i}" for i in range(n_words))
    found = windows(text, size, stride)
    assert {word for span in found for word in range(span.first_word, span.end_word)} == set(range(n_words))
    assert all(1 <= span.end_word - span.first_word <= size for span in found)
    assert [span.first_word for span in found] == sorted({span.first_word for span in found})
    assert [span.end_word for span in found] == sorted({span.end_word for span in found})
    for span in found:
        assert text[span.start : span.end].split() == text.split()[span.first_word : span.end_word]
    if len(found) > 1:
        assert found[-1].end_word - found[-1].first_word >= min(size // 2, n_words)


@given(st.lists(st.integers(0, 30), max_size=120), st.integers(1, 40), st.integers(1, 60))
def test_a_window_stays_within_its_cost_or_is_one_word(costs, size, max_cost):
    text = " ".join("w" for _ in costs)
    found = windows(text, size, size, costs=costs, max_cost=max_cost)
    assert {word for span in found for word in range(span.first_word, span.end_word)} == set(range(len(costs)))
    for span in found:
        assert sum(costs[span.first_word : span.end_word]) <= max_cost or span.end_word - span.first_word == 1


def test_offsets_are_those_of_the_original_text():
    text = "  naïve\u00a0T-cells\n\n心臓  β "
    [span] = windows(text, 10, 5)
    assert text[span.start : span.end] == "naïve\u00a0T-cells\n\n心臓  β"


@pytest.mark.parametrize(("size", "stride"), [(10, 0), (10, 11), (0, 0)])
def test_a_stride_that_would_skip_words_is_refused(size, stride):
    with pytest.raises(ValueError, match="stride"):
        windows("a b", size, stride)


@given(st.lists(st.integers(1, 600)))
def test_batches_hold_every_text_once_within_the_budget(lengths):
    batches = plan_batches(lengths)
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[position] for position in batch)
        assert len(batch) == 1 or (longest <= 128 and longest * len(batch) <= 512)


def test_texts_of_one_length_share_a_batch():
    assert plan_batches([20, 300, 20, 20]) == [[0, 2, 3], [1]]
