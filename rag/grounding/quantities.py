"""Numbers with units in running text: digits or spelled out, as ranges, with bounds, and converted before comparison.

"25 mm", "2.5 cm" and "twenty-five millimetres" are one quantity; "25 mg" and "25 mg/dL" are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Bound = Literal["above", "below", ""]

_ONES = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_ONE, _TEN, _SCALE = "|".join(_ONES), "|".join(_TENS), "|".join(_SCALES)
_SPELLED = re.compile(
    rf"\b(?:(?P<ten>{_TEN})(?:[\s-](?P<unit>{_ONE})\b)?|(?P<one>{_ONE}|a(?=\s(?:{_SCALE})\b)))"
    rf"(?:\s(?P<scale>{_SCALE})\b)?",
    re.IGNORECASE,
)

_MERCURY = re.compile(r"\bmm\s+Hg\b")
_DIGITS = r"\d{1,3}(?:[,\u202f]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_LETTERS = r"[^\W\d_]+"
_NUMBER = re.compile(
    rf"(?<![\w.])(?P<value>{_DIGITS})(?:\s(?P<scale>{_SCALE})\b)?"
    rf"(?:[\s-]?(?P<unit>%|°\s?[CF]\b|{_LETTERS}(?:\d(?!\w)|H2O\b)?)(?:\s?(?:/|per\s)\s?(?P<per>{_LETTERS})\b)?)?"
)
_RANGE = re.compile(r"^\s?(?:-|–|—|to\s|and\s|or\s|x\s|×)\s?$|^(?:-|–|—|×)$")
_ABOVE = re.compile(
    r"(?:\b(?:more|greater|higher|larger|longer|older) than|\b(?:above|over|exceed(?:s|ed|ing)?|at least|from)"
    r"|\bnot? (?:less|fewer) than|\bminimum of|[>≥])(?: (?:about|approximately|roughly))?\s?$",
    re.IGNORECASE,
)
_BELOW = re.compile(
    r"(?:\b(?:less|fewer|lower|smaller|shorter|younger) than|\b(?:below|under|at most|up to|within)"
    r"|\bnot? (?:more|greater) than|\bmaximum of|[<≤])(?: (?:about|approximately|roughly))?\s?$",
    re.IGNORECASE,
)
_NEGATED_BOUND = re.compile(r"\bnot? (?:less|fewer|more|greater) than\s?$", re.IGNORECASE)
_LEAD = 30
"""Characters before a number in which its bound is looked for."""

_UNITS: dict[str, tuple[str, float]] = {
    "%": ("share", 1), "percent": ("share", 1), "nm": ("length", 1e-6), "nanometer": ("length", 1e-6),
    "µm": ("length", 1e-3), "μm": ("length", 1e-3), "um": ("length", 1e-3), "micron": ("length", 1e-3),
    "micrometer": ("length", 1e-3), "mm": ("length", 1), "millimeter": ("length", 1), "cm": ("length", 10),
    "centimeter": ("length", 10), "m": ("length", 1e3), "meter": ("length", 1e3), "km": ("length", 1e6),
    "inch": ("length", 25.4), "inche": ("length", 25.4), "foot": ("length", 304.8), "feet": ("length", 304.8),
    "ft": ("length", 304.8), "ng": ("mass", 1e-6), "nanogram": ("mass", 1e-6), "mcg": ("mass", 1e-3),
    "µg": ("mass", 1e-3), "μg": ("mass", 1e-3), "ug": ("mass", 1e-3), "microgram": ("mass", 1e-3), "mg": ("mass", 1),
    "milligram": ("mass", 1), "g": ("mass", 1e3), "gram": ("mass", 1e3), "kg": ("mass", 1e6), "kilogram": ("mass", 1e6),
    "lb": ("mass", 453_592.4), "pound": ("mass", 453_592.4), "µl": ("volume", 1e-3), "μl": ("volume", 1e-3),
    "microliter": ("volume", 1e-3), "ml": ("volume", 1), "milliliter": ("volume", 1), "cc": ("volume", 1),
    "dl": ("volume", 100), "deciliter": ("volume", 100), "l": ("volume", 1e3), "liter": ("volume", 1e3),
    "ms": ("time", 1e-3), "msec": ("time", 1e-3), "millisecond": ("time", 1e-3), "s": ("time", 1), "sec": ("time", 1),
    "second": ("time", 1), "min": ("time", 60), "minute": ("time", 60), "h": ("time", 3600), "hr": ("time", 3600),
    "hour": ("time", 3600), "d": ("time", 86_400), "day": ("time", 86_400), "wk": ("time", 604_800),
    "week": ("time", 604_800), "month": ("time", 2_629_746), "year": ("time", 31_556_952), "yr": ("time", 31_556_952),
    "mmhg": ("pressure", 1), "kpa": ("pressure", 7.50062), "cmh2o": ("pressure", 0.735559), "hz": ("rate", 60),
    "bpm": ("rate", 1), "mmol": ("amount", 1), "millimole": ("amount", 1), "µmol": ("amount", 1e-3),
    "μmol": ("amount", 1e-3), "mol": ("amount", 1e3), "meq": ("charge", 1), "mv": ("voltage", 1),
    "millivolt": ("voltage", 1), "v": ("voltage", 1e3), "iu": ("activity", 1), "unit": ("activity", 1),
    "gy": ("dose", 1), "msv": ("dose", 1e-3), "kcal": ("energy", 1), "calorie": ("energy", 1),
    "beat": ("beats", 1), "breath": ("breaths", 1), "°c": ("temperature", 1), "°f": ("fahrenheit", 1),
    "diopter": ("lens", 1), "dioptre": ("lens", 1), "hu": ("density", 1),
}  # fmt: skip
_CONVERTED_SHARE = 0.02
"""Converted values are usually rounded ("1 inch" and "2.5 cm"); within one unit values must be equal."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as it stands in a text: `value` in its own unit, `dimension` and `factor` to the dimension's base unit.

    dimension is empty for a bare number or an unknown unit ("12 ribs"). `bound` says that it limits from below
    ("more than 5 mm") or above. `start` and `end` are offsets in the text with spelled numbers turned to digits.
    """

    value: float
    dimension: str
    factor: float
    bound: Bound
    start: int
    end: int

    def equals(self, other: Quantity) -> bool:
        """Equal value in a comparable unit, and not bounded from opposite sides."""
        if self.bound and other.bound and self.bound != other.bound:
            return False
        if (
            not self.dimension
            or not other.dimension
            or (self.dimension, self.factor) == (other.dimension, other.factor)
        ):
            return _close(self.value, other.value, 1e-9)
        if self.dimension != other.dimension:
            return False
        return _close(self.value * self.factor, other.value * other.factor, _CONVERTED_SHARE)


def quantities(text: str) -> list[Quantity]:
    """The numbers of a text with their units and bounds, in order. A range gives both its ends, with one unit."""
    plain = with_digits(text)
    found: list[Quantity] = []
    for match in _NUMBER.finditer(plain):
        found.append(_quantity(plain, match))
        if len(found) > 1 and found[-1].dimension and not found[-2].dimension:
            before = found[-2]
            if _RANGE.match(plain[before.end : match.start()]):
                made = found[-1]
                found[-2] = Quantity(before.value, made.dimension, made.factor, before.bound, before.start, before.end)
    return found


def with_digits(text: str) -> str:
    """A text with its spelled-out numbers as digits. "One" stays: it is a pronoun as often as a number."""
    return _SPELLED.sub(_spelled, _MERCURY.sub("mmHg", text))


def numbers_agree(claim: str, quote: str) -> bool:
    """Every number of the claim stands in the quote: equal value, comparable unit, no opposite bound.

    When the quote gives numbers of the claim's kind (a length, a dose), the claim's number must be one of these: "5 mm"
    does not follow from "5 nodules of 3 mm".
    """
    held = quantities(quote)
    return all(_held(wanted, held) for wanted in quantities(claim))


def _held(wanted: Quantity, held: list[Quantity]) -> bool:
    alike = [other for other in held if other.dimension == wanted.dimension] if wanted.dimension else []
    return any(wanted.equals(other) for other in alike or held)


def _close(first: float, second: float, share: float) -> bool:
    return abs(first - second) <= share * max(abs(first), abs(second))


def _spelled(match: re.Match[str]) -> str:
    groups = {name: (value or "").lower() for name, value in match.groupdict().items()}
    if not groups["ten"] and not groups["scale"] and groups["one"] in {"one", "a"}:
        return match.group()
    value = _TENS.get(groups["ten"], 0) + _ONES.get(groups["unit"], 0) + _ONES.get(groups["one"], 0)
    return str((value or 1) * _SCALES.get(groups["scale"], 1))


def _quantity(text: str, match: re.Match[str]) -> Quantity:
    value = float(re.sub(r"[,\u202f]", "", match["value"])) * _SCALES.get((match["scale"] or "").lower(), 1)
    dimension, factor, end = "", 1.0, match.end("scale") if match["scale"] else match.end("value")
    for name in _names(match["unit"] or ""):
        if name in _UNITS:
            (dimension, factor), end = _UNITS[name], match.end("unit")
            break
    if dimension and match["per"]:
        below = next((_UNITS[name] for name in _names(match["per"]) if name in _UNITS), None)
        if below is not None or dimension in {"beats", "breaths"}:
            over, share = below or (match["per"].lower(), 1.0)
            dimension, factor, end = f"{dimension}/{over}", factor / share, match.end("per")
        elif match.group().rstrip().endswith(match["per"]) and "/" in match.group():
            dimension, end = f"{dimension}/{match['per'].lower()}", match.end("per")
    if dimension == "fahrenheit":
        value, dimension = (value - 32) / 1.8, "temperature"
    if dimension == "beats/time":
        dimension, factor = "rate", factor * 60
    return Quantity(value, dimension, factor, _bound(text[max(0, match.start() - _LEAD) : match.start()]),
                    match.start(), end)  # fmt: skip


def _names(word: str) -> Iterator[str]:
    lowered = re.sub(r"\s", "", word.lower()).replace("metre", "meter").replace("litre", "liter")
    yield lowered
    yield lowered.removesuffix("s")
    yield lowered.removesuffix("es")


def _bound(lead: str) -> Bound:
    if _ABOVE.search(lead):
        return "above"
    return "below" if _BELOW.search(lead) else ""
