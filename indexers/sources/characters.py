"""Characters of extracted text: ligatures opened, invisible and control characters dropped, nothing else changed."""

from __future__ import annotations

import unicodedata

_LIGATURES = range(0xFB00, 0xFB07)
_FULL_WIDTH = range(0xFF01, 0xFF5F)
_SPACES = dict.fromkeys(map(ord, "\u00a0\u2007\u202f\u3000\ufffd"), " ")
# Cf holds zero-width marks, bidi controls, the soft hyphen and the tag characters that can hide text (U+E0000 ff.);
# Cc, Co and Cs are controls, private use and lone surrogates, which no reader sees as text.
_DROPPED = frozenset({"Cf", "Cc", "Co", "Cs", "Cn"})
_KEPT = frozenset("\t\n\r ")


def _table() -> dict[int, str]:
    table = dict(_SPACES)
    for code in (*_LIGATURES, *_FULL_WIDTH):
        table[code] = unicodedata.normalize("NFKC", chr(code))
    return table


_TABLE = _table()


def clean(text: str) -> str:
    """Readable form of a word or line: ligatures and full-width letters as plain letters, NFC, no hidden characters.

    Full NFKC is not used because it would turn the exponent of 10⁹ into a digit.
    """
    if text.isascii() and text.replace("\t", " ").isprintable():
        return text
    opened = unicodedata.normalize("NFC", text.translate(_TABLE))
    return "".join(c for c in opened if c in _KEPT or unicodedata.category(c) not in _DROPPED)
