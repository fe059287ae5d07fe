"""Texts as counts of character n-grams, hashed to a fixed number of buckets. Pure.

Rare words (a stain, an organ, an eponym) blur in a sentence vector but not here. Character n-grams within words are
those of Bojanowski et al., 2017, https://arxiv.org/abs/1607.04606; hashing after Weinberger et al., 2009,
https://arxiv.org/abs/0902.2206.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from indexers.encoders.unit_rows import unit_rows
from rag.types import Matrix

BUCKETS = 4096
_LENGTHS = (3, 4, 5)
_WORD = re.compile(r"\w+")


def term_counts(texts: Sequence[str]) -> Matrix:
    """Damped n-gram counts 1 + ln(count) of each text, shape (n, BUCKETS); a text without words is a row of zeros."""
    rows = np.zeros((len(texts), BUCKETS), np.float32)
    for row, text in zip(rows, texts, strict=True):
        counts = Counter(zlib.crc32(gram.encode("utf-8", "replace")) % BUCKETS for gram in _grams(text))
        for bucket, count in counts.items():
            row[bucket] = 1 + np.log(count)
    return rows


def _grams(text: str) -> Iterator[str]:
    for word in _WORD.findall(text.lower()):
        marked = f"<{word}>"
        yield marked
        for length in _LENGTHS:
            yield from (marked[start : start + length] for start in range(len(marked) - length + 1))


@dataclass(frozen=True, slots=True, eq=False)
class TermSpace:
    """Latent semantic analysis of n-gram counts: weights of the buckets, shape (BUCKETS,), and a basis (BUCKETS, r).

    Deerwester et al., 1990. r may be 0: no n-grams are read.
    """

    weights: Matrix
    basis: Matrix

    def __call__(self, counts: Matrix) -> Matrix:
        """Rows of length 1 in the latent space, shape (n, r); a row of zeros stays so."""
        if not self.basis.shape[1]:
            return np.zeros((len(counts), 0), np.float32)
        return unit_rows(unit_rows(counts * self.weights) @ self.basis)


def fit_terms(counts: Matrix, rank: int) -> TermSpace:
    """Weights and basis from training texts: inverse document frequency, then the leading singular vectors.

    The rank becomes the number of texts when there are fewer.
    """
    present = (counts > 0).sum(axis=0)
    weights = np.log((1 + len(counts)) / (1 + present)).astype(np.float32)
    # A bucket that no training text fills tells nothing about an image.
    weights = np.where(present > 0, weights, 0).astype(np.float32)
    if not rank:
        return TermSpace(weights, np.zeros((counts.shape[1], 0), np.float32))
    _, _, right = np.linalg.svd(unit_rows(counts * weights), full_matrices=False)
    basis = right[:rank].T
    # A singular vector's sign is arbitrary and differs between LAPACK builds; fix it by its largest element.
    signs = np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(basis.shape[1])])
    return TermSpace(weights, np.ascontiguousarray(basis * np.where(signs == 0, 1, signs), dtype=np.float32))
