"""What steps that ask a language model need: objects out of an answer, and the place of a quote in a text."""

from __future__ import annotations

import json
from typing import Any, Protocol


class Completer(Protocol):
    """Anything that answers a prompt: a client of any model, or a script in a test."""

    def complete(self, prompt: str) -> str: ...


def objects_of(answer: str, name: str, needed: str) -> list[Any] | None:
    """The list called `name` in an answer's JSON object, or every whole object that has the key `needed`.

    The answer may stand in words or a code fence, and may be cut short. None when nothing in it can be read. What the
    list holds is not checked.
    """
    start = answer.find("{")
    if start < 0:
        return None
    try:
        found, _ = json.JSONDecoder().raw_decode(answer, start)
    except (ValueError, RecursionError):
        return _salvaged(answer, start, needed)
    listed = found.get(name) if isinstance(found, dict) else None
    if isinstance(listed, list):
        return listed
    return [found] if isinstance(found, dict) and needed in found else None


def find_quote(quote: str, text: str) -> tuple[int, int] | None:
    """Where a quote stands in a text, however the lines are broken in either, whatever the case; None if nowhere."""
    words = quote.split()
    if not words:
        return None
    folded, wanted = text.casefold(), [word.casefold() for word in words]
    if len(folded) != len(text):
        folded, wanted = text, words  # a letter that changes its length with its case: offsets must stay the text's
    start = folded.find(wanted[0])
    while start >= 0:
        end = _reach(folded, wanted, start)
        if end is not None:
            return start, end
        start = folded.find(wanted[0], start + 1)
    return None


def _reach(text: str, words: list[str], place: int) -> int | None:
    for word in words:
        while place < len(text) and text[place].isspace():
            place += 1
        if not text.startswith(word, place):
            return None
        place += len(word)
    return place


def _salvaged(answer: str, start: int, needed: str) -> list[Any] | None:
    """Every whole object with the key inside a broken answer."""
    found: list[Any] = []
    place = answer.find("{", start + 1)
    while place >= 0:
        try:
            one, end = json.JSONDecoder().raw_decode(answer, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            if isinstance(one, dict) and needed in one:
                found.append(one)
        place = answer.find("{", end)
    return found or None
