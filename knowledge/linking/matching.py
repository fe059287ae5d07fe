"""Greedy longest match of a text's words against compiled tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from knowledge.linking.forms import english_words, stop_words
from knowledge.linking.tables import Rows, Tables
from knowledge.linking.words import LONGEST_WORD, hyphenated_words, singular, spelling, words_of

_MOST_REMEMBERED = 200_000
"""Words whose reading is kept; then the memory starts afresh, so that a long run stays small."""
_NEIGHBOURHOOD = 40
"""Characters on both sides that tell whether capitals mean anything here."""

_PLAIN = re.compile(r"[\w '’-]*")
# A full stop behind one or two letters abbreviates ("E. coli", "St. Louis encephalitis").
_BREAK = re.compile(r"[;!?]|(?<!\b\w)(?<!\b\w\w)[.:](?=\s)|\n[^\S\n]*\n")
_SIGNS_OF_FORMS = ",()[]{}"
# Starts with a literal, so that a text is searched at the speed of `find`.
_INVERTED = re.compile(r", ([^\W\d_]+(?:[ -][^\W\d_]+){0,2})(?=\s*(?:[.;,:)\n]|$))")
_LAST_WORD = re.compile(r"[^\W\d_]+\Z")

Match = tuple[int, int, Rows, bool]
"""Start, end, the rows that may be meant, and whether the words stand in a register's order ("effusion, pleural")."""

Reading = tuple[str, Rows, "Mapping[str, int] | None"]
"""A word's normal form, the rows that it names alone, and which words may follow it (see `Tables.openings`)."""


_Tokens = tuple[Sequence[str], Sequence[int], Sequence[Reading]]
"""Words as written, where they start, and what they mean."""


class Readings(dict[str, Reading]):
    """What each word as written means, worked out once. Safe to share between threads: a lost entry is read again."""

    def __init__(self, tables: Tables) -> None:
        self._tables, self._stop = tables, stop_words()

    def __missing__(self, word: str) -> Reading:
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        tables = self._tables
        normal = singular(spelling(word), tables.vocabulary)
        rows = () if normal in self._stop else tables.forms.get(normal, ())
        if word.isupper() or (word[-1:] == "s" and word[:-1].isupper()):
            short = tables.cased.get(word) or tables.cased.get(word.rstrip("s"), ())
            rows = tuple(dict.fromkeys((*short, *rows)))
        reading = self[word] = (normal or "\0", rows, tables.openings.get(normal))
        return reading

    def is_known(self, word: str) -> bool:
        """Whether any form holds the word."""
        return self[word][0] in self._tables.vocabulary


class Matcher:
    """Finds the longest forms in a text, left to right. Time is linear in the text."""

    def __init__(self, tables: Tables) -> None:
        self._tables, self._forms, self._english = tables, tables.forms, english_words()
        self._readings = Readings(tables)

    def matches(self, text: str) -> list[Match]:
        """Places that name something, in order, without overlaps."""
        found = self._in_order(text)
        if "," in text and (inverted := self._inverted(text)):
            return _merged(found, inverted)
        return found

    def _in_order(self, text: str) -> list[Match]:
        hyphens = "-" in text or "‐" in text or "‑" in text
        words = hyphenated_words(text, self._readings.is_known) if hyphens else words_of(text)
        read = list(map(self._readings.__getitem__, words))
        hits = [i for i, (_, rows, openings) in enumerate(read) if rows or openings]
        if not hits:
            return []
        starts, last = _starts(text, words), len(read) - 1
        found: list[Match] = []
        skip = 0
        for i in hits:
            if i < skip:
                continue
            _, rows, openings = read[i]
            if openings and i < last and (lengths := openings.get(read[i + 1][0])):
                longest = self._longest(text, (words, starts, read), i, lengths)
                if longest is not None:
                    skip, match = longest
                    found.append(match)
                    continue
            if rows:
                word, start = words[i], starts[i]
                if not (word.isupper() and self._is_shouted(text, word, start)):
                    found.append((start, start + len(word), rows, False))
        return found

    def _longest(self, text: str, tokens: _Tokens, i: int, lengths: int) -> tuple[int, Match] | None:
        """The longest form at word `i`, of the possible `lengths`, and the number of the word behind it."""
        words, starts, read = tokens
        normal = [word for word, _, _ in read[i : i + lengths.bit_length() - 1]]
        start = starts[i]
        while lengths:
            length = lengths.bit_length() - 1
            lengths ^= 1 << length
            rows = self._forms.get(" ".join(normal[:length])) if length <= len(normal) else None
            if rows:
                last = i + length - 1
                end = starts[last] + len(words[last])
                span = text[start:end]
                if span.replace(" ", "").isalnum() or (rows := self._fitting(span, rows)):
                    return last + 1, (start, end, rows, False)
        return None

    def _fitting(self, span: str, rows: Rows) -> Rows:
        """The rows whose form may be written so: no match reaches over the end of a sentence or into brackets."""
        if _PLAIN.fullmatch(span):
            return rows
        if _BREAK.search(span):
            return ()
        signs = [sign for sign in _SIGNS_OF_FORMS if sign in span]
        return tuple([row for row in rows if all(sign in self._tables.row_forms[row] for sign in signs)])

    def _is_shouted(self, text: str, word: str, start: int) -> bool:
        """Whether a word in capitals is plain English among other capitals ("NOT ALL"), and so no abbreviation."""
        if spelling(word) not in self._english:
            return False
        end = start + len(word)
        around = text[max(0, start - _NEIGHBOURHOOD) : start] + text[end : end + _NEIGHBOURHOOD]
        return around.isupper()

    def _inverted(self, text: str) -> list[Match]:
        """As in "effusion, pleural;": names in the order of a register, closed by the end of the phrase."""
        found: list[Match] = []
        for match in _INVERTED.finditer(text):
            head = _LAST_WORD.search(text, max(0, match.start() - LONGEST_WORD), match.start())
            if head is None:
                continue
            words = [self._readings[word][0] for word in (*words_of(match[1]), head[0])]
            rows = self._forms.get(" ".join(words))
            if rows:
                found.append((head.start(), match.end(), rows, True))
        return found


def _starts(text: str, words: Sequence[str]) -> list[int]:
    """Where each word starts. Between two words stands nothing that a word holds, so the next occurrence is it."""
    find, position = text.find, 0
    starts: list[int] = []
    for word in words:
        position = find(word, position)
        starts.append(position)
        position += len(word)
    return starts


def _merged(found: list[Match], inverted: list[Match]) -> list[Match]:
    """Both, in order; an inverted name takes the place of what its parts name."""
    merged: list[Match] = []
    following = iter(inverted)
    turned = next(following, None)
    for match in found:
        while turned is not None and turned[1] <= match[0]:
            merged.append(turned)
            turned = next(following, None)
        if turned is None or match[1] <= turned[0]:
            merged.append(match)
        elif match[1] > turned[1]:
            # A longer name reaches over the end of the inverted one: it was read left to right, so it stays.
            merged.append(match)
            turned = next(following, None)
    return merged if turned is None else [*merged, turned, *following]
