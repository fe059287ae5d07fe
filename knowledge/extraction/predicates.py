"""The verbs and nouns by which a definition tells what a thing is, where it is, what it causes and what treats it.

They stand in `predicates.toml`; here they become patterns.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

Role = Literal["genus", "synonym", "anatomy", "observation", "any"]
"""What a predicate takes: the kind of thing defined, another name, a body part, a finding, or anything."""


class Predicate(NamedTuple):
    """Words and what they mean: `subject relation object`, or the other way round when `inverted`."""

    pattern: re.Pattern[str]
    relation: str
    inverted: bool
    takes: Role


class Predicates(NamedTuple):
    """Verbs of sentences about X; openings that make X their object; nouns of "X is a ... of Y"."""

    verbs: tuple[Predicate, ...]
    headed: tuple[Predicate, ...]
    nouns: tuple[Predicate, ...]


HEADED_VERB = re.compile(r"\b(?:includes?|including|is|are|involves?|consists? of|comprises?)\b", re.IGNORECASE)
"""Verbs behind an opening such as "treatment of X"."""

DENIED = re.compile(r"\b(?:not|never|cannot|neither|no longer)\b|n['’]t\b", re.IGNORECASE)
DOUBTED = re.compile(
    r"\b(?:may|might|could|possibly|probably|perhaps|likely|suspected|thought to|believed to|presumably)\b",
    re.IGNORECASE,
)
NO_SUBJECT = re.compile(
    r"^(?:it|this|these|those|that|they|there|he|she|we|you|in|on|at|when|if|although|though|because|for|by|with|as|after"
    r"|before|during|some|many|most|other|such|each|both|its|their|what|how|who|since|while|thus|however|therefore)\b",
    re.IGNORECASE,
)
GENERIC_PARTS = frozenset(
    ("body", "organ", "organs", "tissue", "tissues", "part", "parts", "muscle", "muscles", "surface", "level")
)
"""Body parts that place nothing: "an artery of the body"."""


@cache
def predicates() -> Predicates:
    """The predicates that ship with the package, read on first use."""
    data = tomllib.loads(files("knowledge.extraction").joinpath("predicates.toml").read_text(encoding="utf-8"))
    parts = data["parts"]
    return Predicates(
        verbs=_read(data["predicates"], parts, r"\b(?:{})\b"),
        headed=_read(data["headed"], parts, r"^(?:the\s+)?(?:\w+\s+)?(?:{})\s+(?:of|for)\s+"),
        nouns=_read(data["nouns"], parts, r"\s*ONE(?:{})\s+(?:of|in|for)\s+"),
    )


def _read(rows: Sequence[Mapping[str, Any]], parts: Mapping[str, str], frame: str) -> tuple[Predicate, ...]:
    return tuple(
        Predicate(
            re.compile(_filled(frame.replace("{}", "|".join(row["words"])), parts), re.IGNORECASE),
            row["relation"],
            row.get("inverted", False),
            row.get("takes", "any"),
        )
        for row in rows
    )


def _filled(pattern: str, parts: Mapping[str, str]) -> str:
    for name, part in parts.items():
        pattern = pattern.replace(name, part)
    return pattern
