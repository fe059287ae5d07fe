"""Does a claim agree with its quote in numbers, side and polarity? Rules, no model.

Each check answers True unless it finds a disagreement that a reader would call an error: a number or unit that the
quote does not have, left for right, present for absent. They are gates, not evidence of support.
"""

from __future__ import annotations

import re

from rag.sentences import NUMBER_WORDS, content_stems, words

_NUMBER = re.compile(r"(?<![\w.])([0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?)(?:\s?(%|[^\W\d_][^\W_]*(?:/[^\W\d_]+)?))?")
_UNITS = {
    "%": "%", "percent": "%", "mm": "mm", "millimeter": "mm", "millimetre": "mm", "cm": "cm", "centimeter": "cm",
    "centimetre": "cm", "m": "m", "meter": "m", "metre": "m", "µm": "µm", "μm": "µm", "micrometer": "µm",
    "micrometre": "µm", "nm": "nm", "nanometer": "nm", "g": "g", "gram": "g", "kg": "kg", "kilogram": "kg",
    "mg": "mg", "milligram": "mg", "mcg": "µg", "µg": "µg", "μg": "µg", "microgram": "µg", "ml": "ml",
    "milliliter": "ml", "millilitre": "ml", "l": "l", "liter": "l", "litre": "l", "dl": "dl", "deciliter": "dl",
    "mmhg": "mmhg", "bpm": "bpm", "second": "s", "sec": "s", "minute": "min", "min": "min", "hour": "h", "h": "h",
    "day": "d", "week": "wk", "month": "mo", "year": "y", "hz": "hz", "kpa": "kpa", "unit": "unit", "iu": "iu",
}  # fmt: skip

_SIDES = {
    "left": {"left"}, "right": {"right"}, "bilateral": {"left", "right"}, "bilaterally": {"left", "right"},
    "left-sided": {"left"}, "right-sided": {"right"},
}  # fmt: skip

_NEGATORS = frozenset(
    ["no", "not", "without", "never", "neither", "nor", "cannot", "absent", "absence", "denies", "denied", "lack",
     "lacks", "lacking", "negative", "excluded", "unlikely"]
)  # fmt: skip
_SCOPE_ENDS = frozenset(["but", "however", "although", "though", "except", "whereas", "yet", "because"])
_SCOPE_WORDS = 6
"""NegEx lets a negation reach about five words further (Chapman et al., 2001, https://doi.org/10.1006/jbin.2001.1029)."""


def quantities(text: str) -> set[tuple[str, str]]:
    """The numbers of a text with their units: value without thousands separators or trailing zeros, unit or empty."""
    found = {(NUMBER_WORDS[word], "") for word in words(text) if word in NUMBER_WORDS}
    for match in _NUMBER.finditer(text):
        value = match.group(1).replace(",", "")
        if "." in value:
            value = value.rstrip("0").rstrip(".")
        found.add((value.lstrip("0") or "0" if "." not in value else value, _unit(match.group(2) or "")))
    return found


def _unit(word: str) -> str:
    lowered = word.lower()
    # A denominator stays part of the unit: mg/dL is not mg.
    head, slash, tail = lowered.partition("/")
    known = _UNITS.get(head) or _UNITS.get(head.removesuffix("s"))
    return f"{known}{slash}{tail}" if known else ""


def numbers_agree(claim: str, quote: str) -> bool:
    """Every number of the claim stands in the quote, with the same unit where both give one."""
    held = quantities(quote)
    return all(
        any(value == other and (not unit or not other_unit or unit == other_unit) for other, other_unit in held)
        for value, unit in quantities(claim)
    )


def sides(text: str) -> set[str]:
    """Which of left and right a text names."""
    return set().union(*(_SIDES.get(word, set()) for word in words(text)))


def sides_agree(claim: str, quote: str) -> bool:
    """The claim names no side that the quote does not name."""
    return sides(claim) <= sides(quote)


def polarity_of(text: str) -> dict[str, set[bool]]:
    """For each content stem of a text, whether it occurs affirmed (True), negated (False), or both.

    A negation reaches forward up to six words, and not past a comma-free clause break such as "but" or a full stop.
    """
    found: dict[str, set[bool]] = {}
    for clause in re.split(r"[.;:!?]\s+|[;:]", text):
        left = 0
        for word in words(clause):
            if word in _NEGATORS or word.endswith("n't"):
                left = _SCOPE_WORDS
                continue
            if word in _SCOPE_ENDS:
                left = 0
            for stem in content_stems(word):
                found.setdefault(stem, set()).add(left == 0)
            left = max(0, left - 1)
    return found


def polarity_agrees(claim: str, quote: str) -> bool:
    """No shared content word is only affirmed in one text and only negated in the other."""
    ours, theirs = polarity_of(claim), polarity_of(quote)
    return all(ours[stem] & theirs[stem] for stem in ours.keys() & theirs.keys())
