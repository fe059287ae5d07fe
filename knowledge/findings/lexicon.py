"""The lexicon: reads `lexicon.toml` once, finds its longest phrases in tokens, and forgives one typing error a word."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any, cast

from knowledge.findings.tokens import Item, Kind, Token, tokenize

_SHORTEST_CORRECTED = 7
"""Letters of the shortest word that is corrected: below it, one error turns too many words into others."""
_MOST_REMEMBERED = 20_000
"""Unknown words whose reading is kept; then the memory starts afresh, so a long run stays small."""

_FUNCTION_KINDS: Mapping[Kind, str] = {
    "comma": ",",
    "colon": ": ;",
    "dash": "- – —",
    "and": "and & +",
    "or": "or nor / versus vs v",
    "article": "a an the this that these those another",
    "preposition": "in on at of within along over overlying involving throughout into to through around about across",
    "copula": "is are was were be been being has have had appear appears seems looks look",
    "function": "it its seen noted identified present visualized again also still size when compared comparison "
    "than as by for study film radiograph examination exam prior previous previously earlier yesterday last interval "
    "time post yr year years month months day days week weeks side sided overall repeat recent their his her ( )",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What a phrase stands for."""

    kind: Kind
    value: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """A body part: the finding it speaks of, and which of its states mean present, absent or uncertain."""

    label: str
    present: frozenset[str]
    absent: frozenset[str]
    uncertain: frozenset[str]


@dataclass(slots=True)
class _Node:
    following: dict[str, _Node]
    entry: Entry | None = None


class Lexicon:
    """Phrases by their words. `items` reads tokens left to right and takes the longest phrase at each place.

    `forgiving` reads an unknown word with one typing error as the word meant; a text of any field needs it off.
    """

    def __init__(self, data: Mapping[str, Any], *, forgiving: bool = True) -> None:
        self._root = _Node({})
        self._forgiving = forgiving
        self.subjects = {name: _subject(row) for name, row in data["subjects"].items()}
        for phrase, entry in _entries(data):
            self._add(phrase, entry)
        self.words = frozenset(_words(self._root)) | frozenset(data["plain_words"]["words"])
        correctable = sorted(word for word in _words(self._root) if len(word) >= _SHORTEST_CORRECTED)
        self.naming = frozenset(_opening_words(data))
        self._near = _deletions(correctable)
        self._corrections: dict[str, str] = {}

    def _add(self, phrase: tuple[str, ...], entry: Entry) -> None:
        node = self._root
        for word in phrase:
            node = node.following.setdefault(word, _Node({}))
        if node.entry is not None and node.entry.kind == entry.kind == "finding":
            labels = tuple(dict.fromkeys((*node.entry.labels, *entry.labels)))
            node.entry = Entry("finding", entry.value, labels)
        elif node.entry is None:
            node.entry = entry

    def items(self, tokens: Sequence[Token], *, whole: bool = False) -> list[Item]:
        """The items of a sentence, in order; every token belongs to exactly one.

        A sentence in which nothing names a finding has no items, unless `whole` asks for them all the same.
        """
        known, openings = self.words, self._root.following
        texts = [word if word in known else self._read(word) for word, _, _ in tokens]
        if not whole and self.naming.isdisjoint(texts):
            return []
        found: list[Item] = []
        i = 0
        while i < len(texts):
            text = texts[i]
            stop, entry = self._longest(texts, i) if text in openings else (i + 1, _WORD)
            if stop > i + 1:
                text = " ".join(texts[i:stop])
            found.append(Item(entry.kind, entry.value or text, tokens[i][1], tokens[stop - 1][2], text, entry.labels))
            i = stop
        return found

    def _longest(self, texts: Sequence[str], i: int) -> tuple[int, Entry]:
        node = self._root
        best, stop = _WORD, i + 1
        for j in range(i, len(texts)):
            following = node.following.get(texts[j])
            if following is None:
                break
            node = following
            if node.entry is not None:
                best, stop = node.entry, j + 1
        return stop, best

    def _read(self, word: str) -> str:
        return self._correct(word) if self._forgiving and len(word) >= _SHORTEST_CORRECTED - 1 else word

    def _correct(self, word: str) -> str:
        known = self._corrections.get(word)
        if known is None:
            if len(self._corrections) >= _MOST_REMEMBERED:
                self._corrections.clear()
            known = self._corrections[word] = self._nearest(word)
        return known

    def _nearest(self, word: str) -> str:
        candidates = {known for form in (word, *_without_one(word)) for known in self._near.get(form, ())}
        fitting = sorted(known for known in candidates if known[0] == word[0] and _one_error(word, known))
        return fitting[0] if fitting else word


