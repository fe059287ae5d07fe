"""Printed lines of a page, and the text and word boxes made from them. Pure: no PDF library is used here.

Boxes are (x0, y0, x1, y1) in points from the top left corner of the page as it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from indexers.sources.characters import clean

Rect = tuple[float, float, float, float]


class Word(NamedTuple):
    """A printed word and its box."""

    text: str
    box: Rect


class Run(NamedTuple):
    """A stretch of a line in one weight."""

    text: str
    bold: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One printed line: its words, box, largest font size in points, whether it begins bold, and its text block.

    `runs` are its stretches of bold and plain text in order; they are empty where the source has no fonts.
    """

    words: tuple[Word, ...]
    box: Rect
    size: float
    bold: bool
    block: int
    runs: tuple[Run, ...] = ()

    @property
    def text(self) -> str:
        """The words with single spaces between them."""
        return " ".join(word.text for word in self.words)


class PageText(NamedTuple):
    """Text of a page and one box per `text.split()` word."""

    text: str
    boxes: tuple[Rect, ...]


_HYPHENATED = re.compile(r"[^\W\d_]{2,}-$")
_CONTINUES = re.compile(r"[^\W\d_A-Z]")


def union(boxes: Iterable[Rect]) -> Rect:
    """The smallest box that holds all of them."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def clean_words(text: str, box: Rect) -> tuple[Word, ...]:
    """Words of an extracted token: hidden characters may vanish, odd spaces may part it; the parts share the box."""
    return tuple(Word(part, box) for part in clean(text).split())


def attach_markers(lines: Sequence[Line]) -> list[Line]:
    """Put each list mark that was extracted as a line of its own in front of the item it stands beside.

    Only marks without letters or digits move, so the order of what can be read stays as extracted. A mark without an
    item is dropped.
    """
    marks = [line for line in lines if not any(c.isalnum() for c in line.text)]
    if not marks:
        return list(lines)
    readable = [line for line in lines if any(c.isalnum() for c in line.text)]
    for mark in marks:
        beside = [i for i, line in enumerate(readable) if _is_beside(mark, line)]
        if beside:
            item = readable[beside[0]]
            readable[beside[0]] = replace(item, words=mark.words + item.words, box=union((mark.box, item.box)))
    return readable


def _is_beside(mark: Line, line: Line) -> bool:
    height = line.box[3] - line.box[1]
    return abs(mark.box[1] - line.box[1]) < 0.5 * height and -1.0 <= line.box[0] - mark.box[2] < 2.5 * height


def page_text(lines: Sequence[Line]) -> PageText:
    """Join lines in their order: a newline after each line, an empty line between blocks and around list items.

    A word split at a line's end is joined and keeps the box of its first part. Each word of the text has its box.
    """
    pieces: list[str] = []
    boxes: list[Rect] = []
    vocabulary = {word.text.lower().strip(".,;:()") for line in lines for word in line.words}
    carried = 0
    for i, line in enumerate(lines):
        words = line.words[carried:]
        if i and words:
            pieces.append("\n" if line.block == lines[i - 1].block and not _is_item(line) else "\n\n")
        pieces.append(" ".join(word.text for word in words))
        boxes.extend(word.box for word in words)
        carried = 0
        following = lines[i + 1] if i + 1 < len(lines) else None
        if words and following is not None and _splits(words[-1], line, following):
            tail = following.words[0].text
            pieces[-1] = _joined(pieces[-1], words[-1].text, tail, vocabulary)
            carried = 1
    return PageText("".join(pieces), tuple(boxes))


def _is_item(line: Line) -> bool:
    return not any(c.isalnum() for c in line.words[0].text) and len(line.words) > 1


def _splits(last: Word, line: Line, following: Line) -> bool:
    return (
        line.block == following.block
        and bool(_HYPHENATED.search(last.text))
        and bool(_CONTINUES.match(following.words[0].text))
    )


def _joined(piece: str, head: str, tail: str, vocabulary: set[str]) -> str:
    """Drop the hyphen, unless the page prints the joined form with it elsewhere (beta-blocker split at its hyphen)."""
    keep = (head + tail).lower().strip(".,;:()") in vocabulary
    return (piece if keep else piece[:-1]) + tail


def bold_terms(lines: Sequence[Line], size: float) -> tuple[str, ...]:
    """Terms set bold inside running text of a font size, in order and once each: what a textbook introduces there.

    A term that goes over a line's end is joined. Wholly bold lines are headings, not terms.
    """
    terms: dict[str, None] = {}
    carried = ""
    for i, line in enumerate(lines):
        is_prose = abs(line.size - size) < 0.6 and any(not run.bold for run in line.runs)
        following = lines[i + 1] if i + 1 < len(lines) and lines[i + 1].block == line.block else None
        for j, run in enumerate(line.runs if is_prose else ()):
            term = f"{carried} {run.text}".strip() if run.bold else carried
            carried = ""
            goes_on = run.bold and j == len(line.runs) - 1 and following and following.runs and following.runs[0].bold
            if goes_on:
                carried = term
            elif term := term.strip(" .,;:()"):
                terms.setdefault(term)
    return tuple(term for term in terms if any(c.isalpha() for c in term))
