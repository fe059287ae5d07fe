"""The pairs of a fine-tuning, and their order: a function of seed and epoch alone. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexers.encoders.aligned.features import Flags, Indices, PairFeatures, nearly_equal
from indexers.encoders.aligned.groups import split_off
from indexers.encoders.aligned.loss import Targets, make_targets
from indexers.encoders.aligned.ranking import DEPTHS, gold_ranks
from indexers.encoders.aligned.terms import fit_terms
from indexers.encoders.tuning.options import TuningOptions
from indexers.encoders.unit_rows import unit_rows
from rag.types import Matrix

_TERM_RANK = 96


@dataclass(frozen=True, slots=True, eq=False)
class TuningPairs:
    """What a model is tuned on. No pair of a test split is here.

    images, texts: of each pair. targets: what they are trained towards, those of a head: nearly equal texts are never
    negatives, negatives of the same domain count more. strata: the domain of each pair, (n,). held: the pairs that
    stop the training, whole groups, (n,).
    """

    images: tuple[Path, ...]
    texts: tuple[str, ...]
    targets: Targets
    strata: Indices
    held: Flags

    def __len__(self) -> int:
        return len(self.texts)


def tuning_pairs(
    images: tuple[Path, ...], texts: tuple[str, ...], pairs: PairFeatures, options: TuningOptions
) -> TuningPairs:
    """Pairs with their targets. `pairs` gives groups, domains and n-gram counts of the same pairs.

    Raises:
        UsageError: all pairs are of one group.
    """
    terms = fit_terms(pairs.terms, _TERM_RANK)(pairs.terms)
    centred = unit_rows(terms - terms.mean(axis=0))
    strata = pairs.strata()
    alike = nearly_equal(pairs.terms)
    targets = make_targets(alike, centred @ centred.T, strata, options.softness, options.domain_weight)
    held = split_off(pairs.groups, strata, options.validation_share, options.seed)
    return TuningPairs(images, texts, targets, strata, held)


def batches_of(pairs: TuningPairs, options: TuningOptions, epoch: int) -> list[Indices]:
    """The training pairs in batches of about equal size; in every other epoch batches of one domain, where they can."""
    training = np.flatnonzero(~pairs.held)
    order = np.random.default_rng((options.seed, epoch)).permutation(training)
    if epoch % 2:
        order = order[np.argsort(pairs.strata[order], kind="stable")]
    n_batches = max(1, len(order) // options.batch)
    return [np.asarray(batch, dtype=np.intp) for batch in np.array_split(order, n_batches)]


def validation(images: Matrix, texts: Matrix, held: Flags) -> tuple[float, float]:
    """How well held pairs are found among all: R@10 over both directions; equal ones by the mean logarithm of the rank.

    Larger is better in both numbers.
    """
    rows = np.flatnonzero(held)
    ranks = np.concatenate([gold_ranks(images[rows] @ texts.T, rows), gold_ranks(texts[rows] @ images.T, rows)])
    return float((ranks <= DEPTHS[-1]).mean()), -float(np.log(ranks).mean())
