"""Words that mean the same: abbreviations and synonyms, so that a light paraphrase still counts as supported."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from rag.sentences import content_stems

_SHORT = re.compile(r"(?<![\w-])[A-Z][A-Za-z]{1,5}(?![\w-])")


@dataclass(frozen=True, slots=True)
class Terms:
    """Synonyms, as `ideas`: a stem to the name of its idea."""

    ideas: Mapping[str, str] = field(default_factory=dict)

    def idea(self, stem: str) -> str:
        """The name under which a stem is compared: its own when it has no synonym."""
        return self.ideas.get(stem, stem)


@cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads(files("rag.grounding").joinpath("terms.toml").read_text(encoding="utf-8"))


@cache
def common_terms() -> Terms:
    """The synonyms of `terms.toml`."""
    ideas: dict[str, str] = {}
    for row in _table()["synonyms"]["rows"]:
        name = content_stems(row)[0]
        for stem in content_stems(row):
            ideas.setdefault(stem, name)
    return Terms(ideas)


def expanded(text: str) -> str:
    """A text with its common abbreviations written out, so that LV names a side as "left ventricle" does."""
    long_forms: Mapping[str, str] = _table()["abbreviations"]
    return _SHORT.sub(lambda match: long_forms.get(match.group(), match.group()), text)
