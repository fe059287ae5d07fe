"""Plain text functions: sentences with exact character offsets, words, and light stems.

A page's text is split in two steps. First into blocks, at line breaks that end a heading, a list item, a table row or a
paragraph; a break inside a paragraph is only where the printer ran out of room. Then each block into sentences, at full
stops that end one. Every sentence is a slice of the text it came from, so a quote is verbatim by construction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

SentenceKind = Literal["prose", "item", "heading"]


@dataclass(frozen=True, slots=True)
class Sentence:
    """`text[start:end]` of a passage. `heading` is the nearest heading above it, empty if there is none.

    Prose ends with a full stop; an item is a list entry, table row or caption without one; a heading names what
    follows.
    """

    start: int
    end: int
    text: str
    kind: SentenceKind = "prose"
    heading: str = ""


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    end: int
    text: str
    follows_blank: bool


_BULLET = re.compile(r"^(?:[•●○◦▪■‣–—*·-]|\(?\d{1,2}[.)]|\(?[a-z][.)])\s+\S")
_BULLET_ALONE = re.compile(r"^[•●○◦▪■‣–—*·-]$")
_CAPTION = re.compile(r"^(?:FIGURE|Figure|Fig\.|TABLE|Table|Box|BOX)\s+\d+(?:[.\-–]\d+)*\.?(?:$|\s+[^\sa-z])")
_TABLE = re.compile(r"^(?:TABLE|Table)\s+\d+(?:[.\-–]\d+)*")
_STARTS_NEW = re.compile(r"^[\"'“‘(\[]*[^\W_a-z]")
_ENDS_SENTENCE = re.compile(r"[.!?…][\"'”’)\]]*$")
_WIDTH_SHARE = 0.85
"""A line that reaches this share of the text's usual line length was broken for want of room; proportional type varies
by about a tenth from line to line."""
_NARROWEST = 40
"""Characters in a line of the narrowest column: a text of shorter lines is a list, not wrapped prose."""
_CLOSED = re.compile(r"[.!?…)][\"'”’)\]]*$")
_HEADING_SHARE = 0.6
_ROW_LABEL_WORDS = 5
_ROW_GROUP_WORDS = 40
_TABLE_ENDS_WORDS = 25


def split_sentences(text: str) -> list[Sentence]:
    """The sentences, items and headings of a text, in order. `text[s.start:s.end] == s.text` holds for each."""
    found: list[Sentence] = []
    heading = ""
    for start, end in _merge_table_rows(text, _blocks(text)):
        pieces = _split_block(text, start, end)
        for first, last in pieces:
            piece = text[first:last]
            kind = _kind_of(piece)
            if kind == "heading":
                heading = " ".join(piece.split())
            found.append(Sentence(first, last, piece, kind, "" if kind == "heading" else heading))
    return found


def _kind_of(piece: str) -> SentenceKind:
    if _ENDS_SENTENCE.search(piece):
        return "prose"
    n_words = len(piece.split())
    return "heading" if n_words <= _ROW_LABEL_WORDS + 3 and not _BULLET.match(piece) and ";" not in piece else "item"


def _lines(text: str) -> list[_Line]:
    lines: list[_Line] = []
    offset, blank = 0, True
    for raw in text.splitlines(keepends=True):
        stripped = raw.strip()
        if stripped and not _BULLET_ALONE.match(stripped):
            start = offset + raw.index(stripped[0])
            lines.append(_Line(start, start + len(stripped), stripped, blank))
            blank = False
        else:
            blank = True
        offset += len(raw)
    return lines


def _blocks(text: str) -> list[tuple[int, int]]:
    """Spans of paragraphs, list items, headings and table cells."""
    lines = _lines(text)
    lengths = sorted(len(line.text) for line in lines)
    width = max(_NARROWEST, lengths[int(0.9 * (len(lengths) - 1))]) if lengths else 0
    blocks: list[tuple[int, int]] = []
    for i, line in enumerate(lines):
        if i and not _is_hard_break(lines[i - 1], line, width):
            blocks[-1] = (blocks[-1][0], line.end)
        else:
            blocks.append((line.start, line.end))
    return blocks


def _is_hard_break(line: _Line, following: _Line, width: int) -> bool:
    if _BULLET.match(following.text) or _CAPTION.match(following.text):
        return True
    if not _STARTS_NEW.match(following.text):
        # A small letter goes on with what was not closed, even across a gap that a figure left in the paragraph.
        return following.follows_blank and bool(_CLOSED.search(line.text))
    if following.follows_blank:
        return True
    if (
        _CLOSED.search(line.text)
        and len(following.text) < _HEADING_SHARE * width
        and not _CLOSED.search(following.text)
    ):
        # A short line without a full stop is the whole of its block: the heading of the next paragraph.
        return True
    first_word = following.text.split(maxsplit=1)[0]
    return len(line.text) + 1 + len(first_word) < _WIDTH_SHARE * width


def _merge_table_rows(text: str, blocks: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join the label of a table row with its cell, and runs of very short cells with each other.

    A table starts at its number and ends at the first long block that is a full sentence.
    """
    merged: list[tuple[int, int]] = []
    run: list[tuple[int, int]] = []
    in_table = False
    for block in blocks:
        piece = text[block[0] : block[1]]
        n_words = len(piece.split())
        if _TABLE.match(piece) and n_words <= _ROW_LABEL_WORDS + 3:
            merged, run, in_table = [*merged, *_joined(run), block], [], True
        elif not in_table or (n_words >= _TABLE_ENDS_WORDS and _ENDS_SENTENCE.search(piece)):
            merged, run, in_table = [*merged, *_joined(run), block], [], False
        elif n_words > _ROW_LABEL_WORDS:
            label = [run.pop()] if run else []
            merged, run = [*merged, *_joined(run), *_joined([*label, block])], []
        else:
            if run and len(text[run[0][0] : block[1]].split()) > _ROW_GROUP_WORDS:
                merged, run = [*merged, *_joined(run)], []
            run.append(block)
    return [*merged, *_joined(run)]


