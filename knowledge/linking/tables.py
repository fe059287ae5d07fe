"""Concepts compiled for look-up: every form in normal words, and which concepts it may mean."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

from knowledge.linking.forms import (
    MOST_WORDS,
    is_abbreviation,
    is_linkable,
    stop_words,
    turned,
    without_qualifier,
)
from knowledge.linking.words import hyphenated_words, singular, spelling, words_of
from knowledge.triples import Concept

NAME, SYNONYM, TURNED, ABBREVIATION = range(4)
"""How a row's form relates to its concept, best first. Turned: a form in another order, or without its hyphens."""

Rows = tuple[int, ...]


@dataclass(slots=True)
class Tables:
    """What a linker looks forms up in. A row is one form of one concept; concepts are numbered in order of arrival.

    `forms` maps normal words joined by blanks to rows, `cased` an abbreviation as written. `openings` maps the first
    word of longer forms to their second, and that to the numbers of words they have, as bits.
    """

    keys: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    domains: list[str] = field(default_factory=list)
    row_concepts: array[int] = field(default_factory=lambda: array("I"))
    row_kinds: bytearray = field(default_factory=bytearray)
    row_forms: list[str] = field(default_factory=list)
    forms: dict[str, Rows] = field(default_factory=dict)
    cased: dict[str, Rows] = field(default_factory=dict)
    openings: dict[str, dict[str, int]] = field(default_factory=dict)
    vocabulary: set[str] = field(default_factory=set)


def compile_tables(concepts: Iterable[Concept], lexicon: Iterable[Concept] = ()) -> Tables:
    """The tables of `concepts`, with the entries of a lexicon laid over them.

    An entry that shares a form (not an abbreviation) with a concept only adds its other forms, and its domain if the
    concept has none; an entry that shares none becomes a concept of its own, identified by its own key.
    """
    compiler = _Compiler(Tables())
    given, entries = list(concepts), list(lexicon)
    compiler.read_words((*given, *entries))
    for concept in given:
        compiler.add(concept)
    compiler.lay_over(entries)
    return compiler.tables


class _Compiler:
    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._spellings: dict[str, str] = {}
        self._normal: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._stop = stop_words()

    def read_words(self, concepts: Sequence[Concept]) -> None:
        """Collect the vocabulary first: what is a plural depends on which singulars anybody writes."""
        spellings = self._spellings
        for concept in concepts:
            for form in (concept.name, *concept.forms):
                if is_linkable(form):
                    for word in words_of(form):
                        if word not in spellings:
                            spellings[word] = spelling(word)
        self.tables.vocabulary = set(spellings.values()) - {""}

    def add(self, concept: Concept, *, ours: bool = False) -> int:
        """Number a concept and add its forms; a key that comes twice is one concept with the forms of both."""
        number = self._number(concept)
        self._add_form(number, concept.name, NAME if concept.name == self.tables.names[number] else SYNONYM, ours=ours)
        for form in concept.forms:
            self._add_form(number, form, SYNONYM, ours=ours)
        return number

    def lay_over(self, entries: Sequence[Concept]) -> None:
        """Add the entries of a lexicon, each to the given concept that it speaks of, if there is one."""
        shared = self._shared_forms(entries)
        found = [self._counterpart(entry, shared) for entry in entries]
        for entry, number in zip(entries, found, strict=True):
            if number is None:
                self.add(entry, ours=True)
                continue
            self.tables.domains[number] = self.tables.domains[number] or entry.domain
            for form in (entry.name, *entry.forms):
                self._add_form(number, form, SYNONYM, ours=True)

    def _shared_forms(self, entries: Sequence[Concept]) -> set[str]:
        """Forms of more than one entry ("disc"): they tell nothing of which concept an entry speaks of."""
        counts = Counter(key for entry in entries for key in {self._key(form) for form in (entry.name, *entry.forms)})
        return {key for key, count in counts.items() if count > 1}

    def _counterpart(self, entry: Concept, shared: Container[str]) -> int | None:
        """The given concept that a lexicon entry speaks of: by key, else by a name among its forms, else by a synonym.

        A synonym that is all of the entry's name but only part of the concept's is not believed: for a register of
        tumours "polyp" may mean that of the uterus.
        """
        if entry.key in self._numbers:
            return self._numbers[entry.key]
        tables = self.tables
        keys = [self._key(form) for form in (entry.name, *entry.forms) if not is_abbreviation(form)]
        rows = [row for key in keys if key not in shared for row in tables.forms.get(key, ())]
        for row in rows:
            if tables.row_kinds[row] == NAME:
                return tables.row_concepts[row]
        words = set(self._words(entry.name))
        wider = (tables.row_concepts[row] for row in rows)
        return next((number for number in wider if not words < set(self._words(tables.names[number]))), None)

    def _number(self, concept: Concept) -> int:
        tables = self.tables
        number = self._numbers.setdefault(concept.key, len(tables.keys))
        if number == len(tables.keys):
            tables.keys.append(concept.key)
            tables.names.append(concept.name)
            tables.domains.append(concept.domain)
        else:
            tables.domains[number] = tables.domains[number] or concept.domain
        return number

    def _add_form(self, number: int, form: str, kind: int, *, ours: bool) -> None:
        if not is_linkable(form):
            return
        form = without_qualifier(form)
        if is_abbreviation(form):
            self._add_row(self.tables.cased, form, number, form, ABBREVIATION)
            return
        words = self._words(form)
        # Several words that say nothing alone may say something together, but only our own lexicon is trusted in that.
        if not (ours and len(words) > 1) and self._stop.issuperset(words):
            return
        self._add_words(words, number, form, kind)
        if "-" in form:
            joined = [self._normal_word(word) for word in words_of(form.replace("-", ""))]
            self._add_words(joined, number, form, TURNED)
        if "," in form and (natural := turned(form)):
            self._add_words(self._words(natural), number, form, TURNED)

    def _add_words(self, words: list[str], number: int, form: str, kind: int) -> None:
        tables = self.tables
        key = " ".join(words)
        if not 0 < len(words) <= 2 * MOST_WORDS or "" in words or len(key) < 2 or key.replace(" ", "").isdigit():
            return
        self._add_row(tables.forms, key, number, form, kind)
        if len(words) > 1:
            seconds = tables.openings.setdefault(words[0], {})
            seconds[words[1]] = seconds.get(words[1], 0) | 1 << len(words)

    def _add_row(self, index: dict[str, Rows], key: str, number: int, form: str, kind: int) -> None:
        tables, rows = self.tables, index.get(key, ())
        for row in rows:
            if tables.row_concepts[row] == number:
                tables.row_kinds[row] = min(kind, tables.row_kinds[row])
                return
        index[key] = (*rows, len(tables.row_kinds))
        tables.row_concepts.append(number)
        tables.row_kinds.append(kind)
        tables.row_forms.append(form)

    def _words(self, form: str) -> list[str]:
        words = hyphenated_words(form, self._is_known) if "-" in form else words_of(form)
        return [self._normal_word(word) for word in words]

    def _key(self, form: str) -> str:
        return " ".join(self._words(form))

    def _is_known(self, word: str) -> bool:
        return self._normal_word(word) in self.tables.vocabulary

    def _normal_word(self, word: str) -> str:
        normal = self._normal.get(word)
        if normal is None:
            normal = self._normal[word] = singular(spelling(word), self.tables.vocabulary)
        return normal
