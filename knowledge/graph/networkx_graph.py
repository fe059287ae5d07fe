"""The readable graph: dictionaries and networkx, for small graphs and as the oracle of the fast one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Self

import networkx as nx
import numpy as np

from knowledge.graph.intake import POLARITIES, Intake
from knowledge.graph.protocol import (
    LONGEST_WALKED_NAME,
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
from knowledge.graph.tree import Costs, steiner_tree
from knowledge.graph.weights import link_cost, link_weight
from knowledge.graph.wordings import concept_of
from knowledge.relations import RelationList
from knowledge.relations import relations as listed_relations
from knowledge.triples import CHANGES, TIERS, Concept, Statement, Support, Triple

SYNONYM = "synonym_of"


class NetworkxGraph:
    """`knowledge.graph.protocol.Graph` over a networkx multigraph with one edge per triple."""

    def __init__(
        self,
        supports: Mapping[Triple, frozenset[Support]],
        declared: frozenset[Declaration] = frozenset(),
        relations: RelationList | None = None,
    ) -> None:
        self.relations = relations or listed_relations()
        self._supports = {triple: supports[triple] for triple in sorted(supports, key=triple_order)}
        self._declared = declared
        self._graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
        for triple in self._supports:
            self._graph.add_edge(triple.head, triple.tail, triple=triple)

    @classmethod
    def build(
        cls,
        statements: Iterable[Statement] = (),
        declared: Iterable[Declaration] = (),
        relations: RelationList | None = None,
    ) -> Self:
        """The graph of these statements; see `Graph.add`."""
        return cls({}, frozenset(), relations).add(statements, declared)

    def concept(self, key: str) -> Concept | None:
        if key not in self._graph:
            return None
        synonyms = {
            triple.tail if triple.head == key else triple.head
            for triple in self.triples_of(key)
            if self._is_synonym(triple) and triple.polarity == "present"
        }
        own = self._plain_concept(key)
        forms = {*own.forms, *(self._plain_concept(other).name for other in synonyms - {key})} - {own.name}
        return Concept(key, own.name, tuple(sorted(forms)), own.domain)

    def concepts(self) -> Iterator[Concept]:
        for key in sorted(self._graph):
            concept = self.concept(key)
            if concept and (self._graph.out_degree(key) or self._stands_as_concept(key)):
                yield concept

    def triple(self, triple_id: str) -> Triple | None:
        return next((triple for triple in self._supports if triple.id == str(triple_id).casefold()), None)

    def triples(self) -> Iterator[Triple]:
        return iter(self._supports)

    def triples_of(self, key: str) -> tuple[Triple, ...]:
        return tuple(triple for triple in self._supports if key in (triple.head, triple.tail))

    def triples_in(self, document: str) -> tuple[Triple, ...]:
        return tuple(triple for triple, rows in self._supports.items() if any(row.document == document for row in rows))

    def supports(self, triple: Triple) -> tuple[Support, ...]:
        return tuple(sorted(self._supports.get(triple, ()), key=support_order))

    def documents(self) -> tuple[str, ...]:
        named = {row.document for rows in self._supports.values() for row in rows}
        return tuple(sorted(named | {row.document for row in self._declared}))

    def neighbours(
        self, keys: Sequence[str], hops: int = 1, relations: Collection[str] | None = None, cap: int = 50
    ) -> tuple[Triple, ...]:
        check_walk(hops, MOST_HOPS, cap)
        found: list[Triple] = []
        frontier, seen = {key for key in keys if key in self._graph}, set[str]()
        for _ in range(hops):
            seen |= frontier
            new = {triple for key in frontier for triple in self._capped(key, cap) if self._follows(triple, relations)}
            found += sorted(new - set(found), key=lambda triple: (-self._sources(triple), triple_order(triple)))
            frontier = {end for triple in new for end in (triple.head, triple.tail)} - seen
        return tuple(found)

    def ppr(
        self,
        seeds: Mapping[str, float],
        *,
        restart: float = RESTART,
        top_n: int = 50,
        tolerance: float = TOLERANCE,
    ) -> tuple[tuple[str, float], ...]:
        weights = checked_seeds(seeds, restart, tolerance)
        known = {key: weight for key, weight in weights.items() if key in self._graph}
        if not known or top_n < 1:
            return ()
        largest = max(known.values())
        start = {key: weight / largest for key, weight in known.items()}
        scores = nx.pagerank(
            self._links,
            alpha=1 - restart,
            personalization=start,
            nstart=start,
            max_iter=10_000,
            tol=tolerance * restart / (2 * len(self._links)),
        )
        order = sorted((-round(score, 10), key) for key, score in scores.items())
        return tuple((key, scores[key]) for rounded, key in order[:top_n] if rounded < 0)

    def paths(self, start: str, end: str, max_hops: int = MOST_HOPS, limit: int = 10) -> tuple[tuple[Triple, ...], ...]:
        check_walk(max_hops, MOST_HOPS, limit)
        if start == end or start not in self._graph or end not in self._graph:
            return ()

        def order(nodes: list[str]) -> tuple[int, int, int, list[str]]:
            steps = [self._links.edges[pair] for pair in nx.utils.pairwise(nodes)]
            weakest = min(int(step["sources"]) for step in steps)
            return len(nodes), -weakest, prod(self._links.degree[node] for node in nodes[1:-1]), nodes[1:-1]

        found = sorted(nx.all_simple_paths(self._links, start, end, cutoff=max_hops), key=order)[:limit]
        return tuple(tuple(self._links.edges[pair]["best"] for pair in nx.utils.pairwise(nodes)) for nodes in found)

    def explain(self, seeds: Sequence[str]) -> Explanation:
        names = sorted(self._graph)
        number = {name: place for place, name in enumerate(names)}
        known = sorted({number[key] for key in seeds if key in number})
        unknown = tuple(sorted({key for key in seeds if key not in number}))
        if not known:
            return Explanation((), (), unknown)
        costs = {
            pair: float(link_cost(self._links.degree[a], self._links.degree[b], self._links.edges[a, b]["sources"]))
            for a, b in self._links.edges
            for pair in ((a, b), (b, a))
        }
        reached = nx.multi_source_dijkstra_path_length(
            self._links, {names[seed] for seed in known}, weight=lambda a, b, _: costs[a, b]
        )
        distance = np.array([reached.get(name, np.inf) for name in names])
        entries = sorted((number[a], number[b], int(cost)) for (a, b), cost in costs.items())
        columns = np.array(entries, np.int64).reshape(-1, 3)
        pairs, groups = steiner_tree(distance, Costs(columns[:, 0], columns[:, 1], columns[:, 2]), known)
        triples = sorted((self._links.edges[names[a], names[b]]["best"] for a, b in pairs), key=triple_order)
        return Explanation(tuple(triples), tuple(tuple(names[seed] for seed in group) for group in groups), unknown)

    def conflicts(self) -> tuple[Conflict, ...]:
        said: dict[tuple[str, str, str], list[Triple]] = defaultdict(list)
        for triple in self._supports:
            said[triple.head, triple.relation, triple.tail].append(triple)
        pairs = (
            tuple(tuple(row for row in rows if row.polarity == sign) for sign in ("present", "absent"))
            for rows in said.values()
        )
        return tuple(Conflict(present, absent) for present, absent in pairs if present and absent)

    def stats(self) -> Stats:
        rows = [row for supports in self._supports.values() for row in supports]
        by_relation = Counter(triple.relation for triple in self._supports)
        return Stats(
            concepts=len(self._graph),
            triples=len(self._supports),
            supports=len(rows),
            documents=len(self.documents()),
            conflicts=len(self.conflicts()),
            walked=sum(map(self._walks, self._supports)),
            by_relation=by_relation,
            by_polarity=Counter(triple.polarity for triple in self._supports),
            by_tier=Counter(row.tier for row in rows),
            by_source=Counter(row.source for row in rows),
            unknown={name: n for name, n in by_relation.items() if self.relations.meaning(name) is None},
        )

    def add(self, statements: Iterable[Statement], declared: Iterable[Declaration] = ()) -> Self:
        intake = Intake()
        supports = {triple: set(rows) for triple, rows in self._supports.items()}
        for statement in intake.statements(statements):
            supports.setdefault(statement.triple, set()).add(statement.support)
        frozen = {triple: frozenset(rows) for triple, rows in supports.items()}
        return type(self)(frozen, self._declared | set(intake.declarations(declared)), self.relations)

    def remove_document(self, document: str) -> Self:
        left = {
            triple: frozenset(row for row in rows if row.document != document)
            for triple, rows in self._supports.items()
        }
        declared = frozenset(row for row in self._declared if row.document != document)
        return type(self)({triple: rows for triple, rows in left.items() if rows}, declared, self.relations)

    @cached_property
    def _links(self) -> nx.Graph[str]:
        """The links that walks follow: see `knowledge.graph.protocol`."""
        links: nx.Graph[str] = nx.Graph()
        links.add_nodes_from(self._graph)
        for triple in filter(self._walks, self._supports):
            sources = self._sources(triple)
            link = links.get_edge_data(triple.head, triple.tail) or {"weight": 0.0, "best": triple, "sources": 0}
            link["weight"] += float(link_weight(sources))
            if sources > link["sources"] or not link["sources"]:
                link.update(best=triple, sources=sources)
            links.add_edge(triple.head, triple.tail, **link)
        return links

    def _walks(self, triple: Triple) -> bool:
        if not self._is_synonym(triple):
            return self._usable(triple)
        owners = {other.head for other in self.triples_of(triple.tail) if self._binds(other, triple.tail)}
        return self._usable(triple) and len(owners) == 1 and all(map(self._known, (triple.head, triple.tail)))

    def _usable(self, triple: Triple) -> bool:
        present = triple.polarity == "present" and self.relations.walked(triple.relation)
        return present and triple.head != triple.tail and len(triple.tail.encode()) <= LONGEST_WALKED_NAME

    def _binds(self, triple: Triple, tail: str) -> bool:
        return self._is_synonym(triple) and triple.tail == tail and self._usable(triple)

    def _known(self, key: str) -> bool:
        return any(self._usable(triple) and not self._is_synonym(triple) for triple in self.triples_of(key))

    def _is_synonym(self, triple: Triple) -> bool:
        return self.relations.canonical(triple.relation) == SYNONYM

    def _follows(self, triple: Triple, relations: Collection[str] | None) -> bool:
        if relations is None:
            return self._walks(triple)
        named = any(self.relations.matches(triple.relation, name) for name in relations)
        return named and triple.polarity == "present"

    def _capped(self, key: str, cap: int) -> list[Triple]:
        groups: dict[tuple[str, str, str], list[Triple]] = defaultdict(list)
        for triple in self.triples_of(key):
            for direction, end in (("out", triple.head), ("in", triple.tail)):
                if end == key:
                    groups[direction, triple.relation, triple.polarity].append(triple)
        return [
            triple
            for triples in groups.values()
            for triple in sorted(triples, key=lambda triple: (-self._sources(triple), triple_order(triple)))[:cap]
        ]

    def _sources(self, triple: Triple) -> int:
        return len({(row.document, row.source) for row in self._supports[triple]})

    def _stands_as_concept(self, key: str) -> bool:
        if len(key.encode()) > LONGEST_WALKED_NAME:
            return False
        meanings = [self.relations.meaning(triple.relation) for triple in self.triples_of(key)]
        return any(m is None or (m.relation.tail != "text" and m.relation.name != SYNONYM) for m in meanings)

    def _plain_concept(self, key: str) -> Concept:
        return concept_of(key, self._supports, self._declared)


def triple_order(triple: Triple) -> tuple[str, str, str, int, int]:
    """Head, relation, tail, polarity and change."""
    polarity, change = POLARITIES.index(triple.polarity), CHANGES.index(triple.change)
    return triple.head, triple.relation, triple.tail, polarity, change


def support_order(support: Support) -> tuple[object, ...]:
    """Document, passage and place, then everything else."""
    where = (support.document, support.passage, support.start, support.end)
    what = (support.head_text, support.tail_text, support.source, support.license, support.method)
    return (*where, *what, TIERS.index(support.tier), support.confidence)
