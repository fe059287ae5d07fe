"""Pooling of multivectors: a few means that stand for many rows. Pure.

Every pooling here is a matrix of weights, one line per pooled row: `weights @ rows`, then unit length. The same matrix
is multiplied in NumPy or on a device, so both give the same rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from indexers.encoders.pooling import Labels
from indexers.encoders.visual.grids import PageGrid
from indexers.encoders.visual.options import Coarse
from rag.types import Matrix


def averaging(labels: npt.ArrayLike) -> Matrix:
    """The weights of means over groups: `labels` (n,) names each row's group from 0, -1 for none; shape (groups, n)."""
    groups = np.asarray(labels, dtype=np.int64)
    member = groups[np.newaxis] == np.arange(groups.max(initial=-1) + 1)[:, np.newaxis]
    counts = member.sum(axis=1, keepdims=True)
    return np.asarray(member[counts[:, 0] > 0] / counts[counts[:, 0] > 0], dtype=np.float32)


def token_groups(n: int, factor: int) -> int:
    """Clusters that `n` rows are pooled to by a factor: n // factor, one at the least."""
    return max(1, n // factor)


def band_weights(grid: PageGrid, coarse: Coarse) -> Matrix:
    """Weights over a page's patches for "rows", "columns" or both; shape (bands, n patches).

    Patches of the small view of the whole page repeat what others show and are left out.
    """
    parts = []
    if coarse in ("rows", "rows-columns"):
        parts.append(averaging(grid.row))
    if coarse in ("columns", "rows-columns"):
        parts.append(averaging(grid.column))
    return np.concatenate(parts)


def coarse_size(grid: PageGrid) -> int:
    """Clusters that "hierarchical" makes of a page: as many as the page has rows of patches."""
    return int(grid.row.max(initial=-1)) + 1


def group_boxes(boxes: Matrix, labels: Labels) -> Matrix:
    """The box around each group's rows, shape (groups, 4); NaN for groups whose rows all stand for no place."""
    out = np.full((int(labels.max(initial=-1)) + 1, 4), np.nan, dtype=np.float32)
    for group in range(len(out)):
        members = boxes[labels == group]
        placed = members[~np.isnan(members[:, 0])]
        if len(placed):
            out[group] = [*placed[:, :2].min(axis=0), *placed[:, 2:].max(axis=0)]
    return out
