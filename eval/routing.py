"""How well the domain of an image is told: confusion matrix, macro-F1, recall of `unknown`, calibration error.

Every image is judged by prototypes that saw no image of its patient: splits by patient, else study, within a document.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from indexers.domains.examples import Examples, assign_folds
from indexers.domains.prototypes import DomainPrototypes
from rag.domains.names import DOMAINS, Domain, Posterior
from rag.errors import UsageError

Fit = Callable[[Examples], DomainPrototypes | None]
BINS = 15
"""Bins of the calibration error, as in Guo et al., 2017, https://arxiv.org/abs/1706.04599"""


@dataclass(frozen=True, slots=True)
class JudgedImages:
    """n images with what they are, what they were called, and the posterior each was given.

    served: the domains that had prototypes in every split. truth: an image of a domain without prototypes counts as
    `unknown`, which is what the router should say; own: what it is all the same.
    """

    own: tuple[Domain, ...]
    truth: tuple[Domain, ...]
    called: tuple[Domain, ...]
    posteriors: tuple[Posterior, ...]
    folds: tuple[int, ...]
    served: tuple[Domain, ...]


@dataclass(frozen=True, slots=True)
class RouterFigures:
    """The figures of a router. `confusion` counts truth (rows) against calls (columns), both in `names`.

    strict_macro_f1 averages over every domain that any image is of, prototypes or not: a domain without prototypes
    scores 0 there. false_unknown: the share of images of served domains that are called unknown.
    """

    n: int
    names: tuple[Domain, ...]
    confusion: npt.NDArray[np.intp]
    f1: dict[str, float]
    macro_f1: float
    strict_macro_f1: float
    unknown_recall: float | None
    false_unknown: float
    calibration_error: float

    def as_json(self) -> dict[str, object]:
        """Every figure under its name; the confusion matrix as nested mappings."""
        rows = {
            truth: {call: int(count) for call, count in zip(self.names, row, strict=True) if count}
            for truth, row in zip(self.names, self.confusion, strict=True)
        }
        return {
            "n": self.n,
            "macro_f1": self.macro_f1,
            "strict_macro_f1": self.strict_macro_f1,
            "unknown_recall": self.unknown_recall,
            "false_unknown": self.false_unknown,
            "calibration_error": self.calibration_error,
            "f1": self.f1,
            "confusion": rows,
        }


def judge_images(examples: Examples, fit: Fit, *, folds: int = 5, seed: int = 0) -> JudgedImages:
    """Call every image by prototypes fitted on the other splits.

    Raises:
        UsageError: a split leaves no domain with enough images.
    """
    if not len(examples):
        raise UsageError("no case of this library tells its domain and has an image vector; there is nothing to judge")
    fold_of = assign_folds(examples.groups, examples.labels, folds, seed)
    called: list[Domain] = ["unknown"] * len(examples)
    posteriors: list[Posterior] = [{}] * len(examples)
    served = set(DOMAINS)
    for fold in range(folds):
        held = np.flatnonzero(fold_of == fold)
        if not len(held):
            continue
        fitted = fit(examples.take(np.flatnonzero(fold_of != fold)))
        if fitted is None:
            raise UsageError("no domain has enough labelled images of different patients to be split and judged")
        served &= set(fitted.names)
        shares = fitted.posteriors(examples.vectors[held])
        for place, call, row in zip(held.tolist(), fitted.call(shares), shares, strict=True):
            called[place], posteriors[place] = call, dict(zip(fitted.names, row.tolist(), strict=True))
    known = tuple(domain for domain in DOMAINS if domain in served)
    truth = tuple(domain if domain in known else "unknown" for domain in examples.domains)
    return JudgedImages(examples.domains, truth, tuple(called), tuple(posteriors), tuple(fold_of.tolist()), known)


def router_figures(judged: JudgedImages) -> RouterFigures:
    """All figures of judged images."""
    names = tuple(domain for domain in DOMAINS if domain in {*judged.truth, *judged.called})
    confusion = np.zeros((len(names), len(names)), np.intp)
    for truth, call in zip(judged.truth, judged.called, strict=True):
        confusion[names.index(truth), names.index(call)] += 1
    f1 = f1_of(judged.truth, judged.called)
    strict = f1_of(judged.own, judged.called)
    foreign = [call for truth, call in zip(judged.truth, judged.called, strict=True) if truth == "unknown"]
    known = [call for truth, call in zip(judged.truth, judged.called, strict=True) if truth != "unknown"]
    return RouterFigures(
        len(judged.truth),
        names,
        confusion,
        f1,
        float(np.mean(list(f1.values()))),
        float(np.mean(list(strict.values()))),
        foreign.count("unknown") / len(foreign) if foreign else None,
        known.count("unknown") / len(known) if known else 0.0,
        calibration_error(judged.truth, judged.posteriors),
    )


def f1_of(truth: Sequence[Domain], called: Sequence[Domain]) -> dict[str, float]:
    """F1 of every domain that the truth holds: twice the hits over the sum of what is and what was called so."""
    hits = Counter(own for own, call in zip(truth, called, strict=True) if own == call)
    n_truth, n_called = Counter(truth), Counter(called)
    return {name: 2 * hits[name] / (n_truth[name] + n_called[name]) for name in DOMAINS if n_truth[name]}


def calibration_error(truth: Sequence[Domain], posteriors: Sequence[Posterior], bins: int = BINS) -> float:
    """Expected calibration error: the mean gap, over bins of the highest probability, to how often it is right.

    Guo et al., 2017, https://arxiv.org/abs/1706.04599
    """
    best = [max(row, key=lambda name: row[name]) for row in posteriors]
    sure = np.array([row[name] for row, name in zip(posteriors, best, strict=True)])
    right = np.array([name == own for name, own in zip(best, truth, strict=True)], dtype=np.float64)
    place = np.minimum((sure * bins).astype(np.intp), bins - 1)
    gaps = np.bincount(place, weights=sure - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(right))


def figures_table(figures: RouterFigures) -> str:
    """The confusion matrix and the figures as Markdown."""
    head = f"| is \\ called | {' | '.join(figures.names)} | F1 |\n|---|{'---|' * (len(figures.names) + 1)}\n"
    rows = [
        f"| {name} | {' | '.join(str(count) for count in row)} | {figures.f1.get(name, 0):.3f} |\n"
        for name, row in zip(figures.names, figures.confusion.tolist(), strict=True)
        if name in figures.f1
    ]
    recall = "undefined" if figures.unknown_recall is None else f"{figures.unknown_recall:.3f}"
    return (
        head
        + "".join(rows)
        + f"\nn {figures.n} · macro-F1 {figures.macro_f1:.3f} (over every domain present, prototypes or not: "
        f"{figures.strict_macro_f1:.3f}) · recall of unknown {recall} · called unknown by mistake "
        f"{figures.false_unknown:.3f} · calibration error {figures.calibration_error:.3f}\n"
    )
