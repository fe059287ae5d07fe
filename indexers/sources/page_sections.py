"""Section path of every place in a book, from its outline or, without one, from its headings. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from indexers.sources.characters import clean
from indexers.sources.page_lines import Line

_GLUED = re.compile(r"(?<=\d)(?=[A-Z][a-z])")
_MAX_DEPTH = 8
_MAX_TITLE = 160
_HEADING_WORDS = 16
_HEADING_RATIO = 1.12
"""A heading is set at least 12 % larger than the body text: below that, sizes of captions and boxes overlap."""


class Entry(NamedTuple):
    """A heading of the book: its page from 1, distance from the page's top in points, level from 1, and title."""

    page: int
    y: float
    level: int
    title: str


class Sections:
    """Answers which headings stand above a place. Built once per book."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        ordered = sorted(entries, key=lambda entry: (entry.page, entry.y))
        self._places = [(entry.page, entry.y) for entry in ordered]
        self._paths: list[tuple[str, ...]] = []
        stack: list[tuple[int, str]] = []
        for entry in ordered:
            while stack and stack[-1][0] >= entry.level:
                stack.pop()
            stack.append((entry.level, entry.title))
            self._paths.append(tuple(title for _, title in stack[:_MAX_DEPTH]))

    def at(self, page: int, y: float) -> tuple[str, ...]:
        """Headings above a point of a page, outermost first; a heading counts from its own line on."""
        i = bisect_right(self._places, (page, y + 1.0))
        return self._paths[i - 1] if i else ()

    def of_page(self, page: int, lines: Sequence[Line]) -> tuple[str, ...]:
        """The path under which most of the page's words stand; the earlier one of two that are equal."""
        counts: Counter[tuple[str, ...]] = Counter()
        for line in lines:
            counts[self.at(page, line.box[1])] += len(line.words)
        return max(counts, key=lambda path: counts[path]) if counts else self.at(page, 0.0)


def title_of(text: str) -> str:
    """A heading's text on one line; a chapter number glued to its title by the outline is set apart."""
    return _GLUED.sub(" ", " ".join(clean(text).split()))[:_MAX_TITLE]


def headings(pages: Iterable[tuple[int, Sequence[Line]]]) -> list[Entry]:
    """Headings of a book without an outline: short lines set larger than its body text; larger is a higher level.

    pages: page number and body lines of every page.
    """
    weights: Counter[float] = Counter()
    found: list[tuple[int, Line]] = []
    for page, lines in pages:
        for line in lines:
            weights[_half(line.size)] += len(line.text)
            if len(line.words) <= _HEADING_WORDS and any(c.isalpha() for c in line.text):
                found.append((page, line))
    if not weights:
        return []
    body = max(weights, key=lambda size: (weights[size], -size))
    large = [(page, line) for page, line in found if line.size >= _HEADING_RATIO * body]
    levels = {size: i + 1 for i, size in enumerate(sorted({_half(line.size) for _, line in large}, reverse=True))}
    return _merged(
        [
            Entry(page, line.box[1], min(levels[_half(line.size)], _MAX_DEPTH), title_of(line.text))
            for page, line in large
        ]
    )


def _half(size: float) -> float:
    return round(size * 2) / 2


def _merged(entries: list[Entry]) -> list[Entry]:
    """A heading printed on two lines is one heading."""
    merged: list[Entry] = []
    for entry in entries:
        last = merged[-1] if merged else None
        if last and (last.page, last.level) == (entry.page, entry.level) and 0 <= entry.y - last.y < 40:
            merged[-1] = last._replace(title=f"{last.title} {entry.title}"[:_MAX_TITLE])
        else:
            merged.append(entry)
    return merged
