"""The content of a graph as columns of numbers: one row per support, and one per form that a document declares.

Rows come from statements or from a finished graph, and are joined and filtered before `knowledge.graph.tables` puts
them in order. They hold no order and no derived value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from knowledge.graph.intake import POLARITIES
from knowledge.graph.protocol import Declaration
from knowledge.graph.strings import StringPool
from knowledge.triples import CHANGES, TIERS, Statement

Codes = npt.NDArray[np.int32]
Indices = npt.NDArray[np.signedinteger[Any]]

HEAD, RELATION, TAIL, DOCUMENT, PASSAGE, HEAD_TEXT, TAIL_TEXT, SOURCE, LICENSE, METHOD = range(10)
"""The columns of `Rows.texts`."""
POLARITY, CHANGE, TIER = range(3)
"""The columns of `Rows.signs`."""
BY, KEY, NAME, DOMAIN, FORM = range(5)
"""The columns of `Rows.declared`: document, key, name, domain, and one form (empty for a concept without)."""

_BATCH = 1024
"""Statements at once: what a processor's own cache holds; larger batches take up to twice as long."""
_TEXTS = (
    ("triple", ("head", "relation", "tail")),
    ("support", ("document", "passage", "head_text", "tail_text", "source", "license", "method")),
)


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns over a pool of strings, in any order, with duplicates.

    `texts` (n, 10) and `declared` (m, 5) are indices into `pool`; `signs` (n, 3) are uint8 indices into POLARITIES,
    CHANGES and TIERS; `places` (n, 2) are the offsets start and end; `confidence` (n,) is float64.
    """

    pool: Sequence[str]
    texts: Codes
    signs: npt.NDArray[np.uint8]
    places: Codes
    confidence: npt.NDArray[np.float64]
    declared: Codes

    def kept(self, supports: npt.NDArray[Any], declared: npt.NDArray[np.bool_]) -> Rows:
        """The supports and declarations where the masks are true, or at these indices."""
        return replace(
            self,
            texts=self.texts[supports],
            signs=self.signs[supports],
            places=self.places[supports],
            confidence=self.confidence[supports],
            declared=self.declared[declared],
        )

    def joined(self, other: Rows) -> Rows:
        """The rows of both."""
        pool = StringPool((text, code) for code, text in enumerate(self.pool))
        moved = np.fromiter(map(pool.__getitem__, other.pool), np.int32, len(other.pool))
        return Rows(
            list(pool),
            np.concatenate([self.texts, moved[other.texts]]),
            np.concatenate([self.signs, other.signs]),
            np.concatenate([self.places, other.places]),
            np.concatenate([self.confidence, other.confidence]),
            np.concatenate([self.declared, moved[other.declared]]),
        )


def rows_of(statements: Iterable[Statement], declared: Iterable[Declaration]) -> Rows:
    """The rows of statements and declarations, read once and in batches."""
    pool = StringPool()
    parts = [_columns(batch, pool) for batch in _batches(statements)]
    texts, signs, places, confidence = zip(*parts, strict=True) if parts else ((), (), (), ())
    declared_rows = [
        tuple(map(pool.__getitem__, (row.document, concept.key, concept.name, concept.domain, form)))
        for row in declared
        for concept in (row.concept,)
        for form in (concept.forms or ("",))
    ]
    return Rows(
        list(pool),
        np.concatenate([np.empty((0, 10), np.int32), *texts]),
        np.concatenate([np.empty((0, 3), np.uint8), *signs]),
        np.concatenate([np.empty((0, 2), np.int32), *places]),
        np.concatenate([np.empty(0, np.float64), *confidence]),
        np.array(declared_rows, np.int32).reshape(-1, 5),
    )


def _batches(statements: Iterable[Statement]) -> Iterator[list[Statement]]:
    iterator = iter(statements)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


def _columns(
    batch: list[Statement], pool: StringPool
) -> tuple[Codes, npt.NDArray[np.uint8], Codes, npt.NDArray[np.float64]]:
    """One batch as columns: attribute by attribute, because one loop over all attributes takes twice as long."""
    n = len(batch)
    parts: dict[str, list[Any]] = {"triple": [row.triple for row in batch], "support": [row.support for row in batch]}
    texts = np.empty((n, 10), np.int32)
    column = 0
    for owner, names in _TEXTS:
        for name in names:
            texts[:, column] = np.fromiter(map(pool.__getitem__, map(attrgetter(name), parts[owner])), np.int32, n)
            column += 1
    signs = np.empty((n, 3), np.uint8)
    for column, (owner, name, order) in enumerate(
        (("triple", "polarity", POLARITIES), ("triple", "change", CHANGES), ("support", "tier", TIERS))
    ):
        code = {value: number for number, value in enumerate(order)}
        signs[:, column] = np.fromiter(map(code.__getitem__, map(attrgetter(name), parts[owner])), np.uint8, n)
    supports = parts["support"]
    places = np.array([[row.start for row in supports], [row.end for row in supports]], np.int32).T
    confidence = np.array([row.confidence for row in supports], np.float64) + 0.0  # no negative zero
    return texts, signs, places, confidence
