"""Where the concepts of a picture stand: in columns by their steps from the first seeds, in rows near their neighbours.

What points at a seed stands left of it, what it points at right, so most arrows run from left to right, and the names
of the relations have the room between two columns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from knowledge.triples import Triple

_SWEEPS = 6


def columns_of(triples: Sequence[Triple], seeds: Sequence[str]) -> dict[str, int]:
    """The column of each concept.

    Two seeds are the ends of paths: the first stands left, the second right, everything else by its steps from the
    first. One seed, or several, start at 0, and concepts that no seed reaches count from the first of their own.
    """
    outward: dict[str, list[tuple[str, int]]] = defaultdict(list)
    ends = len(seeds) == 2
    for triple in triples:
        outward[triple.head].append((triple.tail, 1))
        outward[triple.tail].append((triple.head, 1 if ends else -1))
    column: dict[str, int] = {}
    for start in (*seeds, *outward):
        if start not in column:
            column[start] = 0
            _spread(start, outward, column)
    if ends:
        column[seeds[1]] = max(place for key, place in column.items() if key != seeds[1]) + 1
    return column


def _spread(start: str, outward: Mapping[str, Sequence[tuple[str, int]]], column: dict[str, int]) -> None:
    """Place everything linked to a concept, one step further out on the side it is on already."""
    frontier = [start]
    while frontier:
        reached = []
        for key in frontier:
            for other, side in outward.get(key, ()):
                if other not in column:
                    here = column[key]
                    column[other] = here + (here // abs(here) if here else side)
                    reached.append(other)
        frontier = reached


def rows_of(triples: Sequence[Triple], column: Mapping[str, int]) -> dict[int, list[str]]:
    """The concepts of each column from top to bottom, moved towards the middle of their neighbours.

    The barycentre method: K. Sugiyama et al., Methods for visual understanding of hierarchical systems, 1981.
    """
    rows: dict[int, list[str]] = defaultdict(list)
    for key in column:
        rows[column[key]].append(key)
    linked: dict[str, set[str]] = defaultdict(set)
    for triple in triples:
        linked[triple.head].add(triple.tail)
        linked[triple.tail].add(triple.head)
    order = sorted(rows)
    for sweep in range(_SWEEPS):
        place = {key: (row + 0.5) / len(keys) for keys in rows.values() for row, key in enumerate(keys)}
        for number in order if sweep % 2 == 0 else reversed(order):
            centre = {
                key: sum(place[other] for other in others) / len(others)
                for key in rows[number]
                if (others := linked[key] - {key})
            }
            rows[number].sort(key=lambda key: centre.get(key, place[key]))
            place |= {key: (row + 0.5) / len(rows[number]) for row, key in enumerate(rows[number])}
    return {number: rows[number] for number in order}
