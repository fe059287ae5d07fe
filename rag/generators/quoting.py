"""From the words that a model says it copied to the exact words of the passage, and what no statement may hold."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from rag.prompting.instructions import rests_on_instruction
from rag.types import Passage

_SAME = {
    "‘": "'", "’": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-", "‐": "-", "‑": "-", "−": "-",
    "\u00ad": "", "\u200b": "", "\u200e": "", "\u200f": "", "\ufeff": "",
}  # fmt: skip
_EDGES = " \t\r\n\"'.…"
_LEAST = 3
"""Letters of the shortest quote: less stands in every passage and supports nothing."""

_CODE = re.compile(
    r"[a-z][a-z0-9+.-]*://\S+|\bwww\.\S+|[^\s@]+@[^\s@]+\.\w+|!?\[[^\]]{0,200}\]\([^)]{0,500}\)"
    r"|\b(?=\w*\d)(?=\w*[^\W\d_])\w{6,}\b|\b[A-Z]{2,}[-_][A-Z0-9][\w-]*|\b[A-Z]{6,}\b|<[^>\s][^>]*>|\b[A-Za-z0-9+/]{32,}={0,2}",
)


def exact_quote(quote: str, text: str) -> str | None:
    """The stretch of a text that a model quoted; None if it does not occur.

    Letter case, the forms of quotation marks and dashes, invisible characters, white space, and marks at both ends may
    differ; words may not. A quote never begins or ends inside a word. The stretch returned is the text's own.
    """
    folded, places = _folded(text)
    wanted = _folded(quote)[0].strip(_EDGES)
    if sum(letter.isalnum() for letter in wanted) < _LEAST:
        return None
    start = folded.find(wanted)
    while start >= 0:
        end = start + len(wanted)
        if not _inside_word(folded, start) and not _inside_word(folded, end):
            return text[places[start] : places[end - 1] + 1]
        start = folded.find(wanted, start + 1)
    return None


def _folded(text: str) -> tuple[str, list[int]]:
    """The text in lower case with single blanks and plain marks, and where each of its characters came from."""
    letters: list[str] = []
    places: list[int] = []
    for place, letter in enumerate(text):
        plain = _SAME.get(letter, letter)
        for one in unicodedata.normalize("NFKC", plain).lower():
            blank = one.isspace()
            if blank and (not letters or letters[-1] == " "):
                continue
            letters.append(" " if blank else one)
            places.append(place)
    return "".join(letters), places


def _inside_word(text: str, place: int) -> bool:
    return 0 < place < len(text) and text[place - 1].isalnum() and text[place].isalnum()


def is_instruction(quote: str, passage: Passage) -> bool:
    """Whether a quote of a passage lies on a line that reads like an instruction to a model: evidence of nothing."""
    start = passage.text.find(quote)
    return start >= 0 and rests_on_instruction(passage.text, start, start + len(quote))


def foreign_codes(statement: str, known: Iterable[str]) -> list[str]:
    """Addresses, markup, and words that look like codes in a statement, which none of the known texts holds.

    A sentence of medicine has no use for them, but what was planted to leave in an answer looks like this: addresses to
    be visited, canaries, keys, the marks of the prompt itself.
    """
    texts = [text.lower() for text in known]
    found = dict.fromkeys(match.group() for match in _CODE.finditer(statement))
    return [code for code in found if not any(code.lower() in text for text in texts)]
