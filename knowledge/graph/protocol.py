"""What a concept graph can be asked, and how it is edited: one protocol, played by every implementation.

A graph is a value: `add` and `remove_document` return another graph and leave this one as it is, so a reader never sees
half an edit. Its content is a set of supports, and everything else (triples, concepts, names, forms) follows from them;
adding a document and removing it therefore gives the first graph again, to the byte when saved.

Walks (`neighbours` without relations, `ppr`, `paths`, `explain`) go along links in both directions. A link joins two
different concepts by at least one triple that is present, whose relation the list of `knowledge.relations` follows, and
whose tail is no longer than `LONGEST_WALKED_NAME`. A `synonym_of` triple is a link only when its tail is the synonym of
one concept alone and both ends take part in other walked triples: it then joins what two sources know of one thing,
while an ordinary synonym is only a form, and an ambiguous abbreviation must not join two diseases.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self, runtime_checkable

from knowledge.relations import RelationList
from knowledge.triples import Concept, Statement, Support, Triple
from rag.errors import QueryError

LONGEST_WALKED_NAME = 128
"""UTF-8 bytes. Longer tails are sentences: the longest concept name in HPO and the Disease Ontology (2026) has 125."""
RESTART = 0.5
"""The walk's chance to return to its seeds at each step, as in HippoRAG 2 (https://arxiv.org/abs/2502.14802)."""
TOLERANCE = 1e-6
"""Largest total error (L1) of personalised PageRank scores, which sum to 1."""
MOST_HOPS = 3
"""Longest path: HyKGE (ACL 2025) cuts there too; beyond it nearly everything is connected to everything."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a document says of a concept beside its triples: its name, forms and domain."""

    document: str
    concept: Concept


@dataclass(frozen=True, slots=True)
class Conflict:
    """Triples that agree in head, relation and tail and are present in one and absent in another; all are kept."""

    present: tuple[Triple, ...]
    absent: tuple[Triple, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A small tree of triples that joins the seeds, or several when they are not connected.

    `groups` are the seeds that one tree joins, `unknown` the seeds that the graph does not hold.
    """

    triples: tuple[Triple, ...]
    groups: tuple[tuple[str, ...], ...]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts. `walked` is the number of triples that walks follow.

    Relations are counted in triples by surface name, polarities in triples, tiers and sources in supports. `unknown`
    are the surface relations that the list of relations does not hold, with their triples: kept, and not walked.
    """

    concepts: int
    triples: int
    supports: int
    documents: int
    conflicts: int
    walked: int
    by_relation: Mapping[str, int] = field(default_factory=dict)
    by_polarity: Mapping[str, int] = field(default_factory=dict)
    by_tier: Mapping[str, int] = field(default_factory=dict)
    by_source: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[str, int] = field(default_factory=dict)


@runtime_checkable
class Graph(Protocol):
    """A graph of concepts and triples. Keys that the graph does not hold are answered with nothing, never an error."""

    @property
    def relations(self) -> RelationList:
        """The relations it was made with."""

    def concept(self, key: str) -> Concept | None:
        """The concept of a key.

        Its name is the declared one, else the wording its best tier uses most; its forms are every other wording, plus
        the names of its synonyms.
        """

    def concepts(self) -> Iterator[Concept]:
        """Every concept that is one, by key: not the sentences and the mere synonyms that stand only as a tail."""

    def triple(self, triple_id: str) -> Triple | None:
        """The triple of an id."""

    def triples(self) -> Iterator[Triple]:
        """Every triple, in order of head, relation, tail, polarity and change."""

    def triples_of(self, key: str) -> tuple[Triple, ...]:
        """Every triple with the concept at either end, of any relation and polarity, in that order."""

    def triples_in(self, document: str) -> tuple[Triple, ...]:
        """Every triple that the document supports, in that order."""

    def supports(self, triple: Triple) -> tuple[Support, ...]:
        """The supports of a triple, ordered by document, passage and place."""

    def documents(self) -> tuple[str, ...]:
        """The names of the documents that support or declare anything, sorted."""

    def neighbours(
        self, keys: Sequence[str], hops: int = 1, relations: Collection[str] | None = None, cap: int = 50
    ) -> tuple[Triple, ...]:
        """The present triples within `hops` steps of the keys: nearest first, then most sources, then their order.

        At each concept, of each relation in each direction only the `cap` triples with the most sources are taken,
        because hubs have thousands. `relations` are canonical or surface names; asked for by name, relations that
        walks leave out are followed too.
        """

    def ppr(
        self,
        seeds: Mapping[str, float],
        *,
        restart: float = RESTART,
        top_n: int = 50,
        tolerance: float = TOLERANCE,
    ) -> tuple[tuple[str, float], ...]:
        """Personalised PageRank: the `top_n` concepts with their scores, best first; ties by key.

        A walker starts at a seed, by weight; at each step it returns to a seed with probability `restart`, else follows
        a link with probability proportional to `link_weight`. Scores are its long-run shares of time and sum to 1 over
        the graph. Seeds not in the graph are left out; a seed without links keeps its share. Brin & Page 1998;
        Haveliwala 2002.
        """

    def paths(self, start: str, end: str, max_hops: int = MOST_HOPS, limit: int = 10) -> tuple[tuple[Triple, ...], ...]:
        """Simple paths of at most `max_hops` links between two concepts, each link as its best-supported triple.

        Shortest first; then by the weakest link's sources, most first; then past the least connected concepts,
        because a path through a hub explains nothing; then by the keys passed. A path does not end where it began.
        """

    def explain(self, seeds: Sequence[str]) -> Explanation:
        """A small connected subgraph over the seeds: a Steiner tree within twice the best (Mehlhorn).

        Links cost `link_cost`. K. Mehlhorn, A faster approximation algorithm for the Steiner problem in graphs, 1988.
        """

    def conflicts(self) -> tuple[Conflict, ...]:
        """The statements that are made and denied."""

    def stats(self) -> Stats:
        """What the graph holds, in numbers."""

    def add(self, statements: Iterable[Statement], declared: Iterable[Declaration] = ()) -> Self:
        """This graph with these statements as well; statements it holds already change nothing.

        What cannot be kept is passed over; pass the statements through `knowledge.graph.intake.Intake` first to see it.
        """

    def remove_document(self, document: str) -> Self:
        """This graph without a document's supports, without the triples and concepts that nothing else supports."""


def check_walk(hops: int, most: int, count: int) -> None:
    """Refuse steps outside 1..most and counts below 1.

    Raises:
        QueryError: one of them is outside.
    """
    if not 1 <= hops <= most:
        raise QueryError(f"a walk of {hops} hops was asked for; use 1 to {most}")
    if count < 1:
        raise QueryError(f"a walk that keeps {count} results was asked for; use 1 or more")


def checked_seeds(seeds: Mapping[str, float], restart: float, tolerance: float) -> dict[str, float]:
    """The seeds with weight, after a check that all numbers can be used.

    Raises:
        QueryError: a weight is negative or not finite, or `restart` or `tolerance` is outside (0, 1].
    """
    if not 0 < restart <= 1 or not 0 < tolerance <= 1:
        raise QueryError(f"restart {restart} and tolerance {tolerance} must be above 0 and at most 1")
    for key, weight in seeds.items():
        if not 0 <= weight < float("inf"):
            raise QueryError(f"seed {key!r} has weight {weight}; give a finite number that is not negative")
    return {key: float(weight) for key, weight in seeds.items() if weight > 0}
