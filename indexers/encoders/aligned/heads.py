"""Heads: what maps the vectors of frozen encoders into one space. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexers.encoders.aligned.terms import TermSpace
from indexers.encoders.projection import project
from indexers.encoders.unit_rows import unit_rows
from rag.types import Matrix


def affine(rows: Matrix, mapping: Matrix) -> Matrix:
    """Rows (n, d) through a map (d + 1, k) whose last row is the offset, shape (n, k)."""
    mapped: Matrix = rows @ mapping[:-1] + mapping[-1]
    return mapped


@dataclass(frozen=True, slots=True, eq=False)
class Tower:
    """One side of a member: inputs standardised, then a linear map and, beside it, one hidden layer.

    prepare: affine, (d + 1, k). linear: (k, m). hidden: affine, (k + 1, h), followed by max(0, x). correction: (h, m).
    h may be 0: no hidden layer.
    """

    prepare: Matrix
    linear: Matrix
    hidden: Matrix
    correction: Matrix

    def __call__(self, rows: Matrix) -> Matrix:
        """Unit rows in the shared space, shape (n, m)."""
        prepared = affine(rows, self.prepare)
        mapped = prepared @ self.linear
        if self.correction.shape[0]:
            mapped = mapped + np.maximum(affine(prepared, self.hidden), 0) @ self.correction
        return unit_rows(mapped)


def linear_tower(prepare: Matrix, linear: Matrix) -> Tower:
    """A tower without a hidden layer."""
    inner, outer = linear.shape
    return Tower(prepare, linear, np.zeros((inner + 1, 0), np.float32), np.zeros((0, outer), np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """An image tower and a text tower trained together."""

    image: Tower
    text: Tower


_SHARE = 0.05
"""Length of an image's shared part beside that of its looks. What brings an image to its text makes it forget whose it
is: the more the shared part counts between two images, the fewer find another image of their case (docs/align.md).
The order of texts for an image does not depend on it."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Several members side by side, so that a dot product is the mean of theirs, and a part for images alone.

    The text towers read a text's vector and its n-grams, joined. `looks` whitens image vectors, affine (d + 1, p); the
    result stands beside an image's shared part, where texts have zeros: two images are compared by what they look
    like, too, and the order of texts for an image is untouched. p may be 0.
    """

    terms: TermSpace
    members: tuple[Member, ...]
    looks: Matrix

    @property
    def shared_dim(self) -> int:
        """Dimensions of the part in which images and texts meet."""
        return int(sum(member.text.linear.shape[1] for member in self.members))

    @property
    def dim(self) -> int:
        """Dimensions of the space."""
        return self.shared_dim + int(self.looks.shape[1])

    def shared_images(self, rows: Matrix) -> Matrix:
        """Unit rows of images where they meet texts, shape (n, shared_dim), from the image encoder's, (n, d_image)."""
        return unit_rows(np.concatenate([member.image(rows) for member in self.members], axis=1))

    def shared_texts(self, rows: Matrix, counts: Matrix) -> Matrix:
        """Unit rows of texts where they meet images, shape (n, shared_dim), from (n, d_text) and n-gram counts."""
        joined = self.text_inputs(rows, counts)
        return unit_rows(np.concatenate([member.text(joined) for member in self.members], axis=1))

    def images(self, rows: Matrix) -> Matrix:
        """Unit rows of images, shape (n, dim), from the image encoder's, (n, d_image)."""
        shared = self.shared_images(rows)
        if not self.looks.shape[1]:
            return shared
        return unit_rows(np.concatenate([_SHARE * shared, project(rows, self.looks)], axis=1))

    def texts(self, rows: Matrix, counts: Matrix) -> Matrix:
        """Unit rows of texts, shape (n, dim), from the text encoder's, (n, d_text), and n-gram counts."""
        empty = np.zeros((len(rows), self.looks.shape[1]), np.float32)
        return np.concatenate([self.shared_texts(rows, counts), empty], axis=1)

    def text_inputs(self, rows: Matrix, counts: Matrix) -> Matrix:
        """What the text towers read: vector and n-grams of a text, each of length 1, shape (n, d_text + r)."""
        return join_text(self.terms, rows, counts)


def join_text(terms: TermSpace, rows: Matrix, counts: Matrix) -> Matrix:
    """A text's vector and its n-grams side by side, each of length 1, shape (n, d_text + r)."""
    return np.concatenate([unit_rows(rows), terms(counts)], axis=1)
