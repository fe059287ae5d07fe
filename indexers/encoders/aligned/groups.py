"""Which pairs belong together, and splits that keep them together. Pure.

A space that has seen another study of the same patient looks better than it is; so does one tested on a second copy of
a training image. Pairs of one patient, else of one case, else nearly equal in image or text, are one group.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from indexers.encoders.aligned.features import Flags, Indices, nearly_equal
from indexers.encoders.projection import fit_whitening, project
from rag.errors import UsageError
from rag.types import Matrix

_WHITENED_DIM = 320
SAME_IMAGE = 0.6
"""Cosine of whitened image vectors from which two images without a patient count as near-duplicates. Measured on 123
fundus photographs of 89 named groups: three in ten pairs within a group lie above, none of 7,426 others does. The rest
of a group looks no more alike than strangers. Without whitening, photographs of one kind are all near-duplicates.
"""


def group_pairs(owners: Sequence[str | None], images: Matrix, terms: Matrix) -> Indices:
    """The group of each pair, numbered in order of first appearance, shape (n,).

    owners: the patient or case of each pair, None when its record names neither. images: vectors of the whole images,
    (n, d). terms: n-gram counts of the texts, (n, n_buckets). Only pairs without an owner are compared by content.
    """
    parents = np.arange(len(owners), dtype=np.intp)
    named: dict[str, int] = {}
    for row, owner in enumerate(owners):
        if owner is not None:
            _join(parents, named.setdefault(owner, row), row)
    alone = np.array([row for row, owner in enumerate(owners) if owner is None], dtype=np.intp)
    if len(alone):
        for first, second in np.argwhere(np.triu(_duplicates(images[alone], terms[alone]), 1)).tolist():
            _join(parents, int(alone[first]), int(alone[second]))
    roots = [_root(parents, row) for row in range(len(owners))]
    known = {root: number for number, root in enumerate(dict.fromkeys(roots))}
    return np.array([known[root] for root in roots], dtype=np.intp)


def _duplicates(images: Matrix, terms: Matrix) -> Flags:
    if len(images) < 3:
        return nearly_equal(terms)
    rows = project(images, fit_whitening(images, min(_WHITENED_DIM, images.shape[1])))
    same: Flags = (rows @ rows.T >= SAME_IMAGE) | nearly_equal(terms)
    return same


def _root(parents: Indices, row: int) -> int:
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = int(parents[row])
    return row


def _join(parents: Indices, first: int, second: int) -> None:
    parents[_root(parents, second)] = _root(parents, first)


def assign_folds(groups: Indices, strata: Indices, n_folds: int, seed: int) -> Indices:
    """The fold of each pair, shape (n,): whole groups, every stratum (domain) spread evenly.

    Raises:
        UsageError: there are fewer groups than folds.
    """
    names, first = np.unique(groups, return_index=True)
    if len(names) < n_folds:
        raise UsageError(
            f"{len(groups)} pairs form {len(names)} groups of one patient, case or near-duplicates, too few for "
            f"{n_folds} splits; add pairs of other patients, or pass fewer --folds"
        )
    sizes = np.bincount(groups)[names]
    order = np.random.default_rng(seed).permutation(len(names))
    # Large groups first: the small ones that follow even the folds out.
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled = np.zeros((int(strata.max()) + 1, n_folds))
    fold_of: dict[int, int] = {}
    for place in order.tolist():
        stratum = strata[first[place]]
        fold = int(np.lexsort((filled.sum(axis=0), filled[stratum]))[0])
        filled[stratum, fold] += sizes[place]
        fold_of[int(names[place])] = fold
    return np.array([fold_of[int(group)] for group in groups], dtype=np.intp)


def split_off(groups: Indices, strata: Indices, share: float, seed: int) -> Flags:
    """Pairs to hold back: whole groups, about `share` of each stratum; shape (n,)."""
    n_folds = max(2, min(round(1 / share), len(np.unique(groups))))
    held: Flags = assign_folds(groups, strata, n_folds, seed) == 0
    return held
