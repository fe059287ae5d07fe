"""Which relations a question asks for, by its words: "How is it treated?" asks for treatments. A rule, no model.

The words of each relation stand in `asked_relations.toml`: plain English for what the list of relations means.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files

_ENDINGS = r"(?:s|es|d|ed|ing)?"


def asked_relations(question: str) -> tuple[str, ...]:
    """The canonical relations that the question's words ask for, in the order in which they are first asked for.

    A word that only introduces another ("what kind of symptoms") asks for nothing itself. Of words that overlap, the
    longest counts. What words only hint at ("which organ") comes last.
    """
    taken: list[_Found] = []
    for found in sorted(_matches(question), key=lambda row: (row[0] - row[1], row[0])):
        if all(found[1] <= start or found[0] >= end for start, end, _, _ in taken):
            taken.append(found)
    taken.sort()
    asked = [
        (hint, relation)
        for number, (_, end, hint, relation) in enumerate(taken)
        if not (relation == "is_a" and _introduces(question, end, taken[number + 1 : number + 2]))
    ]
    return tuple(dict.fromkeys(relation for _, relation in sorted(asked, key=lambda row: row[0])))


_Found = tuple[int, int, bool, str]
"""Start, end, whether it is only a hint, and the relation."""


def _introduces(question: str, end: int, following: list[_Found]) -> bool:
    return bool(following) and not question[end : following[0][0]].strip()


def _matches(question: str) -> list[_Found]:
    return [
        (found.start(), found.end(), hint, relation)
        for hint, relation, pattern in _patterns()
        for found in pattern.finditer(question)
    ]


@cache
def _patterns() -> tuple[tuple[bool, str, re.Pattern[str]], ...]:
    data = tomllib.loads(files("knowledge").joinpath("asked_relations.toml").read_text(encoding="utf-8"))
    return tuple(
        (
            section == "hinted",
            relation,
            re.compile(rf"\b(?:{'|'.join(map(_form, sorted(words, key=len, reverse=True)))})\b", re.IGNORECASE),
        )
        for section in ("asked", "hinted")
        for relation, words in data[section].items()
    )


def _form(word: str) -> str:
    """A pattern of a word and its plain inflections; a final e or y gives way to an ending. Of a phrase, the first."""
    word, blank, rest = word.partition(" ")
    if blank:
        return _form(word) + r"\s+" + re.escape(rest).replace(r"\ ", r"\s+")
    stem = re.escape(word)
    if word.endswith("e"):
        return rf"{stem[:-1]}(?:e|es|ed|ing)"
    if word.endswith("y"):
        return rf"{stem[:-1]}(?:y|ies|ied|ying)"
    return stem + _ENDINGS
