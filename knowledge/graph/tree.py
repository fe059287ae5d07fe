"""Mehlhorn's approximation of the Steiner tree, from the distances to the nearest seed.

Every node is given to the seed it is nearest to; links between two seeds' nodes join the seeds at the cost of the whole
way; the cheapest such links that make one tree are kept, with the ways to their seeds. Distances alone decide, and ties
go to the smallest number, so every implementation finds the same tree. K. Mehlhorn, A faster approximation algorithm
for the Steiner problem in graphs, Information Processing Letters 27 (1988).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Costs:
    """Directed entries (each link twice) from `source` to `target` with the cost of each; whole numbers above 0."""

    source: Integers
    target: Integers
    cost: Integers


def steiner_tree(
    distance: npt.NDArray[np.float64], links: Costs, seeds: Sequence[int]
) -> tuple[list[tuple[int, int]], list[list[int]]]:
    """The links of the tree as (smaller, larger) node, sorted, and the seeds that each tree joins.

    `distance` (n,) is the cost from each node to its nearest seed, infinite where there is none.
    """
    reached = np.isfinite(distance[links.source]) & np.isfinite(distance[links.target])
    source, target, cost = links.source[reached], links.target[reached], links.cost[reached]
    before = _previous(distance, source, target, cost)
    owner = _owners(distance, before)
    crossing = (owner[source] != owner[target]) & (source < target)
    source, target = source[crossing], target[crossing]
    way = distance[source] + cost[crossing] + distance[target]
    order = np.lexsort((target, source, way))
    ends = np.sort(np.column_stack([owner[source], owner[target]])[order], axis=1)
    cheapest = np.sort(np.unique(ends[:, 0] << 32 | ends[:, 1], return_index=True)[1])  # one link per pair of seeds
    order = order[cheapest]
    return _joined(source[order].tolist(), target[order].tolist(), owner, before, seeds)


def _previous(distance: npt.NDArray[np.float64], source: Integers, target: Integers, cost: Integers) -> Integers:
    """The node before each on a cheapest way from a seed, the smallest of several; itself for seeds and lost nodes."""
    tight = distance[source] + cost == distance[target]
    before = np.full(len(distance), len(distance), np.int64)
    np.minimum.at(before, target[tight], source[tight])
    own = np.arange(len(distance))
    return np.where(before == len(distance), own, before)


def _owners(distance: npt.NDArray[np.float64], before: Integers) -> Integers:
    """The seed of each node, by doubling the steps back until nothing changes."""
    owner = before
    while not np.array_equal(owner, owner[owner]):
        owner = owner[owner]
    return np.where(np.isfinite(distance), owner, -1)


def _joined(
    source: list[int], target: list[int], owner: Integers, before: Integers, seeds: Sequence[int]
) -> tuple[list[tuple[int, int]], list[list[int]]]:
    """Kruskal's minimum spanning tree over the seeds, with the ways to them."""
    parent = {seed: seed for seed in seeds}

    def root(seed: int) -> int:
        while parent[seed] != seed:
            parent[seed] = parent[parent[seed]]
            seed = parent[seed]
        return seed

    kept: set[tuple[int, int]] = set()
    groups = len(parent)
    for left, right in zip(source, target, strict=True):
        if groups == 1:
            break
        a, b = root(int(owner[left])), root(int(owner[right]))
        if a == b:
            continue
        parent[max(a, b)] = min(a, b)
        groups -= 1
        kept.add((left, right))
        kept |= _way(left, before) | _way(right, before)
    by_root: dict[int, list[int]] = {}
    for seed in sorted(parent):
        by_root.setdefault(root(seed), []).append(seed)
    return sorted(kept), [by_root[key] for key in sorted(by_root)]


def _way(node: int, before: Integers) -> set[tuple[int, int]]:
    """The links from a node back to its seed."""
    steps = set()
    while (previous := int(before[node])) != node:
        steps.add((min(node, previous), max(node, previous)))
        node = previous
    return steps
