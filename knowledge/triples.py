"""The contract of the knowledge graph: concepts, triples between them, and the support that documents give a triple.

A triple is a statement and says nothing of who made it; every document that makes it adds a row of support. So the same
statement from two books is one triple with two supports, and removing a book removes exactly what it alone supported.
An absent finding is another triple than a present one, and so is a finding that grew.
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from dataclasses import dataclass
from typing import Literal

from rag.types import Change, Polarity

__all__ = ["CHANGES", "TIERS", "Change", "Concept", "Statement", "Support", "Tier", "Triple", "key_of"]

Tier = Literal["ontology", "textbook", "report"]
"""How general a source is, most general first, as MedGraphRAG (ACL 2025) ranks them."""

TIERS: tuple[Tier, ...] = ("ontology", "textbook", "report")
CHANGES: tuple[Change, ...] = ("none", "new", "worse", "better", "stable", "resolved")

NAMESPACE = uuid.UUID("6f1f6d0e-7f0b-5a83-9d4e-0b1f6c6f2a11")
"""The namespace of triple ids."""
_GAP = re.compile(r"[\s_]+")


@dataclass(frozen=True, slots=True)
class Concept:
    """A node: `key` identifies it, `name` is how its best source writes it, `forms` are other ways to write it.

    The key of a concept that only its name identifies is `key_of(name)`. `domain` is a rough field of medicine
    ("radiology", "pathology", "ophthalmology", "dermatology", or empty) that ranks readings of an ambiguous form.
    """

    key: str
    name: str
    forms: tuple[str, ...] = ()
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Triple:
    """A statement between two concepts, by their keys. Polarity and change are part of what it says."""

    head: str
    relation: str
    tail: str
    polarity: Polarity = "present"
    change: Change = "none"

    @property
    def id(self) -> str:
        """A UUID that depends on all five parts, and on nothing else."""
        parts = (self.head, self.relation, self.tail, self.polarity, self.change)
        return str(uuid.uuid5(NAMESPACE, "\x1f".join(parts)))


@dataclass(frozen=True, slots=True)
class Support:
    """One place that makes a statement: which document and passage, which words of it, and how they were read.

    `head_text` and `tail_text` are the words there. `start` and `end` are offsets into the passage's text, -1 for a row
    of a table. `source` and `license` are the data set's own; `method` names the reader with its version
    ("table-1", "rules-1"); `confidence` is in [0, 1].
    """

    document: str
    passage: str
    head_text: str
    tail_text: str
    tier: Tier = "ontology"
    source: str = ""
    license: str = ""
    method: str = "table-1"
    confidence: float = 1.0
    start: int = -1
    end: int = -1


@dataclass(frozen=True, slots=True)
class Statement:
    """A triple with one of its supports: what loaders and extractors yield, and what a graph is built from."""

    triple: Triple
    support: Support


def key_of(name: str) -> str:
    """The key of a concept known by its name alone: Unicode-normalised, lower case, single spaces.

    Nothing is stemmed or translated here: "colour" and "color", "cyst" and "cysts" meet in the linker, which knows
    which words may be changed, not in identities, which nobody can take back.
    """
    return _GAP.sub(" ", unicodedata.normalize("NFKC", name)).strip().casefold()
