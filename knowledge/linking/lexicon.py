"""The lexicon that ships with the package: names of radiology, pathology, eye and skin with their other forms."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files

from knowledge.triples import Concept, key_of


@cache
def lexicon() -> tuple[Concept, ...]:
    """The shipped entries, in the order of the file, read on first use. One concept per name and domain's wording."""
    text = files("knowledge.linking").joinpath("lexicon.toml").read_text(encoding="utf-8")
    return tuple(read_lexicon(text))


def read_lexicon(text: str) -> Iterator[Concept]:
    """The entries of a lexicon in TOML: `"name" = ["other form", ...]` under `[domain.section]`.

    Raises:
        tomllib.TOMLDecodeError: the text is not TOML, or names an entry twice in one section.
    """
    sections: Mapping[str, Mapping[str, Mapping[str, Sequence[str]]]] = tomllib.loads(text)
    for domain, parts in sections.items():
        for entries in parts.values():
            for name, forms in entries.items():
                yield Concept(key_of(name), name, tuple(forms), domain)
