"""Cutting a text into overlapping windows of words. Pure; offsets always refer to the original text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a text: words `first_word` up to, not including, `end_word`; characters `start` up to `end`."""

    first_word: int
    end_word: int
    start: int
    end: int


def word_spans(text: str) -> list[tuple[int, int]]:
    """Character range of every word of `text.split()`, in order."""
    return [match.span() for match in _WORD.finditer(text)]


def windows(
    text: str, size: int, stride: int, *, costs: Sequence[int] | None = None, max_cost: int | None = None
) -> list[Span]:
    """Windows of at most `size` words, each beginning at most `stride` words after the one before.

    Every word is in at least one window; a text without words has none. The last window is drawn back to half of
    `size` words if it would be shorter, so that no window is a mere remnant. With `costs` (tokens per word) and
    `max_cost` a window also ends before its cost passes `max_cost`, but holds at least one word.
    """
    if not 1 <= stride <= size:
        raise ValueError(f"stride {stride} must lie between 1 and the window's size {size}")
    words = word_spans(text)
    found: list[Span] = []
    first, end = 0, 0
    while end < len(words):
        end = _end(first, size, len(words), costs, max_cost)
        found.append(Span(first, end, words[first][0], words[end - 1][1]))
        first = min(first + stride, end)
    if len(found) > 1 and found[-1].end_word - found[-1].first_word < size // 2:
        found[-1] = _draw_back(found[-1], words, size // 2, costs, max_cost)
    return found


def _end(first: int, size: int, n_words: int, costs: Sequence[int] | None, max_cost: int | None) -> int:
    limit = min(first + size, n_words)
    if costs is None or max_cost is None:
        return limit
    total, end = 0, first
    while end < limit and (end == first or total + costs[end] <= max_cost):
        total += costs[end]
        end += 1
    return end


def _draw_back(
    span: Span, words: Sequence[tuple[int, int]], size: int, costs: Sequence[int] | None, max_cost: int | None
) -> Span:
    first = max(0, span.end_word - size)
    while first < span.first_word and _end(first, span.end_word - first, len(words), costs, max_cost) < span.end_word:
        first += 1
    return Span(first, span.end_word, words[first][0], span.end)
