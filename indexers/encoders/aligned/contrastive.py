"""Training of contrastive heads on image-text pairs, in NumPy: seconds for some hundred pairs.

A member starts as a regularised canonical correlation (Hardoon et al., 2004,
https://doi.org/10.1162/0899766042321814) and goes on with InfoNCE both ways; it is stopped by pairs of other groups
than it is trained on. Members with other validation groups are averaged, which steadies small samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from indexers.encoders.aligned.features import Indices, PairFeatures
from indexers.encoders.aligned.groups import split_off
from indexers.encoders.aligned.heads import Head, Member
from indexers.encoders.aligned.inputs import Inputs, Preparation, targets_of
from indexers.encoders.aligned.loss import Targets, contrastive_loss
from indexers.encoders.aligned.network import AdamOptions, Network, finished, start_network
from indexers.encoders.aligned.options import TrainingOptions
from indexers.encoders.aligned.ranking import gold_ranks
from indexers.encoders.aligned.terms import fit_terms
from indexers.encoders.projection import fit_whitening
from rag.types import Matrix

_BATCH = 512
_LOOKS_DIM = 320
_SHRINKS = (0.02, 0.2, 2.0)
"""Whitened, half whitened, hardly: which of them carries over to other patients is left to the held-back pairs."""
_DEFAULT = TrainingOptions()


def fit_contrastive(pairs: PairFeatures, options: TrainingOptions = _DEFAULT, seed: int = 0) -> Head:
    """A head of `options.members` members, each stopped by another share of the groups. The same seed, the same head.

    Raises:
        UsageError: all pairs are of one group, so nothing can be held back.
    """
    terms = fit_terms(pairs.terms, options.term_rank)
    targets = targets_of(pairs, terms, options)
    members: list[Member] = []
    for number in range(options.members):
        held = split_off(pairs.groups, pairs.strata(), options.validation_share, seed + number)
        preparation = Preparation(pairs, terms, held, options)
        training = _Training(preparation, options, np.random.default_rng(seed + number))
        members.append(training.run(targets, pairs.strata()))
    looks = fit_whitening(pairs.images, min(_LOOKS_DIM, pairs.images.shape[1]))
    return Head(terms, tuple(members), looks)


@dataclass(slots=True, eq=False)
class _Pair:
    """The two networks of a member."""

    image: Network
    text: Network

    def reached(self, inputs: Inputs) -> float:
        """How well held pairs are found among all, both ways: the mean logarithm of the rank, smaller is better."""
        images, texts = self.image.forward(inputs.views[:, 0]), self.text.forward(inputs.texts)
        held = np.flatnonzero(inputs.held)
        ranks = (gold_ranks(images[held] @ texts.T, held), gold_ranks(texts[held] @ images.T, held))
        return float(np.log(np.concatenate(ranks)).mean())

    def member(self, inputs: Inputs) -> Member:
        """The towers as they are now."""
        towers = finished(inputs.image_map, self.image.weights()), finished(inputs.text_map, self.text.weights())
        return Member(*towers)


class _Training:
    """One member, from its start to the epoch that held-back pairs liked best."""

    def __init__(self, preparation: Preparation, options: TrainingOptions, rng: np.random.Generator) -> None:
        self._options, self._rng = options, rng
        starts = [preparation.inputs(*shrinks) for shrinks in product(_SHRINKS, repeat=2)]
        pairs = [self._start(inputs) for inputs in starts]
        reached = [pair.reached(inputs) for pair, inputs in zip(pairs, starts, strict=True)]
        best = int(np.argmin(reached))
        self._inputs, self._pair, self._reached = starts[best], pairs[best], reached[best]

    def _start(self, inputs: Inputs) -> _Pair:
        """Both networks as the canonical correlation of the training pairs, strong directions first."""
        images, texts = inputs.views[~inputs.held, 0], inputs.texts[~inputs.held]
        left, strengths, right = np.linalg.svd(images.T @ texts / len(images), full_matrices=False)
        dim = min(self._options.dim, len(strengths))
        scale = np.sqrt(strengths[:dim])
        first = np.ascontiguousarray(left[:, :dim] * scale, dtype=np.float32)
        second = np.ascontiguousarray(right[:dim].T * scale, dtype=np.float32)
        width = self._options.hidden
        return _Pair(start_network(first, width, self._rng), start_network(second, width, self._rng))

    def run(self, targets: Targets, strata: Indices) -> Member:
        """Train until the held-back pairs have not been found better for `patience` epochs."""
        training = np.flatnonzero(~self._inputs.held)
        best, kept, since = self._reached, self._pair.member(self._inputs), 0
        for epoch in range(self._options.epochs):
            for batch in self._batches(training, strata, epoch):
                self._step(batch, targets.take(batch))
            reached = self._pair.reached(self._inputs)
            since += 1
            if reached < best:
                best, kept, since = reached, self._pair.member(self._inputs), 0
            elif since >= self._options.patience:
                break
        return kept

    def _batches(self, training: Indices, strata: Indices, epoch: int) -> list[Indices]:
        """The training pairs in random batches; in every other epoch batches of one domain, when there are several."""
        order = self._rng.permutation(training)
        if epoch % 2 and len(order) > _BATCH:
            order = order[np.argsort(strata[order], kind="stable")]
        n_batches = -(-len(order) // _BATCH)
        return [np.asarray(batch, dtype=np.intp) for batch in np.array_split(order, n_batches)]

    def _step(self, batch: Indices, targets: Targets) -> None:
        options, views = self._options, self._inputs.views
        cut = self._rng.integers(0, views.shape[1], len(batch))
        chosen = np.where(self._rng.random(len(batch)) < options.view_share, cut, 0)
        images = self._pair.image.forward(self._noisy(views[batch, chosen]))
        texts = self._pair.text.forward(self._noisy(self._inputs.texts[batch]))
        loss = contrastive_loss(images, texts, targets, options.temperature)
        adam = AdamOptions(options.learning_rate, options.weight_decay)
        self._pair.image.step(loss.by_images, adam)
        self._pair.text.step(loss.by_texts, adam)

    def _noisy(self, rows: Matrix) -> Matrix:
        noise = self._rng.standard_normal(rows.shape, dtype=np.float32)
        noisy: Matrix = rows + np.float32(self._options.noise) * noise * rows.std(axis=0)
        return noisy
