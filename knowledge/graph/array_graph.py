"""The fast graph: sorted NumPy arrays, memory-mapped when opened from a folder, walked through sparse matrices."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from knowledge.graph.array_paths import shortest_paths
from knowledge.graph.intake import POLARITIES, Intake
from knowledge.graph.links import Links, joining_tree, links_of, personalised_pagerank
from knowledge.graph.protocol import (
    MOST_HOPS,
    RESTART,
    TOLERANCE,
    Conflict,
    Declaration,
    Explanation,
    Stats,
    check_walk,
    checked_seeds,
)
from knowledge.graph.reading import Reading
from knowledge.graph.rows import BY, DOCUMENT, Indices, rows_of
from knowledge.graph.saved import open_tables, save_tables
from knowledge.graph.tables import Tables, rows_of_tables, tables_of
from knowledge.graph.weights import Numbers
from knowledge.relations import RelationList
from knowledge.relations import relations as listed_relations
from knowledge.triples import TIERS, Concept, Statement, Support, Triple


class ArrayGraph:
    """`knowledge.graph.protocol.Graph` over arrays. Make one with `build` or `open`."""

    def __init__(self, tables: Tables, relations: RelationList | None = None) -> None:
        self.relations = relations or listed_relations()
        self._tables = tables
        self._reading = Reading(tables, self.relations)

    @classmethod
    def build(
        cls,
        statements: Iterable[Statement] = (),
        declared: Iterable[Declaration] = (),
        relations: RelationList | None = None,
    ) -> Self:
        """The graph of these statements; see `Graph.add`."""
        intake = Intake()
        rows = rows_of(intake.statements(statements), intake.declarations(declared))
        return cls(tables_of(rows), relations)

    @classmethod
    def open(cls, folder: Path, relations: RelationList | None = None) -> Self:
        """A saved graph, memory-mapped.

        Raises:
            StoreError: there is none in the folder, or it is damaged or of another version.
        """
        return cls(open_tables(folder), relations)

    def save(self, folder: Path) -> str:
        """Write the graph; a reader of the folder sees the old one or the new one. Returns the digest of its content.

        Raises:
            StoreError: the folder cannot be written.
        """
        return save_tables(self._tables, folder)

    def concept(self, key: str) -> Concept | None:
        return self._reading.concept(key)

    def concepts(self) -> Iterator[Concept]:
        return self._reading.concepts()

    def triple(self, triple_id: str) -> Triple | None:
        try:
            wanted = uuid.UUID(triple_id)
        except (ValueError, AttributeError):
            return None
        return self._reading.triple_of_id(wanted)

    def triples(self) -> Iterator[Triple]:
        return self._reading.all_triples()

    def triples_of(self, key: str) -> tuple[Triple, ...]:
        concept = self._reading.number(key)
        return self._reading.triples(self._reading.around(concept)) if concept >= 0 else ()

    def triples_in(self, document: str) -> tuple[Triple, ...]:
        return self._reading.triples(self._reading.triples_in(document))

    def supports(self, triple: Triple) -> tuple[Support, ...]:
        number = self._reading.number_of_triple(triple)
        return self._reading.supports(number) if number >= 0 else ()

    def documents(self) -> tuple[str, ...]:
        codes = np.union1d(self._tables.support[:, 0], self._tables.declared[:, BY])
        return tuple(self._tables.texts[code] for code in codes.tolist())

    def neighbours(
        self, keys: Sequence[str], hops: int = 1, relations: Collection[str] | None = None, cap: int = 50
    ) -> tuple[Triple, ...]:
        check_walk(hops, MOST_HOPS, cap)
        usable = self._reading.followed(relations)
        found: list[int] = []
        seen = np.zeros(len(self._tables.concept), np.bool_)
        frontier: Indices = np.array(sorted(self._known(keys)), np.int64)
        while hops and len(frontier):
            seen[frontier] = True
            triples = self._reading.capped(frontier, usable, cap)
            new = np.setdiff1d(triples, np.array(found, np.int64), assume_unique=True)
            found += new[np.lexsort((new, -self._tables.sources[new]))].tolist()
            ends = np.union1d(self._tables.head[new], self._tables.tail[new])
            frontier, hops = ends[~seen[ends]], hops - 1
        return self._reading.triples(found)

    def ppr(
        self,
        seeds: Mapping[str, float],
        *,
        restart: float = RESTART,
        top_n: int = 50,
        tolerance: float = TOLERANCE,
    ) -> tuple[tuple[str, float], ...]:
        weights = checked_seeds(seeds, restart, tolerance)
        start = np.zeros(len(self._tables.concept))
        for key, weight in weights.items():
            if (concept := self._reading.number(key)) >= 0:
                start[concept] = weight
        if not start.any():
            return ()
        start /= start.max()  # the sum of two huge weights would be infinite
        matrix, strength = self._adjacency
        scores = personalised_pagerank(matrix, strength, start / start.sum(), restart, tolerance)
        return self._reading.best(scores, top_n)

    def paths(self, start: str, end: str, max_hops: int = MOST_HOPS, limit: int = 10) -> tuple[tuple[Triple, ...], ...]:
        check_walk(max_hops, MOST_HOPS, limit)
        a, b = self._reading.number(start), self._reading.number(end)
        if a < 0 or b < 0 or a == b:
            return ()
        found = shortest_paths(self._links, a, b, max_hops, limit)
        return tuple(self._reading.triples(path) for path in found)

    def explain(self, seeds: Sequence[str]) -> Explanation:
        known = sorted(self._known(seeds))
        unknown = tuple(sorted({key for key in seeds if self._reading.number(key) < 0}))
        if not known:
            return Explanation((), (), unknown)
        triples, groups = joining_tree(self._links, known)
        return Explanation(
            self._reading.triples(triples),
            tuple(tuple(self._reading.key(seed) for seed in group) for group in groups),
            unknown,
        )

    def conflicts(self) -> tuple[Conflict, ...]:
        return self._reading.conflicts()

    def stats(self) -> Stats:
        tables, texts = self._tables, self._tables.texts
        by_relation = Counter(
            {texts[code]: int(n) for code, n in zip(*np.unique(tables.relation, return_counts=True), strict=True)}
        )
        return Stats(
            concepts=len(tables.concept),
            triples=len(tables.head),
            supports=len(tables.tier),
            documents=len(self.documents()),
            conflicts=len(self.conflicts()),
            walked=self._links.walked,
            by_relation=by_relation,
            by_polarity=_named(POLARITIES, np.bincount(tables.sign[:, 0], minlength=len(POLARITIES))),
            by_tier=_named(TIERS, np.bincount(tables.tier, minlength=len(TIERS))),
            by_source={
                texts[code]: int(n)
                for code, n in zip(*np.unique(tables.support[:, 4], return_counts=True), strict=True)
            },
            unknown={name: n for name, n in by_relation.items() if self.relations.meaning(name) is None},
        )

    def add(self, statements: Iterable[Statement], declared: Iterable[Declaration] = ()) -> Self:
        intake = Intake()
        new = rows_of(intake.statements(statements), intake.declarations(declared))
        return type(self)(tables_of(rows_of_tables(self._tables).joined(new)), self.relations)

    def remove_document(self, document: str) -> Self:
        code = self._tables.texts.code(document)
        rows = rows_of_tables(self._tables)
        left = rows.kept(rows.texts[:, DOCUMENT] != code, rows.declared[:, BY] != code)
        return type(self)(tables_of(left), self.relations)

    def _known(self, keys: Iterable[str]) -> set[int]:
        return {number for number in map(self._reading.number, keys) if number >= 0}

    @cached_property
    def _links(self) -> Links:
        return links_of(self._tables, self.relations)

    @cached_property
    def _adjacency(self) -> tuple[Any, Numbers]:
        matrix = self._links.matrix(self._links.weight)
        return matrix, np.asarray(matrix.sum(axis=1)).ravel()


def _named(names: Sequence[str], counts: npt.NDArray[np.int64]) -> dict[str, int]:
    return {name: int(count) for name, count in zip(names, counts, strict=True) if count}
