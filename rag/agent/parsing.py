"""From a model's words to a JSON object: as it stands, or the largest part of it that is one. Nothing is executed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

Reading = Literal["parsed", "salvaged"]

MOST_READ = 20_000
"""Characters of a reply that are looked at."""
_CLOSES = {"{": "}", "[": "]"}


@dataclass(frozen=True, slots=True)
class ReadObject:
    """A JSON object, and how it was got."""

    data: dict[str, Any]
    how: Reading


def read_object(text: str) -> ReadObject | None:
    """The object that a reply is, or the largest valid prefix of one that it holds; None when there is none.

    A prefix ends after a whole value: a reply that was cut off keeps the fields it had finished.
    """
    whole = _object(text[:MOST_READ])
    if whole is not None:
        return ReadObject(whole, "parsed")
    start = text.find("{", 0, MOST_READ)
    found = _largest_prefix(text[start:MOST_READ]) if start >= 0 else None
    return ReadObject(found, "salvaged") if found else None


def _largest_prefix(text: str) -> dict[str, Any] | None:
    """Tries the ends of whole values from the last to the first, with what is open closed."""
    ends = _ends(text)
    # A reply has a dozen fields; more ends than this are a list that never ended.
    for end, closing in ends[:-65:-1]:
        found = _object(text[:end].rstrip().rstrip(",") + closing)
        if found is not None:
            return found
    return None


def _ends(text: str) -> list[tuple[int, str]]:
    """Where a value ends inside the first object, and what would have to be closed there."""
    ends: list[tuple[int, str]] = []
    open_: list[str] = []
    quoted = escaped = False
    for place, letter in enumerate(text):
        if quoted:
            quoted, escaped = (letter != '"' or escaped), (letter == "\\" and not escaped)
        elif letter == '"':
            quoted = True
        elif letter in _CLOSES:
            open_.append(_CLOSES[letter])
        elif letter in "}]":
            if not open_ or open_.pop() != letter:
                break
            ends.append((place + 1, "".join(reversed(open_))))
            if not open_:
                break
        elif letter == ",":
            ends.append((place, "".join(reversed(open_))))
    else:
        if not quoted:
            # The reply ended inside the object, but its last value may be whole all the same.
            ends.append((len(text), "".join(reversed(open_))))
    return ends


def _object(text: str) -> dict[str, Any] | None:
    try:
        data = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None
