"""Words of a sentence, and the items that the lexicon makes of them. Offsets always point into the original text."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from rag.passages import Polarity

Kind = Literal[
    "finding", "subject", "state", "laterality", "severity", "change", "past", "absent_before", "absent_after",
    "uncertain_before", "uncertain_after", "uncertain_either", "affirm", "affirm_after", "request", "history",
    "break_hard", "break_soft", "other", "comma", "colon", "dash", "and", "or", "article", "preposition", "copula",
    "function", "word",
]  # fmt: skip
"""What an item does. `other` names something that only sounds like a finding; `word` is any word without a role."""

Span = tuple[int, int]
"""Offsets (start, end) into the text, end exclusive."""


class Item(NamedTuple):
    """One or more tokens with a role. `value` is the lexicon's name for it: labels, a side, a grade, a state.

    `text` is the words as the lexicon read them. `polarity` and `cue` are set on a finding that its own state decides
    ("the heart is normal in size").
    """

    kind: Kind
    value: str
    start: int
    end: int
    text: str = ""
    labels: tuple[str, ...] = ()
    polarity: Polarity = "present"
    cue: Span | None = None


Token = tuple[str, int, int]
"""A word, number or mark in lower case with straight apostrophes, and its offsets."""

# No full stops: what is left of them inside a sentence ends abbreviations. A hyphen inside a word parts it silently.
_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+(?:[.,]\d+)*|[^\w\s.-]|(?<!\w)-|-(?!\w)")


def tokenize(text: str, start: int = 0, end: int | None = None) -> list[Token]:
    """The tokens of `text[start:end]`. A hyphen inside a word separates its parts; one between blanks is a mark."""
    matches = _TOKEN.finditer(text, start, len(text) if end is None else end)
    return [(match[0].lower().replace("’", "'"), match.start(), match.end()) for match in matches]
