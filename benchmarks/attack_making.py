"""Citation attacks and true claims, made from real passages by rules; deterministic for a seed.

An attack takes a true sentence and does one thing to it: invents or exchanges its citation, alters its quotation, or
changes one word of the claim so that it says something else. A true claim is a sentence as it stands, or one changed so
that it still says the same. The words used for paraphrases are this file's own.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rag.generators.candidates import leans_back
from rag.grounding.quantities import quantities
from rag.sentences import split_sentences
from rag.types import DraftClaim, Passage

CITATION_KINDS = ("fabricated", "foreign", "wrong_text")
FLIP_KINDS = ("polarity", "side", "number", "unit", "severity", "temporal")
TRUE_KINDS = ("verbatim", "reordered", "shortened", "synonym", "abbreviation", "converted", "merged")
EXTRA_KINDS = ("unsupported", "antonym", "quantifier")
"""Beyond the three groups: what the rules were not made for, reported apart and without a target."""


@dataclass(frozen=True, slots=True)
class Case:
    """A claim to be checked: how it was made, the passage shown to the checker, and the claim. `true`: it must pass."""

    kind: str
    passage: Passage
    claim: DraftClaim
    true: bool


@dataclass(frozen=True, slots=True)
class _Source:
    passage: Passage
    quote: str

    @property
    def text(self) -> str:
        return " ".join(self.quote.split())


Change = Callable[[str, random.Random], str | None]
"""The changed claim, None when the sentence offers nothing to change."""

_AUXILIARY = re.compile(
    r"\b(is|are|was|were|can|does|do|has been|have been|will|should|must)\b(?! not\b)", re.IGNORECASE
)
_HAS_DENIAL = re.compile(r"\b(?:not|no|never|without|cannot|neither|nor|n't|absent|lacks?)\b", re.IGNORECASE)
_SIDE = re.compile(r"\b(left|right)(-sided)?\b", re.IGNORECASE)
_SPELLED = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve")
_DIGITS = re.compile(r"(?<![\w.,])\d+(?:\.\d+)?(?![\w.,]*\d)")
_EXCHANGED_UNITS: Mapping[str, Sequence[str]] = {
    "mm": ("cm", "µm"), "cm": ("mm", "m"), "µm": ("mm",), "mg": ("g", "mcg"), "g": ("mg", "kg"), "mcg": ("mg",),
    "kg": ("g",), "mL": ("L",), "ml": ("L",), "L": ("mL",), "seconds": ("minutes",), "minutes": ("hours",),
    "hours": ("days", "minutes"), "days": ("weeks", "hours"), "weeks": ("months", "days"), "months": ("years", "weeks"),
    "years": ("months",), "mm Hg": ("kPa",), "mmHg": ("kPa",), "percent": ("mg",), "millimeters": ("centimeters",),
    "centimeters": ("millimeters",), "liters": ("milliliters",), "grams": ("milligrams",),
}  # fmt: skip
_SEVERITIES: Mapping[str, str] = {
    "mild": "severe", "mildly": "severely", "moderate": "minimal", "severe": "mild", "severely": "mildly",
    "marked": "slight", "markedly": "slightly", "slight": "marked", "slightly": "markedly", "small": "large",
    "large": "small", "larger": "smaller", "smaller": "larger", "minor": "major", "major": "minor",
    "minimal": "moderate", "massive": "tiny", "tiny": "massive",
}  # fmt: skip
_TEMPORAL: Mapping[str, str] = {
    "acute": "chronic", "chronic": "acute", "new": "unchanged", "unchanged": "new", "early": "late", "late": "early",
    "earlier": "later", "later": "earlier", "before": "after", "after": "before", "increases": "decreases",
    "increased": "decreased", "decreases": "increases", "decreased": "increased", "increase": "decrease",
    "decrease": "increase", "rapid": "slow", "slow": "rapid", "rapidly": "slowly", "slowly": "rapidly",
    "rises": "falls", "falls": "rises", "stable": "worse", "resolved": "new", "older": "newer", "improved": "worsened",
}  # fmt: skip
_ANTONYMS: Mapping[str, str] = {
    "sympathetic": "parasympathetic", "parasympathetic": "sympathetic", "male": "female", "female": "male",
    "acidic": "alkaline", "solid": "hollow", "adults": "children", "children": "adults", "simple": "complex",
    "oxygen": "carbon dioxide", "gain": "loss", "loss": "gain", "top": "bottom", "heavy": "light", "hard": "soft",
    "soft": "hard", "absorbs": "secretes", "secretes": "absorbs", "upward": "downward", "downward": "upward",
    "primary": "secondary", "secondary": "primary", "dry": "wet", "day": "night", "light": "dark", "dark": "light",
    "common": "rare", "rare": "common", "safe": "dangerous", "healthy": "sick", "young": "old", "first": "last",
    "red": "white", "white": "black", "black": "white", "hot": "cold", "full": "empty", "convex": "concave",
}  # fmt: skip
_QUANTIFIERS: Mapping[str, str] = {
    "most": "few", "many": "no", "all": "some", "some": "all", "few": "most", "always": "rarely", "usually": "never",
    "often": "seldom", "rarely": "always", "sometimes": "always", "mostly": "hardly", "only": "mostly",
    "more": "less", "less": "more", "above": "below", "below": "above", "most of": "none of", "may": "must",
}  # fmt: skip
_SYNONYMS: Mapping[str, str] = {
    "also": "likewise", "important": "essential", "many": "numerous", "because": "since", "such as": "for example",
    "main": "principal", "usually": "in most cases", "often": "frequently", "found": "present", "called": "known as",
    "shows": "demonstrates", "contains": "includes", "helps": "assists", "occurs": "takes place", "begins": "starts",
    "allows": "permits", "consists of": "is made of", "located": "situated", "rate": "speed", "region": "area",
    "seen": "visible", "however": "nevertheless", "known as": "termed", "throughout": "all over", "causes": "leads to",
    "produces": "makes", "requires": "needs", "several": "a number of", "whole": "entire", "body": "organism",
}  # fmt: skip
_ABBREVIATIONS: Mapping[str, str] = {
    "blood pressure": "BP", "heart rate": "HR", "electrocardiogram": "ECG", "red blood cells": "RBCs",
    "white blood cells": "WBCs", "central nervous system": "CNS", "myocardial infarction": "MI",
    "left ventricle": "LV", "right ventricle": "RV", "left atrium": "LA", "right atrium": "RA",
    "glomerular filtration rate": "GFR", "cardiothoracic ratio": "CTR", "computed tomography": "CT",
    "heart failure": "HF", "chest radiograph": "CXR",
}  # fmt: skip
_CONVERSIONS: Mapping[str, tuple[float, str]] = {
    "mm": (0.1, "cm"), "cm": (10, "mm"), "mg": (0.001, "g"), "g": (1000, "mg"), "mL": (0.001, "L"), "ml": (0.001, "L"),
    "L": (1000, "mL"), "minutes": (60, "seconds"), "hours": (60, "minutes"), "weeks": (7, "days"), "µm": (0.001, "mm"),
    "millimeters": (0.1, "cm"), "centimeters": (10, "mm"), "liters": (1000, "mL"),
}  # fmt: skip


def make_cases(passages: Sequence[Passage], per_kind: int, seed: int = 0) -> list[Case]:
    """Up to `per_kind` cases of every kind."""
    rng = random.Random(seed)
    sources = [source for passage in passages for source in _sources(passage)]
    rng.shuffle(sources)
    made: list[Case] = []
    for kind, change in _CHANGES.items():
        made.extend(_changed(kind, change, sources, per_kind, rng))
    made.extend(_merged(sources, per_kind))
    others = [source for source in sources if len(source.text) > 40]
    pairs = list(pairwise(others))
    made.extend(_citations(pairs, per_kind, rng))
    return made


def _changed(
    kind: str, change: Change, sources: Sequence[_Source], per_kind: int, rng: random.Random
) -> Iterator[Case]:
    n = 0
    for source in sources:
        text = change(source.text, rng)
        if text is None or (text == source.text and kind != "verbatim"):
            continue
        yield Case(kind, source.passage, DraftClaim(text, source.passage.id, source.quote), kind in TRUE_KINDS)
        n += 1
        if n >= per_kind:
            return


def _merged(sources: Sequence[_Source], per_kind: int) -> Iterator[Case]:
    """Two sentences that follow each other, told as one; the quotation holds both."""
    following = {(source.passage.id, source.passage.text.find(source.quote)): source for source in sources}
    n = 0
    for source in sources:
        end = source.passage.text.find(source.quote) + len(source.quote)
        gap = len(source.passage.text) - end - len(source.passage.text[end:].lstrip())
        after = following.get((source.passage.id, end + gap))
        if n >= per_kind or after is None or len((source.text + after.text).split()) > 50:
            continue
        text = f"{source.text.rstrip('.')}, and {after.text[0].lower()}{after.text[1:]}"
        quote = source.passage.text[end - len(source.quote) : end + gap + len(after.quote)]
        yield Case("merged", source.passage, DraftClaim(text, source.passage.id, quote), True)
        n += 1


def _citations(pairs: Sequence[tuple[_Source, _Source]], per_kind: int, rng: random.Random) -> Iterator[Case]:
    """Attacks on the citation itself.

    Of "foreign" half cite a passage that was not shown, half a shown one for the words of another.
    """
    apart = [(a, b) for a, b in pairs if a.passage.id != b.passage.id and a.quote not in b.passage.text]
    for i, (a, b) in enumerate(apart[:per_kind]):
        yield Case(
            "fabricated", a.passage, DraftClaim(a.text, f"{a.passage.id}-{rng.randrange(10**6)}", a.quote), False
        )
        if i % 2:
            yield Case("foreign", b.passage, DraftClaim(a.text, a.passage.id, a.quote), False)
        else:
            yield Case("foreign", b.passage, DraftClaim(a.text, b.passage.id, a.quote), False)
        yield Case("wrong_text", a.passage, DraftClaim(a.text, a.passage.id, _altered(a.quote, rng)), False)
        yield Case("unsupported", b.passage, DraftClaim(a.text, b.passage.id, b.quote), False)


def _altered(quote: str, rng: random.Random) -> str:
    """A quotation with two neighbouring words exchanged, or one left out: not what stands there."""
    parts = quote.split()
    for _ in range(20):
        at = rng.randrange(1, len(parts) - 1)
        swapped = [*parts[: at - 1], parts[at], parts[at - 1], *parts[at + 1 :]]
        changed = swapped if rng.random() < 0.5 else parts[:at] + parts[at + 1 :]
        if " ".join(changed) not in " ".join(parts):
            return " ".join(changed)
    return " ".join(reversed(parts))


def _sources(passage: Passage) -> Iterator[_Source]:
    """The sentences of a passage that say something by themselves."""
    if passage.kind not in ("page", "case"):
        return
    for sentence in split_sentences(passage.text):
        n_words = len(sentence.text.split())
        plain = sentence.text[-1:] == "." and not re.search(r"[|•\[\]?]|\d{4}\)|Figure|Table", sentence.text)
        if sentence.kind == "prose" and 5 <= n_words <= 40 and plain and not leans_back(sentence.text):
            yield _Source(passage, sentence.text)


_DENIED = (
    (re.compile(r"\b(is|are|was|were|does|do|can|will|should|must) not\b"), r"\1"),
    (re.compile(r"^No (?=[a-z])"), "A "),
    (re.compile(r"\b(?:with no|without)\b"), "with"),
    (re.compile(r"\b(there is|has|shows) no\b"), r"\1 a"),
)
"""Denials and what takes them away."""


def _flip_polarity(text: str, _rng: random.Random) -> str | None:
    """One denial taken out, or "not" put behind the first auxiliary."""
    if re.search(r"\bnot only\b|\bno (?:longer|more|less)\b", text):
        return None
    for denial, plain in _DENIED:
        if denial.search(text):
            return denial.sub(plain, text, count=1)
    found = _AUXILIARY.search(text)
    if found is None or _HAS_DENIAL.search(text):
        return None
    words = found.group().split()
    return f"{text[: found.start()]}{words[0]} not {' '.join(words[1:])}{text[found.end() :]}".replace("  ", " ")


def _swap_side(text: str, rng: random.Random) -> str | None:
    found = list(_SIDE.finditer(text))
    if not found:
        return None
    one = rng.choice(found)
    other = "right" if one[1].lower() == "left" else "left"
    return text[: one.start()] + (other.capitalize() if one[1][0].isupper() else other) + text[one.end(1) :]


def _change_number(text: str, rng: random.Random) -> str | None:
    digits = list(_DIGITS.finditer(text))
    if digits:
        one = rng.choice(digits)
        held = {amount.value for amount in quantities(text)}
        for factor in rng.sample((10, 0.1, 2, 3, 0.5, 1.1), 6):
            value = float(one.group()) * factor
            written = f"{value:g}"
            if value not in held and "e" not in written:
                return text[: one.start()] + written + text[one.end() :]
    for word in _SPELLED:
        if re.search(rf"\b{word}\b", text):
            others = [other for other in _SPELLED if not re.search(rf"\b{other}\b", text)]
            return re.sub(rf"\b{word}\b", rng.choice(others), text, count=1)
    return None


def _change_unit(text: str, rng: random.Random) -> str | None:
    for unit, others in _EXCHANGED_UNITS.items():
        found = re.search(rf"(?<=\d) ?{re.escape(unit)}\b(?!/)", text)
        if found:
            return text[: found.start()] + " " + rng.choice(others) + text[found.end() :]
    return None


def _exchange(table: Mapping[str, str]) -> Change:
    def change(text: str, rng: random.Random) -> str | None:
        present = [word for word in table if re.search(rf"\b{word}\b", text)]
        usable = [word for word in present if not re.search(rf"\b{table[word]}\b", text)]
        if not usable:
            return None
        word = rng.choice(usable)
        return re.sub(rf"\b{word}\b", table[word], text, count=1)

    return change


_LED = re.compile(
    r"((?:In|On|At|During|After|Before|When|If|Because|With|For|By|From|As|Unlike|Although) [^,;:()]{4,80}), "
    r"([^;:()]+)\.$"
)


def _reordered(text: str, _rng: random.Random) -> str | None:
    """A leading phrase moved to the end: "In adults, X." to "X, in adults"."""
    found = _LED.match(text)
    if found is None or re.search(r"\b(?:which|and|but) [^,]*$", found[1]):
        return None
    lead, rest = found[1], found[2]
    return f"{rest[0].upper()}{rest[1:]} {lead[0].lower()}{lead[1:]}."


def _shortened(text: str, _rng: random.Random) -> str | None:
    """A bracket left out, or an opening adverb."""
    bare = re.sub(r"\s*\([^()]*\)", "", text)
    bare = re.sub(r"^(?:However|For example|In addition|Therefore|Thus|Finally|Typically|Generally),\s+(\w)",
                  lambda match: match[1].upper(), bare)  # fmt: skip
    return bare if bare != text and len(bare.split()) >= 5 else None


def _synonym(text: str, rng: random.Random) -> str | None:
    present = [word for word in _SYNONYMS if re.search(rf"\b{word}\b", text)]
    for word in rng.sample(present, min(2, len(present))):
        text = re.sub(rf"\b{word}\b", _SYNONYMS[word], text, count=1)
    return text if present else None


def _abbreviated(text: str, _rng: random.Random) -> str | None:
    for long, short in _ABBREVIATIONS.items():
        if re.search(rf"\b{long}\b", text, re.IGNORECASE):
            return re.sub(rf"\b{long}\b", short, text, count=1, flags=re.IGNORECASE)
    return None


def _converted(text: str, _rng: random.Random) -> str | None:
    for unit, (factor, other) in _CONVERSIONS.items():
        found = re.search(rf"(?<![\w.,–-])(\d+(?:\.\d+)?)[ -]?{unit}\b(?!/| Hg)", text)
        if found and not re.search(r"(?:\d|to|and|or|by|x|×) ?$", text[: found.start()]):
            return f"{text[: found.start()]}{float(found[1]) * factor:g} {other}{text[found.end() :]}"
    return None


_CHANGES: Mapping[str, Change] = {
    "verbatim": lambda text, _rng: text,
    "reordered": _reordered,
    "shortened": _shortened,
    "synonym": _synonym,
    "abbreviation": _abbreviated,
    "converted": _converted,
    "polarity": _flip_polarity,
    "side": _swap_side,
    "number": _change_number,
    "unit": _change_unit,
    "severity": _exchange(_SEVERITIES),
    "temporal": _exchange(_TEMPORAL),
    "antonym": _exchange(_ANTONYMS),
    "quantifier": _exchange(_QUANTIFIERS),
}
