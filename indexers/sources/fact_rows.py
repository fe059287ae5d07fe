"""What the readers of fact files yield: triples with their origin, and the lines that hold none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from rag.passages import Change, Polarity

Tier = Literal["ontology", "textbook", "report"]
"""How general a source is: an ontology or table, a textbook, reports of single patients."""

MAX_LINE = 64 << 10
"""Bytes a line may have. Longer ones hold a label that no sentence can carry, and are refused by number."""
POLARITIES = frozenset(get_args(Polarity))
CHANGES = frozenset(get_args(Change))
TIERS = frozenset(get_args(Tier))

_DATE_IN_NAME = re.compile(r"(?<!\d)((?:19|20)\d\d(?:-\d\d){0,2})(?!\d)")
_LICENSE_NAMES = ("license", "licence", "license.txt", "licence.txt", "license.md", "copying")
_LICENSES = (
    (re.compile(r"\bCC0\b", re.IGNORECASE), "CC0"),
    (re.compile(r"Apache License\s+Version 2\.0", re.IGNORECASE), "Apache-2.0"),
    (re.compile(r"\bMIT License\b", re.IGNORECASE), "MIT"),
    (re.compile(r"Attribution-ShareAlike 4\.0|\bCC BY-SA 4\.0", re.IGNORECASE), "CC BY-SA 4.0"),
    (re.compile(r"Attribution-NonCommercial 4\.0|\bCC BY-NC 4\.0", re.IGNORECASE), "CC BY-NC 4.0"),
    (re.compile(r"Attribution 4\.0|\bCC BY 4\.0", re.IGNORECASE), "CC BY 4.0"),
    (re.compile(r"Attribution 3\.0|\bCC BY 3\.0", re.IGNORECASE), "CC BY 3.0"),
)
_LICENSE_BYTES = 2048
"""A licence says its name at the top; what it mentions further down may be others."""


class Origin(NamedTuple):
    """Where a fact comes from: data set, licence, release, and how general such a source is."""

    source: str = ""
    license: str = ""
    version: str = ""
    tier: str = "ontology"


class Row(NamedTuple):
    """One triple as read, or the problem with its line. `line` counts from 1; `notes` are further names and values."""

    line: int
    head: str = ""
    relation: str = ""
    tail: str = ""
    polarity: str = "present"
    change: str = "none"
    origin: Origin = Origin()
    notes: tuple[tuple[str, str], ...] = ()
    problem: str = ""


class Triple(NamedTuple):
    """Head, relation and tail as a file writes them, with what it says of them."""

    head: str
    relation: str
    tail: str
    polarity: str = "present"
    change: str = "none"


def fact_row(line: int, triple: Triple, origin: Origin, notes: tuple[tuple[str, str], ...] = ()) -> Row:
    """A row, with a problem when part of the triple is missing or holds a word that is not allowed there."""
    return Row(line, *triple, origin, notes, _problem(triple, origin))


def _problem(triple: Triple, origin: Origin) -> str:
    empty = [name for name in ("head", "relation", "tail") if not getattr(triple, name)]
    if empty:
        return f"empty {' and '.join(empty)}"
    for name, value, allowed in (
        ("polarity", triple.polarity, POLARITIES),
        ("change", triple.change, CHANGES),
        ("tier", origin.tier, TIERS),
    ):
        if value not in allowed:
            return f"{name} {value!r} is none of {', '.join(sorted(allowed))}"
    return ""


def noted(*pairs: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """The pairs that have a value."""
    return tuple(pair for pair in pairs if pair[1])


def version_in_name(path: Path) -> str:
    """The year, or date, that a file's name holds; empty when it has none."""
    found = _DATE_IN_NAME.search(path.name)
    return found.group(1) if found else ""


def license_beside(path: Path) -> str:
    """The licence that a file LICENSE in the same folder names; "see" and its name when it names none we know."""
    for name in sorted(entry.name for entry in path.parent.iterdir() if entry.name.lower() in _LICENSE_NAMES):
        try:
            with (path.parent / name).open("rb") as stream:
                top = " ".join(stream.read(_LICENSE_BYTES).decode("utf-8", "replace").split())
        except OSError:
            continue
        return next((known for pattern, known in _LICENSES if pattern.search(top)), f"see {name}")
    return ""