_WORD = Entry("word", "")


@cache
def lexicon() -> Lexicon:
    """The lexicon that ships with the package, read on first use."""
    data = files("knowledge.findings").joinpath("lexicon.toml").read_text(encoding="utf-8")
    return Lexicon(tomllib.loads(data))


def _subject(row: Mapping[str, Any]) -> Subject:
    return Subject(row["label"], frozenset(row["present"]), frozenset(row["absent"]), frozenset(row["uncertain"]))


def _entries(data: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Entry]]:
    for label, phrases in data["findings"].items():
        yield from _expanded(phrases, Entry("finding", "", (label,)))
    yield from _expanded(data["comparisons"]["phrases"], Entry("or", ""))
    yield from _expanded(data["other_things"]["phrases"], Entry("other", ""))
    for name, row in data["subjects"].items():
        yield from _expanded(row["phrases"], Entry("subject", name))
    for section, kind in (("states", "state"), ("laterality",) * 2, ("severity",) * 2, ("change",) * 2):
        for value, phrases in data[section].items():
            yield from _expanded(phrases, Entry(cast(Kind, kind), value))
    for kind, phrases in data["cues"].items():
        yield from _expanded(phrases, Entry(cast(Kind, kind), ""))
    for function_kind, marks in _FUNCTION_KINDS.items():
        yield from _expanded(marks.split(), Entry(function_kind, ""))


def _expanded(phrases: Iterable[str], entry: Entry) -> Iterator[tuple[tuple[str, ...], Entry]]:
    """Each phrase in every form its alternatives allow, as words."""
    for phrase in phrases:
        # A phrase that is one mark ("-") stands for itself; inside a phrase it means that the word may be missing.
        choices = [part.split("|") if len(part) > 1 else [part] for part in phrase.split()]
        for chosen in product(*choices):
            kept = [part for part in chosen if part != "-" or len(choices) == 1]
            words = tuple(word for word, _, _ in tokenize(" ".join(kept)))
            if words:
                yield words, entry


def _opening_words(data: Mapping[str, Any]) -> Iterator[str]:
    """First words of everything that can name a finding; a sentence without any of them has none."""
    return (phrase[0] for phrase, entry in _entries(data) if entry.kind in ("finding", "subject"))


def _words(node: _Node) -> Iterator[str]:
    for word, following in node.following.items():
        yield word
        yield from _words(following)


def _deletions(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Words by what is left of them when one letter is missing."""
    found: dict[str, tuple[str, ...]] = {}
    for word in words:
        for form in {word, *_without_one(word)}:
            if word not in found.get(form, ()):
                found[form] = (*found.get(form, ()), word)
    return found


def _without_one(word: str) -> Iterator[str]:
    return (word[:i] + word[i + 1 :] for i in range(len(word)))


def _one_error(a: str, b: str) -> bool:
    """Whether one letter was left out, added, replaced or swapped with its neighbour (Damerau, 1964, CACM 7(3))."""
    first = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    if len(a) == len(b):
        return a[first + 1 :] == b[first + 1 :] or (
            a[first : first + 2] == b[first : first + 2][::-1] and a[first + 2 :] == b[first + 2 :]
        )
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    return len(longer) == len(shorter) + 1 and longer[first + 1 :] == shorter[first:]
