"""Simple paths of up to three links between two concepts, found and ranked as arrays."""

from __future__ import annotations

import numpy as np

from knowledge.graph.links import Links
from knowledge.graph.rows import Indices

_NOBODY = -1


def shortest_paths(links: Links, start: int, end: int, max_hops: int, limit: int) -> list[list[int]]:
    """The best paths as lists of triples; the order is that of `Graph.paths`."""
    found: list[list[int]] = []
    for search in (_one_link, _two_links, _three_links)[:max_hops]:
        inner, steps = search(links, start, end)
        order = _order(links, inner, steps)[: limit - len(found)]
        found += links.best[steps[order]].tolist()
        if len(found) >= limit:
            break
    return found


def _one_link(links: Links, start: int, end: int) -> tuple[Indices, Indices]:
    other, link = links.of(start)
    steps = link[other == end]
    return np.empty((len(steps), 0), np.int32), steps[:, None]


def _two_links(links: Links, start: int, end: int) -> tuple[Indices, Indices]:
    (left, left_link), (right, right_link) = links.of(start), links.of(end)
    middle, i, j = np.intersect1d(left, right, assume_unique=True, return_indices=True)
    return middle[:, None], np.column_stack([left_link[i], right_link[j]])


def _three_links(links: Links, start: int, end: int) -> tuple[Indices, Indices]:
    """All x, y with start - x - y - end, gone through from the side with fewer links to look at."""
    (left, left_link), (right, right_link) = links.of(start), links.of(end)
    degrees = links.degrees()
    if degrees[left].sum() > degrees[right].sum():
        inner, steps = _three_links(links, end, start)
        return inner[:, ::-1], steps[:, ::-1]
    last = np.full(links.n, _NOBODY, np.int32)
    last[right] = right_link
    last[[start, end]] = _NOBODY
    keep = left != end
    left, left_link = left[keep], left_link[keep]
    entries, owner = gathered(links.start, left)
    middle = links.other[entries]
    hit = last[middle] != _NOBODY
    entries, owner, middle = entries[hit], owner[hit], middle[hit]
    return np.column_stack([left[owner], middle]), np.column_stack(
        [left_link[owner], links.link[entries], last[middle]]
    )


def gathered(start: Indices, rows: Indices) -> tuple[Indices, Indices]:
    """The entries of several rows of a compressed table, and for each the position of its row in `rows`."""
    sizes = start[rows + 1] - start[rows]
    owner = np.repeat(np.arange(len(rows)), sizes)
    before = np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.arange(len(owner)) - before + start[rows][owner], owner


def _order(links: Links, inner: Indices, steps: Indices) -> Indices:
    weakest = links.sources[steps].min(axis=1)
    spread = links.degrees()[inner].astype(np.int64).prod(axis=1)
    keys = [-weakest, spread, *inner.T]
    order: Indices = np.lexsort(keys[::-1])
    return order
