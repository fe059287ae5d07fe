"""What the towers are trained on: whitened inputs, targets, and which pairs stop the training. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from indexers.encoders.aligned.features import Flags, PairFeatures, nearly_equal
from indexers.encoders.aligned.heads import affine, join_text
from indexers.encoders.aligned.loss import Targets, make_targets
from indexers.encoders.aligned.options import TrainingOptions
from indexers.encoders.aligned.terms import TermSpace
from indexers.encoders.unit_rows import unit_rows
from rag.types import Matrix

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Principal:
    """Mean (d,), leading principal components (d, k) and their variances (k,) of some rows."""

    mean: Floats
    basis: Floats
    variances: Floats

    def whitening(self, shrink: float) -> Matrix:
        """An affine map (d + 1, k) to components of about unit variance.

        `shrink`, as a share of the largest variance, keeps small components small: a little whitens, much only turns.
        """
        scaled = self.basis / np.sqrt(self.variances + shrink * max(float(self.variances[0]), 1e-12))
        # The largest component has variance 1 whatever the shrinkage, so that learning rates and noise mean the same.
        scaled = scaled * np.sqrt(1 + shrink)
        return np.vstack([scaled, -(self.mean @ scaled)[None]]).astype(np.float32)


def principal(rows: Matrix, components: int) -> Principal:
    """At most `components` of the rows (n, d), and at most n - 1. Jolliffe, Principal Component Analysis, 2002."""
    mean = rows.mean(axis=0, dtype=np.float64)
    _, values, right = np.linalg.svd(rows.astype(np.float64) - mean, full_matrices=False)
    k = max(1, min(components, len(rows) - 1, len(values)))
    basis = right[:k].T
    # A component's sign is arbitrary and differs between LAPACK builds; fix it by its largest element.
    basis = basis * np.where(basis[np.abs(basis).argmax(axis=0), np.arange(k)] < 0, -1, 1)
    return Principal(mean, basis, values[:k] ** 2 / len(rows))


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """Whitened inputs of all pairs, and the maps that made them.

    views: (n, n_views, k_image). texts: (n, k_text). held: the pairs that stop the training, (n,).
    """

    views: npt.NDArray[np.float32]
    texts: Matrix
    image_map: Matrix
    text_map: Matrix
    held: Flags


class Preparation:
    """The statistics of one training split, from which inputs of any shrinkage are made."""

    def __init__(self, pairs: PairFeatures, terms: TermSpace, held: Flags, options: TrainingOptions) -> None:
        self._pairs, self._held = pairs, held
        self._texts = join_text(terms, pairs.texts, pairs.terms)
        self._of_images = principal(pairs.images[~held], options.components)
        self._of_texts = principal(self._texts[~held], options.components)

    def inputs(self, image_shrink: float, text_shrink: float) -> Inputs:
        """The whitened inputs."""
        image_map, text_map = self._of_images.whitening(image_shrink), self._of_texts.whitening(text_shrink)
        n, n_views, width = self._pairs.views.shape
        views = affine(self._pairs.views.reshape(-1, width), image_map).reshape(n, n_views, -1)
        return Inputs(views, affine(self._texts, text_map), image_map, text_map, self._held)


def targets_of(pairs: PairFeatures, terms: TermSpace, options: TrainingOptions) -> Targets:
    """What all pairs are trained towards."""
    texts = join_text(terms, pairs.texts, pairs.terms)
    centred = unit_rows(texts - texts.mean(axis=0))
    alike = nearly_equal(pairs.terms)
    return make_targets(alike, centred @ centred.T, pairs.strata(), options.softness, options.domain_weight)
