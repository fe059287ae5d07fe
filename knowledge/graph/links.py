"""The links that walks follow, as a symmetric scipy matrix: personalised PageRank and shortest distances over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from knowledge.graph.intake import POLARITIES
from knowledge.graph.protocol import LONGEST_WALKED_NAME
from knowledge.graph.rows import Indices
from knowledge.graph.tables import Tables
from knowledge.graph.tree import Costs, steiner_tree
from knowledge.graph.weights import Numbers, link_cost, link_weight
from knowledge.relations import RelationList

PRESENT = POLARITIES.index("present")
SYNONYM = "synonym_of"

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Links:
    """Links between concepts: `start` (n + 1) and `other` (2 l) list the linked concepts of each, ascending.

    `link` (2 l) is the number of the link; `best` (l,) its best-supported triple, `sources` (l,) that triple's
    sources, `weight` (l,) its pull on a walker. `walked` is the number of triples that make the links.
    """

    start: Indices
    other: Indices
    link: Indices
    best: Indices
    sources: Indices
    weight: Numbers
    walked: int

    @property
    def n(self) -> int:
        """Concepts."""
        return len(self.start) - 1

    def degrees(self) -> Indices:
        """Links of each concept."""
        return np.diff(self.start)

    def matrix(self, values: Numbers) -> Any:  # noqa: ANN401  # scipy has no types
        """The symmetric sparse matrix (n, n) of a value per link."""
        return csr_matrix((values[self.link], self.other, self.start), shape=(self.n, self.n))

    def of(self, concept: int) -> tuple[Indices, Indices]:
        """The concepts linked to one, ascending, and the links to them."""
        entries = slice(self.start[concept], self.start[concept + 1])
        return self.other[entries], self.link[entries]

    def between(self, low: int, high: int) -> int:
        """The best triple between two linked concepts."""
        other, link = self.of(low)
        return int(self.best[link[np.searchsorted(other, np.int32(high))]])


def by_relation(tables: Tables, accepts: Callable[[str], bool]) -> Mask:
    """Of each triple: is its surface relation accepted?"""
    texts = tables.texts
    codes, place = np.unique(tables.relation, return_inverse=True)
    accepted = np.array([accepts(texts[code]) for code in codes.tolist()], np.bool_)
    of_triple: Mask = accepted[place]
    return of_triple


def walked_triples(tables: Tables, relations: RelationList) -> Mask:
    """Of each triple: do walks follow it? See `knowledge.graph.protocol`."""
    long = tables.texts.lengths()[tables.concept[:, 0]] > LONGEST_WALKED_NAME
    usable = (tables.sign[:, 0] == PRESENT) & (tables.head != tables.tail) & ~long[tables.tail]
    followed = by_relation(tables, relations.walked) & usable
    synonym = by_relation(tables, lambda surface: relations.canonical(surface) == SYNONYM) & followed
    plain = followed & ~synonym
    known = np.zeros(len(tables.concept), np.bool_)
    known[tables.head[plain]] = True
    known[tables.tail[plain]] = True
    pairs = np.unique(tables.tail[synonym].astype(np.int64) << 32 | tables.head[synonym])
    owners = np.bincount(pairs >> 32, minlength=len(known))
    joins: Mask = synonym & known[tables.head] & known[tables.tail] & (owners[tables.tail] == 1)
    both: Mask = plain | joins
    return both


def links_of(tables: Tables, relations: RelationList) -> Links:
    """The links of a graph: triples between the same two concepts make one."""
    triple = np.flatnonzero(walked_triples(tables, relations))
    head, tail, sources = tables.head[triple], tables.tail[triple], tables.sources[triple]
    pair = np.minimum(head, tail).astype(np.int64) << 32 | np.maximum(head, tail)
    order = np.lexsort((-sources, pair))  # stable: equally supported triples stay in their order
    pair, triple, sources = pair[order], triple[order].astype(np.int32), sources[order]
    first = np.flatnonzero(np.concatenate([np.ones(min(1, len(pair)), np.bool_), pair[1:] != pair[:-1]]))
    weight = np.add.reduceat(link_weight(sources), first) if len(first) else np.zeros(0)
    low, high = (pair[first] >> 32).astype(np.int32), (pair[first] & 0xFFFFFFFF).astype(np.int32)
    number = np.arange(len(first), dtype=np.int32)
    n = len(tables.concept)
    entries = (np.tile(number, 2), (np.concatenate([low, high]), np.concatenate([high, low])))
    matrix = csr_matrix(entries, shape=(n, n))
    matrix.sort_indices()
    return Links(matrix.indptr, matrix.indices, matrix.data, triple[first], sources[first], weight, len(triple))


def personalised_pagerank(
    adjacency: Any,  # noqa: ANN401  # scipy has no types
    strength: Numbers,
    seeds: Numbers,
    restart: float,
    tolerance: float,
) -> Numbers:
    """Scores (n,) that sum to 1, by power iteration; the error is at most `tolerance` in L1.

    A step shrinks the error by 1 - restart at least, so the last change bounds what is left: error <= change *
    (1 - restart) / restart. A seed without links takes its walkers back to the seeds.
    """
    follow = 1.0 - restart
    inverse = np.divide(1.0, strength, out=np.zeros_like(strength), where=strength > 0)
    alone = np.flatnonzero((strength == 0) & (seeds > 0))
    scores = seeds
    while True:
        moved: Numbers = adjacency @ (scores * inverse)
        moved += scores[alone].sum() * seeds
        moved *= follow
        moved += restart * seeds
        change = float(np.abs(moved - scores).sum())
        scores = moved
        if change * follow / restart <= tolerance:
            return scores


def joining_tree(links: Links, seeds: list[int]) -> tuple[list[int], list[list[int]]]:
    """The triples of a small tree over the seeds, and the seeds that each tree joins; see `knowledge.graph.tree`."""
    degrees = links.degrees()
    source = np.repeat(np.arange(links.n), degrees)
    cost = link_cost(degrees[source], degrees[links.other], links.sources[links.link])
    matrix = csr_matrix((cost, links.other, links.start), shape=(links.n, links.n))
    distance: Numbers = dijkstra(matrix, directed=True, indices=seeds, min_only=True)
    pairs, groups = steiner_tree(distance, Costs(source, links.other.astype(np.int64), cost.astype(np.int64)), seeds)
    return sorted(links.between(low, high) for low, high in pairs), groups
