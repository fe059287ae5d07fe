"""Reads a model's reply: the statements it makes, or as many of them as came whole before the reply broke off."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rag.prompting.instructions import visible

LONGEST = 2000
"""Characters of a statement or quote beyond which it is no sentence, and is left out."""
MOST = 24
"""Statements of a reply that are read."""


@dataclass(frozen=True, slots=True)
class ReplyClaim:
    """A statement as the model made it: the label of the passage that it cites, its quote, and where it belongs."""

    text: str
    label: str
    quote: str
    section: str


@dataclass(frozen=True, slots=True)
class ParsedReply:
    """What could be read. `whole` is False when the reply was broken and only its beginning was saved."""

    claims: tuple[ReplyClaim, ...]
    insufficient: bool = False
    choice: str | None = None
    whole: bool = True


_READER = json.JSONDecoder(strict=False)
"""A server's grammar lets bare control characters into strings (xgrammar, vLLM 0.32): they are read, and taken out."""


def parse_reply(text: str, sections: Sequence[str]) -> ParsedReply | None:
    """The reply's content; None when nothing in it can be used. Never raises.

    The JSON may stand in a code fence or among words. Statements that are not three texts of a sentence's length are
    left out one by one.
    """
    start = text.find("{")
    if start < 0:
        return None
    try:
        data, _ = _READER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return _salvaged(text[start:], sections)
    if not isinstance(data, dict):
        return None
    rows = [(name, row) for name in sections if isinstance(data.get(name), list) for row in data[name]]
    claims = _claims(rows)
    insufficient = data.get("insufficient") is True
    if not claims and not insufficient and not any(name in data for name in sections):
        return None
    choice = data.get("choice")
    return ParsedReply(claims, insufficient, choice if isinstance(choice, str) else None)


def _claims(rows: Sequence[tuple[str, Any]]) -> tuple[ReplyClaim, ...]:
    made = [claim for name, row in rows if (claim := _claim(row, name)) is not None]
    return tuple(dict.fromkeys(made))[:MOST]


def _claim(row: object, section: str) -> ReplyClaim | None:
    if not isinstance(row, Mapping):
        return None
    parts = [row.get(key) for key in ("text", "evidence", "quote")]
    if not all(isinstance(part, str) and visible(part).strip() and len(part) <= LONGEST for part in parts):
        return None
    said, label, quote = (" ".join(visible(str(part)).split()) for part in parts)
    return ReplyClaim(said, label, quote, section)


def _salvaged(text: str, sections: Sequence[str]) -> ParsedReply | None:
    """The statements before the break: objects that follow each other in the lists that were begun."""
    rows = [(name, row) for name in sections for row in _begun(text, name)]
    claims = _claims(rows)
    if not claims:
        return None
    choice = re.search(r'"choice"\s*:\s*"([^"]{1,4})"', text)
    return ParsedReply(claims, False, choice.group(1) if choice else None, whole=False)


def _begun(text: str, section: str) -> Iterator[Any]:
    opened = re.search(rf'"{re.escape(section)}"\s*:\s*\[\s*', text)
    place = opened.end() if opened else len(text)
    while place < len(text):
        try:
            row, end = _READER.raw_decode(text, place)
        except (ValueError, RecursionError):
            return
        yield row
        comma = re.compile(r"\s*,\s*").match(text, end)
        if comma is None:
            return
        place = comma.end()