def _joined(run: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(run[0][0], run[-1][1])] if run else []


# Abbreviations never followed by the end of a sentence; then those that may end one when a sentence plainly begins.
_NEVER = (
    "dr mr mrs ms prof st fig figs eq eqs ref refs no nos vs cf ca approx eg ie e.g i.e viz sp spp var vol pp p ch "
    "sec gen resp dept lat inf sup ant post dx hx rx tx"
)
_MAY = "etc al a.m p.m u.s u.k b.i.d t.i.d q.i.d q.d p.o i.v i.m s.c p.r.n inc ltd jr sr ph.d m.d"
_OPENERS = (
    "the a an this that these those it its they their there he she his her we in on at as if when while with without "
    "for from to by of after before during because although however most many some such each both all other another "
    "one two no not what which who"
)
_NEVER_ENDS, _MAY_END, _STARTERS = frozenset(_NEVER.split()), frozenset(_MAY.split()), frozenset(_OPENERS.split())
_STOP = re.compile(r"[.!?…]+[\"'”’)\]]*(?:\s*\[\d+(?:[,–-]\s*\d+)*\])?\s+(?=[\"'“‘(\[]*[^\W_a-z])")
_LAST_TOKEN = re.compile(r"[^\s(\[\"'“‘/]+$")


def _split_block(text: str, start: int, end: int) -> list[tuple[int, int]]:
    pieces: list[tuple[int, int]] = []
    first = start
    for match in _STOP.finditer(text, start, end):
        if _is_sentence_end(text[first : match.start()], match.group(), text[match.end() : end]):
            last = match.start() + len(match.group().rstrip())
            pieces.append((first, last))
            first = match.end()
    if first < end:
        pieces.append((first, end))
    return pieces


def _is_sentence_end(before: str, stop: str, after: str) -> bool:
    if stop[0] != "." or stop.startswith("..."):
        return True
    found = _LAST_TOKEN.search(before)
    token = found.group().lower() if found else ""
    next_word = re.match(r"[\"'“‘(\[]*([\w’'-]+)", after)
    starts = next_word is not None and next_word.group(1).lower() in _STARTERS and next_word.group(1)[0].isupper()
    if token in _NEVER_ENDS:
        # "p" and the like are abbreviations only in front of a number or a name, "No" only in front of a number.
        return token in {"no", "p"} and starts
    if token in _MAY_END or (len(token) == 1 and token.isalpha()):
        return starts
    # A bare number at the start of a block is a list mark ("1. The heart ...").
    return not (token.isdigit() and before.strip() == token)


_WORD = re.compile(r"[^\W_]+(?:[.,’'][^\W_]+)*%?", re.UNICODE)
_FUNCTION_WORDS = (
    "a about above after all also am an and any are as at be because been before being below between both but by can "
    "could did do does doing down during each either few following for from further had has have having he her here "
    "hers him his how i if in into is it its itself just may might more most must my no nor not of off on once only "
    "or other our out over own per same she should so some such than that the their them then there these they this "
    "those through to too under until up upon very via was we were what when where which while who whom whose why "
    "will with within would you your"
)
STOPWORDS = frozenset(_FUNCTION_WORDS.split())
"""Function words of English; `no` and `not` are among them, so polarity is always checked apart from overlap."""


def words(text: str) -> list[str]:
    """Lower-case words and numbers in order; decimals, thousands and percentages stay whole (`4.5`, `1,000`, `50%`)."""
    return [match.lower().replace("’", "'") for match in _WORD.findall(text)]


_ENDINGS = ("ing", "ed", "ion", "ly", "al", "e")
_LATIN_ENDINGS = ("um", "us", "is", "ous", "ic", "ar", "a", "i")


def stem(word: str) -> str:
    """A word without its common endings, so that lines, lined and lining meet, and bronchus, bronchi and bronchial.

    Idempotent. Lighter than Porter's: plural s (Harman, 1991, "How effective is suffixing?", JASIS 42), then English
    and Latin endings, until nothing changes. Different words may meet; opposites (hyper-, hypo-) never do, because
    only endings are cut.
    """
    previous = ""
    while word != previous:
        previous, word = word, _stem_once(word)
    return word


def _stem_once(word: str) -> str:
    if len(word) < 4 or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    for ending in _ENDINGS:
        base = word.removesuffix(ending)
        if base != word and len(base) >= 3 and re.search(r"[aeiouy]", base):
            doubled = ending in {"ing", "ed"} and len(base) > 3 and base[-1] == base[-2] and base[-1] not in "lsz"
            return base[:-1] if doubled else base
    for ending in _LATIN_ENDINGS:
        base = word.removesuffix(ending)
        if base != word and len(base) >= 4:
            return base
    return word[:-1] + "i" if word.endswith("y") and len(word) > 5 else word


NUMBER_WORDS = {
    "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
    "ten": "10", "eleven": "11", "twelve": "12",
}  # fmt: skip
"""One is left out: it is a pronoun as often as a number."""


def content_stems(text: str) -> list[str]:
    """Stems of the words that carry meaning, in order: no function words; eight and 8 are the same."""
    kept = [word.removesuffix("'s") for word in words(text) if word not in STOPWORDS]
    return [NUMBER_WORDS.get(word) or stem(word) for word in kept]
