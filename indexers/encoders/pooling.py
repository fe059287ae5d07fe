"""Fewer rows for a multivector: means of neighbours in reading order, of grid rows, of similar tokens. Pure.

Every result is float32, shape (groups, dim), with rows of unit length, in the order in which a group's first row stood.
A group whose rows cancel out is stood for by its first row. No function changes its argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import linkage

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

    Ward's clustering of the unit rows, where the squared distance is 2 - 2 cosine. Token pooling: Clavié, Chaffin and
    Adams, 2024, https://arxiv.org/abs/2409.14683. colpali-engine's HierarchicalTokenPooler clusters the rows of the
    matrix of cosine distances instead, which costs n_rows / dim times as much. `block` bounds the cost: see BLOCK_ROWS;
    of more than `n` blocks, neighbours are averaged first.

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
        parts.append(_clusters(part, len(share)) + first)
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


def grid_row_means(rows: Matrix, shape: tuple[int, int]) -> Matrix:
    """The mean of each row of a grid of patches, shape (height, dim).

    `rows` holds the patches of a grid of `shape` (height, width), left to right and top to bottom. Mean pooling by grid
    row as a first stage: https://qdrant.tech/blog/colpali-qdrant-optimization/.

    Raises:
        ValueError: the number of rows is not height x width.
    """
    height, width = _grid(rows, shape)
    return _means(rows, np.repeat(np.arange(height), width))


def grid_column_means(rows: Matrix, shape: tuple[int, int]) -> Matrix:
    """The mean of each column of a grid of patches, shape (width, dim); see `grid_row_means`."""
    height, width = _grid(rows, shape)
    return _means(rows, np.tile(np.arange(width), height))


def _check(rows: Matrix, number: int, what: str) -> None:
    if number < 1:
        raise ValueError(f"{number} {what}: it must be 1 or more")
    if not len(rows):
        raise ValueError("there are no rows to pool")


def _grid(rows: Matrix, shape: tuple[int, int]) -> tuple[int, int]:
    height, width = shape
    if height < 1 or width < 1 or height * width != len(rows):
        raise ValueError(f"{len(rows)} rows do not fill a grid of {height} x {width}")
    return height, width


def _means(rows: Matrix, labels: Labels) -> Matrix:
    """Unit means of the rows with equal labels, which count from 0 in the order of their first rows."""
    units = unit_rows(rows)
    sums = np.zeros((int(labels.max()) + 1, units.shape[1]), np.float64)
    np.add.at(sums, labels, units)
    counts = np.bincount(labels)[:, None]
    firsts = units[np.unique(labels, return_index=True)[1]]
    cancelled = np.linalg.norm(sums, axis=1, keepdims=True) < _CANCELLED * counts
    return unit_rows(np.where(cancelled, firsts, sums / counts))


def _clusters(units: Matrix, n: int) -> Labels:
    """Which of `n` clusters each row belongs to, counted in the order of their first rows.

    The tree's merges are done again in order until `n` groups are left: exactly `n`, where cutting the tree at a height
    would leave fewer when rows are equal.
    """
    size = len(units)
    parents = list(range(2 * size - 1))
    merges = linkage(units.astype(np.float64), method="ward")[: size - n] if size > n else ()
    for step, merge in enumerate(merges):
        parents[int(merge[0])] = parents[int(merge[1])] = size + step
    number: dict[int, int] = {}
    return np.array([number.setdefault(_root(parents, row), len(number)) for row in range(size)], dtype=np.intp)


def _root(parents: Sequence[int], node: int) -> int:
    while parents[node] != node:
        node = parents[node]
    return node
