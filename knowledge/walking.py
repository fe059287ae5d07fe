"""From concepts that a question names to the triples worth reading: a walk, then the triples it passes by. Pure.

The recipe is HippoRAG 2's (https://arxiv.org/abs/2502.14802) with triples in the place of passages: personalised
PageRank from the linked concepts spreads over what is connected, and a triple counts as much as its two ends were
visited.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from knowledge.graph.protocol import RESTART, Graph
from knowledge.triples import Triple

_SCORES: dict[str, float] = {"present": 1.0, "absent": 0.5, "uncertain": 0.5}
"""What is denied or in doubt is worth reading when it speaks of a seed itself, after what is stated. Judgement."""


@dataclass(frozen=True, slots=True)
class WalkOptions:
    """How far a walk goes.

    restart: chance to return to a seed at each step. concepts: the most visited ones whose triples are looked at. cap:
    triples of one relation and direction at one concept, because hubs have thousands. most: triples returned.
    """

    restart: float = RESTART
    concepts: int = 40
    cap: int = 20
    most: int = 200


_DEFAULT = WalkOptions()


@dataclass(frozen=True, slots=True)
class Walked:
    """A triple with how near the walk came to it, in (0, 1], 1 for the nearest."""

    triple: Triple
    nearness: float


def walk(graph: Graph, seeds: Mapping[str, float], options: WalkOptions = _DEFAULT) -> tuple[Walked, ...]:
    """The triples nearest to the seeds, nearest first, ties by the triple's parts; none when no seed is in the graph.

    A triple scores the sum of its ends' visits, an end that names no concept (a description) counting nothing.
    """
    visits = dict(graph.ppr(seeds, restart=options.restart, top_n=options.concepts))
    if not visits:
        return ()
    found = dict.fromkeys(graph.neighbours(tuple(visits), 1, cap=options.cap))
    for key in seeds:
        found |= dict.fromkeys(_told(graph, key, options.cap))
    scored = [(triple, _score(triple, visits)) for triple in found]
    scored.sort(key=lambda row: (-row[1], row[0].head, row[0].relation, row[0].tail, row[0].polarity, row[0].change))
    best = scored[0][1] if scored else 1.0
    return tuple(Walked(triple, score / best) for triple, score in scored[: options.most] if score > 0)


def _told(graph: Graph, key: str, cap: int) -> Sequence[Triple]:
    """What no walk follows but the seed's own triples say: descriptions, and what is denied or in doubt."""
    taken: dict[tuple[str, bool, str], int] = {}
    kept = []
    for triple in graph.triples_of(key):
        row = (triple.relation, triple.head == key, triple.polarity)
        taken[row] = taken.get(row, 0) + 1
        if taken[row] <= cap:
            kept.append(triple)
    return kept


def _score(triple: Triple, visits: Mapping[str, float]) -> float:
    return _SCORES[triple.polarity] * (visits.get(triple.head, 0.0) + visits.get(triple.tail, 0.0))
