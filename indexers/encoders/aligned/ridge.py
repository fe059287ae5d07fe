"""The floor: ridge regression from image vectors to text vectors, in closed form. Pure.

Any trained head has to beat it. Hoerl and Kennard, 1970, https://doi.org/10.1080/00401706.1970.10488634
"""

from __future__ import annotations

import numpy as np

from indexers.encoders.aligned.features import PairFeatures
from indexers.encoders.aligned.heads import Head, Member, affine, linear_tower
from indexers.encoders.aligned.terms import TermSpace
from indexers.encoders.unit_rows import unit_rows
from rag.types import Matrix

_PENALTIES = np.logspace(0, 6, 25)


def fit_ridge(pairs: PairFeatures) -> Head:
    """Standardised image vectors to centred text vectors; the penalty is chosen by generalised cross-validation."""
    prepare = standardise(pairs.images)
    texts = unit_rows(pairs.texts)
    mean = texts.mean(axis=0)
    weights = _ridge(affine(pairs.images, prepare), texts - mean)
    identity = np.eye(texts.shape[1], dtype=np.float32)
    centre = np.vstack([identity, -mean[None]]).astype(np.float32)
    terms = TermSpace(np.zeros(pairs.terms.shape[1], np.float32), np.zeros((pairs.terms.shape[1], 0), np.float32))
    member = Member(linear_tower(prepare, weights), linear_tower(centre, identity))
    return Head(terms, (member,), np.zeros((pairs.images.shape[1] + 1, 0), np.float32))


def standardise(rows: Matrix) -> Matrix:
    """The affine map (d + 1, d) that gives every dimension mean 0 and deviation 1; a constant one becomes 0."""
    mean, deviation = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    scale = np.where(deviation > 1e-8, 1 / np.maximum(deviation, 1e-8), 0)
    return np.vstack([np.diag(scale), -(mean * scale)[None]]).astype(np.float32)


def _ridge(inputs: Matrix, targets: Matrix) -> Matrix:
    """Weights (d, d_text), with the penalty of the least generalised cross-validation error.

    Golub, Heath and Wahba, 1979, https://doi.org/10.1080/00401706.1979.10489751
    """
    left, values, right = np.linalg.svd(inputs.astype(np.float64), full_matrices=False)
    projected = left.T @ targets
    total = float((targets.astype(np.float64) ** 2).sum())
    best, weights = np.inf, np.zeros((inputs.shape[1], targets.shape[1]))
    for penalty in _PENALTIES:
        kept = values**2 / (values**2 + penalty)
        residual = total - float((((2 * kept - kept**2)[:, None]) * projected**2).sum())
        freedom = len(inputs) - 1 - float(kept.sum())
        error = residual / max(freedom, 1e-9) ** 2
        if error < best:
            best, weights = error, right.T @ ((values / (values**2 + penalty))[:, None] * projected)
    fitted: Matrix = weights.astype(np.float32)
    return fitted
