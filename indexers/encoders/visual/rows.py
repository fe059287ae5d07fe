"""From the rows of a forward pass to what is stored: token pooling, the coarse rows, unit length, float32.

Works on torch tensors where they are, and on NumPy arrays: the weights come from `pooling`, only the products differ.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from indexers.encoders.pooling import Labels, ward_labels
from indexers.encoders.unit_rows import unit_rows
from indexers.encoders.visual.grids import PageGrid
from indexers.encoders.visual.options import CHANNEL, COARSE_CHANNEL, FIRST_CHANNEL, FIRST_ROWS, VisualOptions
from indexers.encoders.visual.pooling import (
    averaging,
    band_weights,
    coarse_size,
    token_groups,
)
from indexers.encoders.visual.torch_library import Tensor
from rag.errors import SourceError
from rag.types import Matrix

Rows: TypeAlias = Tensor | Matrix


class RefusedPassages(SourceError):
    """Some passages of a batch gave no vectors, those in `passage_ids`; run the rest of the batch without them.

    Nothing was returned for the others, because vectors come for a whole batch or not at all.
    """

    def __init__(self, passage_ids: tuple[str, ...], reason: str) -> None:
        super().__init__(f"{', '.join(passage_ids)}: {reason}", stage="encode")
        self.passage_ids = passage_ids


NOT_FINITE = "the model gave rows that are no numbers; visual.dtype = f32 may help, or the weights are damaged"


def finished(
    rows: Rows, is_patch: npt.NDArray[np.bool_], grid: PageGrid | None, options: VisualOptions
) -> dict[str, Matrix]:
    """The vectors of a page by channel.

    rows: (n, dim), a float32 tensor or array without padding. is_patch: (n,), which of them are patches; the rest are
    the prompt's and stay in the full vector. grid: where the patches lie, not needed for "hierarchical" and "none".
    """
    scaled = _unit(rows)
    full = scaled
    if options.pool_factor > 1:
        full = _unit(_product(averaging(row_labels(scaled, options.pool_factor)), scaled))
    vectors = {CHANNEL: _array(full)}
    if options.coarse != "none":
        coarse = _coarse(scaled, is_patch, grid, options)
        vectors[COARSE_CHANNEL] = _array(coarse)
        runs = np.arange(len(coarse)) * min(FIRST_ROWS, len(coarse)) // max(len(coarse), 1)
        vectors[FIRST_CHANNEL] = _array(_unit(_product(averaging(runs), coarse)))
    return vectors


def placed(rows: Rows) -> Matrix:
    """Rows scaled to unit length, as a float32 array; a row of zeros becomes NaN, so that it is noticed."""
    return _array(_unit(rows))


def row_labels(rows: Rows, factor: int) -> Labels:
    """The cluster of each row that token pooling by a factor makes."""
    scaled = _unit(rows)
    return _clusters(scaled, token_groups(len(scaled), factor))


def _coarse(rows: Rows, is_patch: npt.NDArray[np.bool_], grid: PageGrid | None, options: VisualOptions) -> Rows:
    patches = rows[np.flatnonzero(is_patch)]
    if options.coarse == "hierarchical":
        # Without a grid: 32, the rows of patches of a ColPali page.
        groups = 32 if grid is None else coarse_size(grid)
        return _unit(_product(averaging(_clusters(patches, groups)), patches))
    if grid is None:
        raise ValueError("means over rows and columns need the page's grid")
    return _unit(_product(band_weights(grid, options.coarse), patches))


def _clusters(rows: Rows, groups: int) -> Labels:
    cosines = _array(rows @ rows.T)
    if not np.isfinite(cosines).all():
        return np.zeros(len(cosines), dtype=np.int64)  # the pooled row is not finite either, and is refused by its name
    return ward_labels(cosines, groups)


def _unit(rows: Rows) -> Rows:
    if isinstance(rows, np.ndarray):
        zero = ~rows.any(axis=1, keepdims=True)
        return np.where(zero, np.nan, unit_rows(rows)).astype(np.float32)
    return rows / rows.norm(dim=-1, keepdim=True)


def _product(weights: Matrix, rows: Rows) -> Rows:
    return weights @ rows if isinstance(rows, np.ndarray) else rows.new_tensor(weights) @ rows


def _array(rows: Rows) -> Matrix:
    array = rows if isinstance(rows, np.ndarray) else rows.cpu().numpy()
    return np.ascontiguousarray(array, dtype=np.float32)
