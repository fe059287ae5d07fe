"""Unit vectors. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rag.types import Matrix


def unit_rows(rows: npt.ArrayLike) -> Matrix:
    """Rows scaled to length 1, float32, shape (n, dim); a row of zeros stays so."""
    matrix = np.atleast_2d(np.asarray(rows, dtype=np.float32))
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.ascontiguousarray(matrix / np.where(lengths > 0, lengths, 1), dtype=np.float32)
