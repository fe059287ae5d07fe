"""Domains of images by prototypes: one direction per label in the space of a frozen image encoder.

A domain the library has too few images of has no prototype: its images are `unknown` here, and words or tags name them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from indexers.domains.softmax import Floats, log_sum_exp, softmax
from indexers.encoders.unit_rows import unit_rows
from rag.domains.names import DOMAINS, Domain
from rag.errors import QueryError
from rag.types import Matrix


@dataclass(frozen=True, slots=True)
class KnownScore:
    """P(known) = 1 / (1 + exp(-(energy - centre) / scale)), the energy being the log-sum-exp of the logits.

    Liu et al., 2020, https://arxiv.org/abs/2010.03759
    """

    centre: float
    scale: float

    def known(self, energies: Floats) -> Floats:
        """The probability that each image is of a domain with prototypes."""
        # tanh does not overflow where exp does.
        share: Floats = 0.5 * (1 + np.tanh((energies - self.centre) / (2 * self.scale)))
        return share


@dataclass(frozen=True, slots=True, eq=False)
class DomainPrototypes:
    """Plays `rag.routing.DomainModel` on vectors of one channel.

    labels and domains: what each column of `weights` (dim + 1, n_labels) stands for; `unknown` may be one of them.
    metric: numbers that the channel's dimensions are multiplied by first, (dim,). known: the test for `unknown` when
    no label stands for it. unknown_at: the probability of `unknown` from which an image is called unknown. encoder: the
    fingerprint of the encoder whose vectors these are. counts: images fitted on, by domain.
    """

    labels: tuple[str, ...]
    domains: tuple[Domain, ...]
    weights: Matrix
    metric: Matrix
    temperature: float
    known: KnownScore | None = None
    unknown_at: float = 0.5
    encoder: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def names(self) -> tuple[Domain, ...]:
        """The domains of the columns of `posteriors`, `unknown` last."""
        served = set(self.domains) - {"unknown"}
        return (*(domain for domain in DOMAINS if domain in served), "unknown")

    def posteriors(self, vectors: Matrix) -> Floats:
        """Probabilities of `names` for vectors (n, dim), shape (n, len(names)), each row summing to 1.

        Raises:
            QueryError: the vectors have another dimension than those it was fitted on.
        """
        if vectors.shape[1] != len(self.metric):
            raise QueryError(
                f"domains were fitted on vectors of {len(self.metric)} dimensions, these have {vectors.shape[1]}; "
                "fit them again on this library"
            )
        return self.from_logits(logits_of(vectors, self.weights, self.metric))

    def from_logits(self, logits: Floats) -> Floats:
        """As `posteriors`, from the logits of the labels, shape (n, n_labels)."""
        shares = softmax(logits / self.temperature)
        columns = [[place for place, own in enumerate(self.domains) if own == domain] for domain in self.names]
        found: Floats = np.stack([shares[:, own].sum(axis=1) for own in columns], axis=1)
        if self.known is not None:
            sure = self.known.known(log_sum_exp(logits))
            found *= sure[:, None]
            found[:, -1] = 1 - sure
        return found

    def posterior(self, vectors: Matrix) -> dict[Domain, float]:
        """The mean over the rows of one image (or of several images of one question)."""
        shares = self.posteriors(np.atleast_2d(vectors)).mean(axis=0)
        return dict(zip(self.names, shares.tolist(), strict=True))

    def call(self, posteriors: Floats) -> list[Domain]:
        """The domain that each row of probabilities is called: `unknown` from its own threshold on."""
        best = posteriors[:, :-1].argmax(axis=1)
        return [
            "unknown" if row[-1] >= self.unknown_at else self.names[place]
            for row, place in zip(posteriors, best.tolist(), strict=True)
        ]


def prepared(vectors: Matrix, metric: Matrix) -> Floats:
    """Unit rows after the metric, in 64 bits."""
    return unit_rows(np.asarray(vectors, np.float32) * metric).astype(np.float64)


def logits_of(vectors: Matrix, weights: Matrix, metric: Matrix) -> Floats:
    """The logit of each label, shape (n, n_labels)."""
    found: Floats = prepared(vectors, metric) @ weights[:-1].astype(np.float64) + weights[-1].astype(np.float64)
    return found


def whitening_metric(whitening: Matrix, power: float = 0.5) -> Matrix:
    """A metric that takes back a part of a whitening (d + 1, dim): its columns' lengths to the power of -`power`.

    Whitening makes single images easy to tell apart and kinds of images hard; half of it taken back is the best of 0,
    0.5 and 1 for domains (docs/route-by-domain.md).
    """
    metric: Matrix = (np.linalg.norm(whitening[:-1], axis=0) ** -power).astype(np.float32)
    return metric
