"""Patient identifiers in text: found by rules, returned as places and kinds, masked.

The kinds follow the eighteen of the HIPAA Safe Harbor rule (45 CFR 164.514(b)(2)) as far as text shows them by form.
Rules find what has a form or a label; a name that stands alone in a sentence, with no title and no common given name,
is not found. No rule keeps or reports the identifier itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple

from indexers.sources.identifier_rules import (
    COMMON_WORDS,
    CREDIT,
    CREDIT_REACH,
    EPONYM_WORDS,
    FORM_RULES,
    NAME_RULES,
    Rule,
)

IdentifierKind = Literal[
    "name", "number", "social security", "phone", "email", "address", "web", "date", "age", "device"
]  # fmt: skip

DIRECT: frozenset[IdentifierKind] = frozenset({"name", "number", "social security", "phone", "email", "address"})
"""Kinds that point at one person by themselves. The others (a date, an age over 89) do so only in combination."""

IdentifierPolicy = Literal["refuse", "mask", "allow"]
"""What a build does with identifiers.

refuse: a corpus with many is refused, a record with a direct one is left out, indirect ones are masked.
mask: every one is replaced by its kind. allow: text is taken as it is, for corpora known to be free of them.
"""


class Identifier(NamedTuple):
    """A place in a text, by character: `text[start:end]`."""

    kind: IdentifierKind
    start: int
    end: int


def find_identifiers(text: str, known: Collection[str] = ()) -> tuple[Identifier, ...]:
    """Identifiers in free text, in order, none overlapping another.

    `known` are words known to identify (those of a patient's name in a file's header); they are found in any case.
    """
    found = list(_matches(text, (*NAME_RULES, *FORM_RULES)))
    if known:
        words = "|".join(re.escape(word) for word in sorted(known, key=len, reverse=True))
        pattern = re.compile(rf"(?<![^\W_])(?:{words})(?![^\W_])", re.IGNORECASE)
        found += [Identifier("name", *match.span()) for match in pattern.finditer(text)]
    return _apart(found)


def find_in_name(name: str) -> tuple[Identifier, ...]:
    """Identifiers in a record id or a file name, where bare numbers and dates are ordinary: only the direct kinds.

    Underscores count as spaces.
    """
    rules = (*NAME_RULES, *(rule for rule in FORM_RULES if not rule.text_only))
    return tuple(item for item in _apart(_matches(name.replace("_", " "), rules)) if item.kind in DIRECT)


def mask(text: str, found: Iterable[Identifier] | None = None) -> str:
    """The text with each identifier replaced by its kind in brackets, such as `[date]`."""
    parts: list[str] = []
    end = 0
    for item in find_identifiers(text) if found is None else found:
        parts += [text[end : item.start], f"[{item.kind}]"]
        end = item.end
    return "".join((*parts, text[end:]))


def mask_name(name: str) -> str:
    """As `mask`, by the rules of `find_in_name`."""
    return mask(name, find_in_name(name))


def describe(found: Iterable[Identifier]) -> str:
    """How many of which kind, for messages: `2 name, 1 phone`. Never what they are."""
    counts = Counter(item.kind for item in found)
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))


def _matches(text: str, rules: Iterable[Rule]) -> Iterable[Identifier]:
    for rule in rules:
        if rule.hint and not rule.hint.search(text):
            continue
        for match in rule.pattern.finditer(text):
            start, end = match.span(rule.group)
            if not _is_excepted(rule, text, match.group(rule.group), start, end):
                yield Identifier(rule.kind, start, end)


def _is_excepted(rule: Rule, text: str, found: str, start: int, end: int) -> bool:
    if rule.kind == "name" and found.split(maxsplit=1)[0].rstrip(",").casefold() in COMMON_WORDS:
        return True  # "A" is a word, "A." is an initial.
    if rule.credited and _is_credited(text, start):
        return True
    return rule.eponymic and EPONYM_WORDS.match(text, end) is not None


def _is_credited(text: str, start: int) -> bool:
    """Whether a credit line runs here: authors and addresses of published works are no patients'."""
    before = text[max(0, start - CREDIT_REACH) : start].rpartition("\n\n")[2]
    return CREDIT.search(before) is not None


def _apart(found: Iterable[Identifier]) -> tuple[Identifier, ...]:
    """In order; of overlapping ones the earliest and longest, stretched over the rest."""
    apart: list[Identifier] = []
    for item in sorted(found, key=lambda item: (item.start, -item.end, item.kind)):
        if apart and item.start < apart[-1].end:
            apart[-1] = apart[-1]._replace(end=max(apart[-1].end, item.end))
        else:
            apart.append(item)
    return tuple(apart)
