"""The closed list of relations: what each one means, which way it points, and whether a graph walk follows it.

A file's own word for a relation, the surface relation, stays in its triples and is what a reader is shown; this list
says what it means. `relations.toml` holds the list with its aliases.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Literal

Kind = Literal[
    "anything", "anatomy", "attribute", "disease", "exposure", "finding", "modality", "observation", "people", "text",
    "time", "treatment",
]  # fmt: skip
"""What kind of thing a relation expects at one of its ends; "text" is a description and names no concept."""

_GAP = re.compile(r"[\s_-]+")


@dataclass(frozen=True, slots=True)
class Relation:
    """One relation of the list. `walk` says whether graph walks follow it when nobody names it.

    `head` and `tail` are what the relation expects there; nothing is refused for being something else, because files
    are looser than lists. `aliases` and `inverted` are surface relations that mean it, in the same or the other
    direction.
    """

    name: str
    inverse: str
    head: Kind
    tail: Kind
    walk: bool
    aliases: tuple[str, ...] = ()
    inverted: tuple[str, ...] = ()

    @property
    def symmetric(self) -> bool:
        """The relation says the same from both ends."""
        return self.inverse == self.name


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a surface relation means: a relation of the list, with head and tail exchanged when `inverted`."""

    relation: Relation
    inverted: bool = False


@dataclass(frozen=True, slots=True)
class RelationList:
    """The relations, by canonical name and by every surface form."""

    relations: tuple[Relation, ...]
    _meanings: Mapping[str, Meaning] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        meanings: dict[str, Meaning] = {}
        for relation in self.relations:
            same = {relation.name, *relation.aliases}
            other = set(relation.inverted) | ({relation.inverse} - same)
            for surface, inverted in [(name, False) for name in same] + [(name, True) for name in other]:
                form = _form(surface)
                if meanings.setdefault(form, Meaning(relation, inverted)) != Meaning(relation, inverted):
                    raise ValueError(
                        f"relation {surface!r} means both {meanings[form].relation.name} and {relation.name}"
                    )
        object.__setattr__(self, "_meanings", meanings)

    def meaning(self, surface: str) -> Meaning | None:
        """What a surface relation means, None when it is unknown. Case, "_", "-" and blanks do not matter."""
        return self._meanings.get(_form(surface))

    def canonical(self, surface: str) -> str:
        """The canonical name of a surface relation, or the surface itself when the list does not know it."""
        meaning = self.meaning(surface)
        return meaning.relation.name if meaning else surface

    def walked(self, surface: str) -> bool:
        """A walk follows it when no relation is asked for by name. Unknown relations are not followed."""
        meaning = self.meaning(surface)
        return meaning is not None and meaning.relation.walk

    def matches(self, surface: str, wanted: str) -> bool:
        """The surface relation is the wanted one, by its own spelling or by its canonical name."""
        return _form(surface) == _form(wanted) or _form(self.canonical(surface)) == _form(wanted)


@cache
def relations() -> RelationList:
    """The list of `relations.toml`."""
    table = tomllib.loads(files("knowledge").joinpath("relations.toml").read_text(encoding="utf-8"))
    return RelationList(tuple(_relation(name, row) for name, row in table.items()))


def _relation(name: str, row: Mapping[str, object]) -> Relation:
    row = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    return Relation(name=name, **row)  # type: ignore[arg-type]  # a wrong key in our own file fails every test


def _form(surface: str) -> str:
    return _GAP.sub(" ", surface).strip().casefold()
