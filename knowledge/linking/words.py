"""Words of a text and their normal forms: case, Unicode, accents, British spelling, possessives, plurals.

Two spellings meet because both are brought to the same normal form. A normal form is not always a word ("contor" for
"contour"): it is compared, never shown.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Container

LONGEST_WORD = 60
"""Characters; a longer run of letters is no word of any vocabulary, so its cost does not grow with its length."""

_ASCII_WORD = re.compile(r"[A-Za-z0-9]+(?:'[A-Za-z0-9]+)*")
# Combining marks, soft hyphens and zero-width signs stand inside words without parting them.
_IGNORED = "\u0300-\u036f\u00ad\u200b-\u200d\u2060\ufe0e\ufe0f"
_ANY_WORD = re.compile(rf"[^\W_](?:[^\W_]|[{_IGNORED}]|['’ʼ＇](?=[^\W_]))*")
_INVISIBLE = re.compile(rf"[{_IGNORED}]")
_POSSESSIVE = re.compile(r"['’ʼ＇]s$|\W")
_COMPOUND = re.compile(rf"[^\W_](?:[^\W_]|[{_IGNORED}]|['’ʼ＇‐‑-](?=[^\W_]))*")
_HYPHEN = re.compile(r"[‐‑-]")
_GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "κ": "kappa", "λ": "lambda", "μ": "mu"}

# British to American, as rules on letters: they also change words that are no British spellings, on both sides alike.
_SPELLINGS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), put)
    for pattern, put in (
        (r"ae(?=.)", "e"),  # haemorrhage, anaemia; a final -ae is a plural
        (r"oe(?=[^\Ws]|s.)", "e"),  # diarrhoea, oesophagus; not toe, toes
        (r"our(?=s?$|ed$|ing$|less$|ation$|al$)", "or"),  # tumour, coloured, behavioural
        (r"(?<=[bt])re(?=s?$|d$)", "er"),  # fibre, centre
        (r"(?<=...)is(?=e[ds]?$|ing$|ations?$)", "iz"),  # localised, calcification stays
        (r"(?<=l)ys(?=e[ds]?$|ing$)", "yz"),  # analyse, paralysed
        (r"sulph", "sulf"),
        (r"leuco(?=.)", "leuko"),
        (r"^grey", "gray"),
        (r"(?<=[aeo])ll(?=ed$|ing$)", "l"),  # labelled, channelling
        (r"^mould", "mold"),
        (r"^foetus", "fetus"),
    )
)
_BRITISH = re.compile(r"ae|oe|our|re|is|ys|sulph|leuco|grey|ll|mould")

_PLURALS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("mata", ("ma",)),  # stigmata
    ("ices", ("ix", "ex", "ice")),  # cervices, cortices
    ("aces", ("ax", "ace")),  # pneumothoraces
    ("nges", ("nx", "nge")),  # phalanges
    ("ides", ("is", "ide", "id")),  # irides
    ("ina", ("en",)),  # foramina
    ("era", ("us",)),  # viscera
    ("ies", ("y", "ie")),
    ("ia", ("ion", "ium")),  # ganglia, crania
    ("xes", ("x",)),
    ("ses", ("s", "sis", "se")),
    ("zes", ("z", "ze")),
    ("hes", ("h", "he")),
    ("es", ("is", "e", "")),
    ("ae", ("a",)),  # bullae
    ("i", ("us", "o")),  # bronchi
    ("a", ("um", "on")),  # septa, phenomena
    ("s", ("",)),
)
_NO_PLURALS = frozenset(
    (
        "cornea", "data", "lens", "his", "its", "this", "media", "mucosa", "plasma", "serosa", "dura", "pia", "sacra",
        "angina", "retina", "herpes", "diabetes", "rabies", "scabies", "biceps", "triceps", "pus", "pelvis",
    )
)  # fmt: skip
"""Words that only look like plurals, or whose would-be singular is another thing (cornea and stratum corneum)."""


def words_of(text: str) -> list[str]:
    """The words of a text as written, in order: runs of letters and digits, apostrophes between letters inside."""
    return (_ASCII_WORD if text.isascii() else _ANY_WORD).findall(text)


def hyphenated_words(text: str, known: Callable[[str], bool]) -> list[str]:
    """As `words_of`, but the parts of a hyphenated word stay together where that is a known word ("micro-aneurysm")."""
    found: list[str] = []
    for compound in _COMPOUND.findall(text):
        parts = _HYPHEN.split(compound)
        i = position = 0
        while i < len(parts):
            joined = i + 1 < len(parts) and known(parts[i] + parts[i + 1])
            # A hyphen is one character, so the end of both parts is known without looking for it again.
            end = position + len(parts[i]) + (1 + len(parts[i + 1]) if joined else 0)
            found.append(compound[position:end])
            position = end + 1
            i += 2 if joined else 1
    return found


def spelling(word: str) -> str:
    """The word in lower case, without accents, invisible signs and possessive, in one spelling; "" if none is left."""
    if len(word) > LONGEST_WORD:
        return ""
    if word.isascii():
        word = word.lower()
    else:
        word = unicodedata.normalize("NFKD", _INVISIBLE.sub("", word)).casefold()
        word = "".join(_GREEK.get(char, char) for char in word if char.isalnum() or char in "'’ʼ")
        word = word if len(word) <= LONGEST_WORD else ""
    if not word.isalnum():
        word = _POSSESSIVE.sub("", word)
    before = ""
    # Once more after a change: "aoe" becomes "ae", which is another word's British spelling.
    while before != word and _BRITISH.search(word):
        before = word
        for pattern, put in _SPELLINGS:
            word = pattern.sub(put, word)
    return _ROMAN.get(word, word)


_ROMAN = {"ii": "2", "iii": "3"}
"""The only Roman numerals that are never something else ("iv" is also a route, "i" a word)."""


def singular(word: str, vocabulary: Container[str]) -> str:
    """The singular of a word in normal spelling if the vocabulary has it, or the word itself.

    A plural's singular is accepted only when somebody writes it, so "diabetes" and "pancreas" stay what they are.
    """
    if len(word) < 4 or word[-1] not in "saie" or word in _NO_PLURALS:
        return word
    if word.endswith(("ss", "us", "is")):
        return word
    for ending, singulars in _PLURALS:
        if word.endswith(ending):
            stem = word[: -len(ending)]
            for put in singulars:
                if len(stem) + len(put) >= 3 and stem + put in vocabulary:
                    return stem + put
    return word
