"""The words by which noun phrases are read: `words.toml` with plurals and endings, and the cues of each style.

The cues (negation, hedges, sides, degrees, changes) are those of `knowledge.findings`; what is added and what is
dropped there, because it means something else outside chest reports, stands in `words.toml`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from knowledge.extraction.protocol import Style
from knowledge.findings.lexicon import Lexicon

WordClass = Literal[
    "anatomy", "attribute", "position", "observation", "state", "descriptor", "quantity", "other", "boundary",
    "kind", "adverb", "unknown",
]  # fmt: skip
"""What a word can be in a noun phrase. `adverb` and `unknown` are not listed: endings and the rest."""

NOUNS: frozenset[str] = frozenset(("anatomy", "attribute", "observation", "other"))
"""Classes that can be the head of a noun phrase."""

_ORDER: tuple[WordClass, ...] = (
    "boundary", "position", "quantity", "state", "kind", "descriptor", "attribute", "anatomy", "observation", "other",
)  # fmt: skip
_ADVERBS = frozenset(
    (
        "well", "ill", "very", "more", "less", "most", "least", "so", "too", "quite", "rather", "significant",
        "definite", "obvious", "appreciable", "convincing",
    )
)  # fmt: skip
"""Words that grade another or nothing: they are taken off a name and are no modifier of their own."""
_PLURALS = (
    ("ies", "y"), ("ves", "f"), ("ices", "ix"), ("ices", "ex"), ("ae", "a"), ("mata", "ma"), ("aces", "ax"),
    ("ses", "sis"),
    ("nges", "nx"), ("xes", "x"), ("oes", "o"), ("hes", "h"), ("ses", "s"), ("i", "us"), ("a", "um"), ("a", "on"),
    ("ina", "en"), ("es", "e"), ("s", ""),
)  # fmt: skip
_SHORTEST_STEM = 2
"""Letters that must stand before a plural ending or a suffix: shorter words end so by chance."""
_SHORTEST_BEHIND_PREFIX = 5
"""Letters of the shortest noun looked for behind a prefix: "subject" holds no noun."""
_MOST_REMEMBERED = 50_000
_DEFINITION_CUES = (
    "absent_before", "absent_after", "uncertain_before", "uncertain_after", "uncertain_either", "affirm", "break_hard",
    "break_soft",
)  # fmt: skip
"""Definitions ask for nothing and remember nothing, so requests and histories are plain words there."""


class Vocabulary:
    """The class of every word, for one style of text."""

    def __init__(self, data: Mapping[str, Any], style: Style) -> None:
        classes: dict[str, WordClass] = {}
        for name in reversed(_ORDER):
            classes.update(dict.fromkeys(data["classes"][name].split(), name))
        if style == "definition":
            classes.update(dict.fromkeys(data["definition_verbs"]["words"].split(), "boundary"))
        self._classes = classes
        self._endings: list[tuple[str, WordClass]] = [
            (ending, name) for name, row in data["suffixes"].items() for ending in row.split()
        ]
        self._endings.sort(key=lambda pair: -len(pair[0]))
        self._prefixes = tuple(data["prefixes"]["words"].split())
        self._known: dict[str, WordClass] = {}

    def word_class(self, word: str) -> WordClass:
        """The class of a word in lower case. A hyphenated word is listed itself or is what its last part is."""
        found = self._known.get(word)
        if found is None:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            found = self._known[word] = self._read(word)
        return found

    def _read(self, word: str) -> WordClass:
        listed = self._classes.get(word)
        if listed is None and "-" in word:
            last = self.word_class(word.rsplit("-", 1)[1])
            return last if last in ("descriptor", "state", "observation", "anatomy") else "unknown"
        if listed is None:
            listed = next((self._classes[form] for form in _singulars(word) if self._classes.get(form) in NOUNS), None)
        return listed or self._behind_prefix(word) or self._by_ending(word)

    def _behind_prefix(self, word: str) -> WordClass | None:
        for prefix in self._prefixes:
            rest = word[len(prefix) :]
            if len(rest) >= _SHORTEST_BEHIND_PREFIX and word.startswith(prefix):
                forms = (rest, *_singulars(rest))
                return next((self._classes[form] for form in forms if self._classes.get(form) in NOUNS), None)
        return None

    def _by_ending(self, word: str) -> WordClass:
        if word in _ADVERBS:
            return "adverb"
        if word.endswith("est") and len(word) > _SHORTEST_STEM + 3:
            return "quantity"  # largest, commonest
        for form in (word, *_singulars(word)):
            for ending, name in self._endings:
                if form.endswith(ending) and len(form) >= len(ending) + _SHORTEST_STEM:
                    return name
        return "adverb" if word.endswith("ly") and len(word) > _SHORTEST_STEM + 3 else "unknown"


def _singulars(word: str) -> Iterator[str]:
    for plural, singular in _PLURALS:
        if word.endswith(plural) and len(word) >= len(plural) + _SHORTEST_STEM:
            yield word[: -len(plural)] + singular


@cache
def vocabulary(style: Style) -> Vocabulary:
    """The vocabulary that ships with the package, read on first use."""
    return Vocabulary(_words(), style)


@cache
def cue_lexicon(style: Style) -> Lexicon:
    """The cue phrases of a style; words that only look like one are never corrected into it."""
    base = tomllib.loads(files("knowledge.findings").joinpath("lexicon.toml").read_text(encoding="utf-8"))
    ours = _words()
    dropped = {section: frozenset(row) for section, row in ours["dropped_cues"].items()}
    definition = style == "definition"
    data = {
        "findings": {},
        "comparisons": base["comparisons"],
        "other_things": {"phrases": []},
        "subjects": {},
        "states": {},
        "plain_words": base["plain_words"],
        "cues": dict(ours["cues"]),
    }
    for section in ("laterality", "severity", "change"):
        empty = definition and section == "change"
        data[section] = {} if empty else _without(base[section], dropped[section])
    for cue, row in base["cues"].items():
        if not definition or cue in _DEFINITION_CUES:
            data["cues"][cue] = _expanded_without(row, dropped.get(cue, frozenset()))
    return Lexicon(data, forgiving=False)


def _without(section: Mapping[str, list[str]], dropped: frozenset[str]) -> dict[str, list[str]]:
    return {value: _expanded_without(row, dropped) for value, row in section.items()}


def _expanded_without(phrases: list[str], dropped: frozenset[str]) -> list[str]:
    return [phrase for phrase in phrases if phrase not in dropped]


@cache
def word_set(name: str) -> frozenset[str]:
    """A set of words that rules need, by its name under `sets` in `words.toml`."""
    return frozenset(_words()["sets"][name].split())


@cache
def _words() -> dict[str, Any]:
    return tomllib.loads(files("knowledge.extraction").joinpath("words.toml").read_text(encoding="utf-8"))
