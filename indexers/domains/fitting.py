"""Fitting domain prototypes on a library's own images, calibrated on images held out by patient. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from indexers.domains.examples import Examples, assign_folds
from indexers.domains.prototypes import DomainPrototypes, KnownScore, logits_of, prepared
from indexers.domains.softmax import Floats, fit_softmax, fit_temperature, log_sum_exp
from rag.domains.names import Domain
from rag.types import Matrix

_GRID = np.round(np.arange(0.05, 0.96, 0.05), 2)


@dataclass(frozen=True, slots=True)
class FitOptions:
    """How prototypes are fitted.

    ridge: penalty of the logistic regression. fewest: images (and a quarter as many groups) that a domain must have to
    get prototypes. fewest_unknown: images of no such domain from which `unknown` is a label of its own; with fewer it
    is what scores lower than nearly all held-out images. folds: splits by group for calibration. All are judgements;
    ridges of 0.03 to 0.3 do nearly as well (docs/route-by-domain.md).
    """

    ridge: float = 0.3
    fewest: int = 15
    fewest_unknown: int = 10
    folds: int = 5


_DEFAULT = FitOptions()


def fit_prototypes(
    examples: Examples, *, metric: Matrix | None = None, encoder: str = "", options: FitOptions = _DEFAULT
) -> DomainPrototypes | None:
    """Prototypes of every domain with enough images; None when there is none.

    Images of other domains, and those that their records call non-medical, teach what `unknown` looks like.
    """
    usable = _usable(examples, options)
    if usable is None:
        return None
    chosen = np.ones(usable.vectors.shape[1], np.float32) if metric is None else metric
    labels = tuple(sorted(set(usable.labels)))
    targets = np.array([labels.index(label) for label in usable.labels], dtype=np.intp)
    domain_of = dict(zip(usable.labels, usable.domains, strict=True))
    counts = {str(domain): n for domain, n in sorted(Counter(usable.domains).items())}
    weights = _weights(prepared(usable.vectors, chosen), targets, len(labels), options.ridge)
    domains = tuple(domain_of[label] for label in labels)
    fitted = DomainPrototypes(labels, domains, weights, chosen, 1.0, encoder=encoder, counts=counts)
    return _calibrated(fitted, usable, targets, options)


def _usable(examples: Examples, options: FitOptions) -> Examples | None:
    """Examples with what each may stand for: rare domains become unknown, rare labels join their domain's commonest."""
    images = Counter(examples.domains)
    n_groups = Counter(domain for domain, _ in set(zip(examples.domains, examples.groups, strict=True)))
    served = {
        domain
        for domain, n in images.items()
        if domain not in ("unknown", "text") and n >= options.fewest and n_groups[domain] >= options.fewest // 4
    }
    if not served:
        return None
    domains: list[Domain] = [domain if domain in served else "unknown" for domain in examples.domains]
    sizes = Counter(examples.labels)
    # Ascending by size, so the commonest label of each domain is what remains.
    pairs = sorted(set(zip(examples.domains, examples.labels, strict=True)), key=lambda pair: (sizes[pair[1]], pair[1]))
    commonest = dict(pairs)
    labels = [
        "unknown" if domain == "unknown" else label if sizes[label] >= options.fewest // 2 else commonest[domain]
        for domain, label in zip(domains, examples.labels, strict=True)
    ]
    found = Examples(examples.vectors, tuple(domains), tuple(labels), examples.groups)
    if domains.count("unknown") >= options.fewest_unknown:
        return found
    return found.take(np.flatnonzero([domain != "unknown" for domain in domains]))


def _weights(rows: Floats, targets: npt.NDArray[np.intp], n_labels: int, ridge: float) -> Matrix:
    """Logistic regression; of a single label its mean direction, whose logit is a cosine."""
    if n_labels == 1:
        mean = rows.mean(axis=0)
        found = np.append(mean / max(float(np.linalg.norm(mean)), 1e-12), 0.0)[:, None]
    else:
        found = fit_softmax(rows, targets, n_labels, ridge)
    return found.astype(np.float32)


def _calibrated(
    fitted: DomainPrototypes, usable: Examples, targets: npt.NDArray[np.intp], options: FitOptions
) -> DomainPrototypes:
    logits = _held_out(fitted, usable, targets, options)
    temperature = fit_temperature(logits, targets) if len(fitted.labels) > 1 else 1.0
    calibrated = replace(fitted, temperature=temperature)
    if "unknown" not in fitted.domains:
        return replace(calibrated, known=_known(log_sum_exp(logits)))
    return replace(calibrated, unknown_at=_threshold(calibrated.from_logits(logits), usable.domains))


def _held_out(fitted: DomainPrototypes, usable: Examples, targets: npt.NDArray[np.intp], options: FitOptions) -> Floats:
    """Logits of every image from weights that saw no image of its group."""
    fold_of = assign_folds(usable.groups, usable.labels, options.folds)
    rows = prepared(usable.vectors, fitted.metric)
    logits = np.zeros((len(usable), len(fitted.labels)))
    for fold in range(options.folds):
        held = fold_of == fold
        if held.any():
            weights = _weights(rows[~held], targets[~held], len(fitted.labels), options.ridge)
            logits[held] = logits_of(usable.vectors[held], weights, fitted.metric)
    return logits


def _known(energies: Floats) -> KnownScore:
    """Even odds at the lowest twentieth of held-out images, nineteen to one at their median."""
    low, middle = np.quantile(energies, [0.05, 0.5])
    return KnownScore(float(low), max(float(middle - low), 1e-6) / float(np.log(19)))


def _threshold(shares: Floats, truth: tuple[Domain, ...]) -> float:
    """The threshold for `unknown` with the best F-measure of `unknown` on held-out images; of equals the middle one.

    A missed one counts as two false ones: calling a strange image by a domain hides the right cases, calling a
    known one unknown only forgoes the boost.
    """
    strange = np.array([domain == "unknown" for domain in truth])
    scores = []
    for at in _GRID:
        called = shares[:, -1] >= at
        hits, missed, false = (int(np.sum(flags)) for flags in (called & strange, ~called & strange, called & ~strange))
        scores.append(3 * hits / max(3 * hits + 2 * missed + false, 1))
    best = [float(at) for at, score in zip(_GRID, scores, strict=True) if score >= max(scores) - 1e-9]
    return best[len(best) // 2]
