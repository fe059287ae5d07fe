"""Sentences of a report: short, often without verbs, full of abbreviations, numbers and list marks.

`rag.sentences` reads printed books and joins wrapped lines by their width; a report is too short for that, so the rules
here look at the ends and beginnings of lines instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from knowledge.findings.tokens import Span

_ABBREVIATIONS = frozenset(
    (
        "dr",
        "mr",
        "mrs",
        "ms",
        "prof",
        "vs",
        "v",
        "approx",
        "ca",
        "e.g",
        "i.e",
        "eg",
        "ie",
        "st",
        "fig",
        "hx",
        "incl",
        "bilat",
    )
)
_STOP = re.compile(r"[.!?]+[\"'”’)\]]*(?=\s|$)|(?<=[a-z]{3})\.(?=[A-Z][a-z])")
_LAST_WORD = re.compile(r"[^\s(\[]+$")
_LINE = re.compile(r"[^\r\n]+")
_STARTS_ITEM = re.compile(r"\s*(?:[•●○◦▪■‣*–—-]\s|\(?\d{1,2}[.)]\s|\([a-z]\)\s|[A-Z][\w /()-]{1,40}:(?!\S))")
_GOES_ON = re.compile(r"(?:,|\b(?:or|and|of|the|with|no|in|a|an|is|are|to|for|without))\s*$", re.IGNORECASE)
_WRAPPED_LENGTH = 60
"""A line this long that ends without a stop was broken for want of room, even in front of a capital letter."""


def report_sentences(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """Where the sentences of `text[start:end]` stand, in order, without the blanks around them."""
    last = len(text) if end is None else end
    spans: list[Span] = []
    for first, stop in _blocks(text, start, last):
        begin = first
        for match in _STOP.finditer(text, first, stop):
            if _ends_sentence(text[begin : match.start()], match.group()):
                spans.append((begin, match.end()))
                begin = match.end()
        spans.append((begin, stop))
    return [trimmed for span in spans if (trimmed := _trim(text, span)) is not None]


def _blocks(text: str, start: int, end: int) -> Iterator[Span]:
    """Runs of lines that belong to one paragraph or list item."""
    open_block: Span | None = None
    for match in _LINE.finditer(text, start, end):
        first, stop = match.span()
        if open_block is not None and _continues(text, open_block, (first, stop)):
            open_block = (open_block[0], stop)
            continue
        if open_block is not None:
            yield open_block
        open_block = (first, stop)
    if open_block is not None:
        yield open_block


def _continues(text: str, block: Span, line: Span) -> bool:
    gap, following = text[block[1] : line[0]], text[line[0] : line[1]]
    if gap.count("\n") > 1 or not following.strip() or _STARTS_ITEM.match(following):
        return False
    before = text[text.rfind("\n", block[0], block[1]) + 1 or block[0] : block[1]].rstrip()
    if not before or before[-1] in ".!?:;":
        return False
    return following.lstrip()[0].islower() or bool(_GOES_ON.search(before)) or len(before) >= _WRAPPED_LENGTH


def _ends_sentence(before: str, stop: str) -> bool:
    if stop[0] == "?":
        # "? pneumonia" asks about what follows; "pneumonia?" ends the sentence.
        return bool(before.strip()) and not before[-1].isspace()
    if stop[0] != "." or len(stop) > 1:
        return True
    found = _LAST_WORD.search(before)
    word = found.group().lower() if found else ""
    return word not in _ABBREVIATIONS


def _trim(text: str, span: Span) -> Span | None:
    piece = text[span[0] : span[1]]
    stripped = piece.strip()
    if not stripped:
        return None
    first = span[0] + piece.index(stripped[0])
    return first, first + len(stripped)
