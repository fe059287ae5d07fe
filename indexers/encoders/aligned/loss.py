"""The contrastive loss both ways, its gradients, and its targets. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexers.encoders.aligned.features import Flags, Indices
from rag.types import Matrix

_LIKENESS_TEMPERATURE = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """What a batch is trained towards.

    shares: how much of each row's probability each column should get, rows sum to 1, shape (n, n), symmetric support.
    offsets: what is added to the logits: ln(weight) for negatives of the same domain, 0 elsewhere, shape (n, n).
    """

    shares: Matrix
    offsets: Matrix

    def take(self, rows: Indices) -> Targets:
        """The targets of a batch, rows summing to 1 again."""
        shares = self.shares[np.ix_(rows, rows)]
        return Targets(shares / shares.sum(axis=1, keepdims=True), self.offsets[np.ix_(rows, rows)])


def make_targets(alike: Flags, likeness: Matrix, strata: Indices, softness: float, weight: float) -> Targets:
    """Targets of n pairs.

    alike: which texts are nearly equal; they share the target evenly and are never negatives, (n, n). likeness: cosine
    of the texts, (n, n); `softness` of the target follows its softmax, as in SoftCLIP (Gao et al., 2023,
    https://arxiv.org/abs/2303.17561) and MedCLIP (Wang et al., 2022, https://arxiv.org/abs/2210.10163).
    strata: each pair's domain; other pairs of it are the hard negatives and count `weight` times.
    """
    even = alike / alike.sum(axis=1, keepdims=True)
    grown = np.exp((likeness - likeness.max(axis=1, keepdims=True)) / _LIKENESS_TEMPERATURE)
    shares = (1 - softness) * even + softness * grown / grown.sum(axis=1, keepdims=True)
    same = strata[:, None] == strata[None, :]
    offsets = np.where(same & ~alike, np.log(weight), 0)
    return Targets(shares.astype(np.float32), offsets.astype(np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Loss:
    """The mean loss of a batch, and its gradients by the unit rows of images and of texts."""

    value: float
    by_images: Matrix
    by_texts: Matrix


def contrastive_loss(images: Matrix, texts: Matrix, targets: Targets, temperature: float) -> Loss:
    """Cross-entropy of the softmax over texts and of that over images, averaged: InfoNCE both ways.

    Radford et al., 2021, https://arxiv.org/abs/2103.00020, with soft targets and weighted negatives.
    """
    logits = images @ texts.T / temperature + targets.offsets
    forward, towards_texts = _cross_entropy(logits, targets.shares)
    transposed = targets.shares.T / targets.shares.sum(axis=0)[:, None]
    backward, towards_images = _cross_entropy(logits.T, transposed)
    gradient: Matrix = (towards_texts + towards_images.T) / np.float32(2 * len(images) * temperature)
    return Loss((forward + backward) / 2, gradient @ texts, gradient.T @ images)


def _cross_entropy(logits: Matrix, shares: Matrix) -> tuple[float, Matrix]:
    """Mean cross-entropy of row softmaxes, and softmax minus target."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_share = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-(shares * log_share).sum(axis=1).mean()), np.exp(log_share) - shares
