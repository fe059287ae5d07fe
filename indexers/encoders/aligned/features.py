"""Image-text pairs as the frozen encoders see them: what every head is fitted on and judged by. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from indexers.encoders.unit_rows import unit_rows
from rag.types import Matrix

Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class PairFeatures:
    """n pairs of an image and a text.

    views: vectors of each image, shape (n, n_views, d_image); the first view is the whole image, the others cut-outs.
    texts: vectors of the texts, shape (n, d_text). terms: their hashed n-gram counts, shape (n, n_buckets).
    groups: pairs of one group (patient, case, near-duplicates) have the same number and are never split, shape (n,).
    domains: the medical domain of each pair, as its record names it.
    """

    views: npt.NDArray[np.float32]
    texts: Matrix
    terms: Matrix
    groups: Indices
    domains: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def images(self) -> Matrix:
        """The vector of each whole image, shape (n, d_image)."""
        whole: Matrix = self.views[:, 0]
        return whole

    def take(self, rows: Indices) -> PairFeatures:
        """Some of the pairs, in the order asked for."""
        domains = tuple(self.domains[row] for row in rows.tolist())
        return PairFeatures(self.views[rows], self.texts[rows], self.terms[rows], self.groups[rows], domains)

    def strata(self) -> Indices:
        """The number of each pair's domain, in order of first appearance, shape (n,)."""
        return numbered(self.domains)


def numbered(names: Sequence[str]) -> Indices:
    """The number of each name, in order of first appearance, shape (n,)."""
    known = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([known[name] for name in names], dtype=np.intp)


NEARLY_EQUAL = 0.9
"""Cosine of n-gram counts from which two texts count as the same: a changed word in a caption of ten, or a typing
error; two reports written from one template stay below it."""


def nearly_equal(terms: Matrix, other: Matrix | None = None) -> Flags:
    """Which texts say the same in nearly the same words, by their n-gram counts; shape (n, n) or (n, n_other)."""
    rows = unit_rows(terms)
    return rows @ (rows if other is None else unit_rows(other)).T >= NEARLY_EQUAL
