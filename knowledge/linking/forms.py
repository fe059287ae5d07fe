"""Which names can be looked for in text, and the other ways to write them that a rule can tell."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files

from knowledge.linking.words import spelling, words_of
from knowledge.triples import Triple

MOST_WORDS = 8
"""Words of the longest name that is looked for: what is longer is a sentence about a concept, not its name."""
_MOST_CHARACTERS = 120
_LONGEST_ABBREVIATION = 6
_MOST_TURNED_WORDS = 6

_QUALIFIER = re.compile(
    r"\s*(?:\((?:disorder|finding|disease|morphologic abnormality|procedure|qualifier value)\)|\[[^\]]*\])\s*$"
)
_COMMA = re.compile(r",\s+")
_JOINING = frozenset(("and", "or", "with", "without", "due", "not", "nos", "excluding", "including", "other"))

LITERAL_RELATIONS = frozenset(
    (
        "definition", "description", "treatment", "prevention", "cause", "symptom", "infectivity", "function", "effect",
        "position", "component", "susceptible population", "shape", "size", "length", "weight", "diameter", "nature",
        "characteristic", "texture", "density", "onset", "therapeutic method", "route of transmission",
        "transmitted by",
    )
)  # fmt: skip
"""Relations whose tails are descriptions in words. A tail of theirs is a name only if another triple uses it as one."""


def linkable_keys(triples: Iterable[Triple]) -> set[str]:
    """Keys of the concepts that stand in a triple as more than a description: pass only these to a `Linker`."""
    return {
        key
        for triple in triples
        for key in (triple.head, *(() if plain_relation(triple.relation) in LITERAL_RELATIONS else (triple.tail,)))
    }


def plain_relation(relation: str) -> str:
    """A relation's name in lower case with single blanks: "has_Shape " and "has shape" are one."""
    return " ".join(relation.replace("_", " ").lower().split())


def is_linkable(form: str) -> bool:
    """Whether a name can be looked for: it has letters and at most `MOST_WORDS` words.

    It must not open or end as a piece of a sentence does ("mutation of the gene which", "a tumour of bone").
    """
    if not 2 <= len(form) <= _MOST_CHARACTERS or form.endswith("."):
        return False
    words = form.casefold().split()
    if not 1 <= len(words) <= MOST_WORDS:
        return False
    if len(words) > 1 and (words[0] in _LOOSE_STARTS or words[-1] in _LOOSE_ENDS):
        return False
    return any(char.isalpha() for char in form)


_LOOSE_STARTS = frozenset(("a", "an", "the", "of", "and", "or", "which", "that", "by", "is", "are", "to", "usually"))
_LOOSE_ENDS = frozenset(("a", "an", "the", "of", "and", "or", "which", "that", "by", "is", "are", "with", "in", "from"))


def is_abbreviation(form: str) -> bool:
    """Whether a form is matched only in the case it is written: short, one word, all of its letters capitals."""
    return len(form) <= _LONGEST_ABBREVIATION and form.isupper() and form.isalnum()


def without_qualifier(form: str) -> str:
    """The form without what a terminology adds behind it: "Subluxation of lens (disorder)"."""
    return _QUALIFIER.sub("", form) if form.endswith((")", "]")) else form


def turned(form: str) -> str:
    """A name that its register inverts, in its natural order: "carcinoma, squamous cell"; "" where that is no name."""
    parts = _COMMA.split(form)
    if len(parts) != 2:
        return ""
    words = form.replace(",", " ").split()
    if len(words) > _MOST_TURNED_WORDS or not _JOINING.isdisjoint(word.lower() for word in words):
        return ""
    return f"{parts[1]} {parts[0]}"


@cache
def stop_words() -> frozenset[str]:
    """Words in normal spelling that are never linked alone: English words, modifiers, and words such as "disease"."""
    data = tomllib.loads(files("knowledge.linking").joinpath("stop_words.toml").read_text(encoding="utf-8"))
    return frozenset(_spelled(line for lines in data.values() for line in lines))


@cache
def english_words() -> frozenset[str]:
    """Words of plain English, which an abbreviation in a text all in capitals may only seem to be ("ALL", "AS")."""
    data = tomllib.loads(files("knowledge.linking").joinpath("stop_words.toml").read_text(encoding="utf-8"))
    return frozenset(_spelled(data["english"]))


def _spelled(lines: Iterable[str]) -> Iterator[str]:
    return (spelling(word) for line in lines for word in words_of(line))
