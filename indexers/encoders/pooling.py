"""Fewer rows for a multivector: means of neighbours in reading order, or of similar tokens. Pure.

Every result is float32, shape (groups, dim), with rows of unit length, in the order in which a group's first row stood.
A group whose rows cancel out is stood for by its first row. No function changes its argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from indexers.encoders.unit_rows import unit_rows
from rag.types import Matrix

Grouping = Literal["similar", "consecutive"]
"""Which rows of a page are averaged into one: those that say alike, or neighbours in reading order."""

Labels = npt.NDArray[np.intp]

BLOCK_ROWS = 1024
"""Rows that are clustered together. The cost grows with the square of the rows (about 0.03 s and 4 MB for 1,024), so a
longer page is cut into equal stretches of its reading order first; a page image has 256 to 1,280 rows."""
_CANCELLED = 1e-6
"""A mean of unit rows shorter than this has no direction: it is rounding."""


def consecutive_means(rows: Matrix, n: int) -> Matrix:
    """At most `n` rows: the means of stretches of neighbouring rows, whose lengths differ by one at the most.

    Rows in reading order only. For the patches of a page image, left to right and top to bottom, `n` a divisor of the
    grid's height gives means of whole grid rows.

    Raises:
        ValueError: `n` is below 1, or there is no row.
    """
    _check(rows, n, "groups")
    return _means(rows, np.arange(len(rows)) * min(n, len(rows)) // len(rows))


def similar_means(rows: Matrix, n: int, block: int = BLOCK_ROWS) -> Matrix:
    """At most `n` rows: the means of clusters of similar rows.

    Token pooling with `ward_labels`: Clavié, Chaffin and Adams, 2024, https://arxiv.org/abs/2409.14683. `block` bounds
    the cost: see BLOCK_ROWS; of more than `n` blocks, neighbours are averaged first.

    Raises:
        ValueError: `n` or `block` is below 1, or there is no row.
    """
    _check(rows, n, "groups")
    _check(rows, block, "rows to a block")
    units = consecutive_means(rows, n * block)
    if n >= len(units):
        return units
    n_blocks = -(-len(units) // block)
    parts, first = [], 0
    # Both are split alike, the larger parts first, so no block gets more groups than it has rows.
    for part, share in zip(np.array_split(units, n_blocks), np.array_split(np.arange(n), n_blocks), strict=True):
        wide = part.astype(np.float64)
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)  # in 32 bits, near rows would lose their distance
        parts.append(ward_labels(wide @ wide.T, len(share)) + first)
        first += len(share)
    return _means(units, np.concatenate(parts))


def coarse_rows(rows: Matrix, n: int, grouping: Grouping = "similar") -> Matrix:
    """The rows of a first stage, at most `n`: what a build stores in a channel's `coarse` channel.

    Raises:
        ValueError: `n` is below 1, or there is no row.
    """
    return similar_means(rows, n) if grouping == "similar" else consecutive_means(rows, n)


def hierarchical_means(rows: Matrix, factor: int, block: int = BLOCK_ROWS) -> Matrix:
    """About one row for `factor` of them: `similar_means` with max(1, n_rows // factor) rows.

    Factor 1 changes nothing but the length of rows.

    Raises:
        ValueError: `factor` or `block` is below 1, or there is no row.
    """
    _check(rows, factor, "rows to a group")
    return similar_means(rows, max(1, len(rows) // factor), block)


def ward_labels(cosines: npt.NDArray[np.floating[Any]], n: int) -> Labels:
    """Which of `n` clusters of like rows each row belongs to, counted from 0 in the order of their first rows.

    Ward's method over the distances sqrt(2 - 2 cosine) of unit rows; `cosines` has shape (rows, rows). Of `n` or fewer
    rows each is a cluster; of more there are exactly `n` clusters (one for an `n` below 1), also where rows are equal:
    the tree's merges are done again in order until so many are left, where a cut at a height would leave fewer.
    colpali-engine's HierarchicalTokenPooler clusters the rows of the matrix of cosine distances instead, which costs
    rows / dim times as much.
    """
    size, n = len(cosines), max(n, 1)
    if n >= size:
        return np.arange(size)
    # Imported here: most libraries are opened without ever clustering rows.
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    distances = squareform(np.sqrt(np.maximum(2 - 2 * cosines, 0)), checks=False)
    parents = list(range(2 * size - 1))
    for step, merge in enumerate(linkage(distances, method="ward")[: size - n]):
        parents[int(merge[0])] = parents[int(merge[1])] = size + step
    number: dict[int, int] = {}
    return np.array([number.setdefault(_root(parents, row), len(number)) for row in range(size)], dtype=np.intp)


def _check(rows: Matrix, number: int, what: str) -> None:
    if number < 1:
        raise ValueError(f"{number} {what}: it must be 1 or more")
    if not len(rows):
        raise ValueError("there are no rows to pool")


def _means(rows: Matrix, labels: Labels) -> Matrix:
    """Unit means of the rows with equal labels, which count from 0 in the order of their first rows."""
    units = unit_rows(rows)
    sums = np.zeros((int(labels.max()) + 1, units.shape[1]), np.float64)
    np.add.at(sums, labels, units)
    counts = np.bincount(labels)[:, None]
    firsts = units[np.unique(labels, return_index=True)[1]]
    cancelled = np.linalg.norm(sums, axis=1, keepdims=True) < _CANCELLED * counts
    return unit_rows(np.where(cancelled, firsts, sums / counts))


def _root(parents: Sequence[int], node: int) -> int:
    while parents[node] != node:
        node = parents[node]
    return node
