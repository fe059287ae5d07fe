"""Fitting a head and deciding whether it may be used: judged out of sample first, then fitted on all pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np

from eval.alignment import cross_validate, judge_unseen, summarise
from eval.alignment_figures import AlignmentReport
from eval.alignment_report import as_json
from eval.statistics import BootstrapOptions
from indexers.encoders.aligned.contrastive import fit_contrastive
from indexers.encoders.aligned.groups import assign_folds
from indexers.encoders.aligned.options import TrainingOptions
from indexers.encoders.aligned.ridge import fit_ridge
from indexers.encoders.aligned.storage import HeadCard, StoredHead, save_head
from pipelines.alignment import EncodedCases
from rag.errors import SourceError
from rag.fingerprint import digest


@dataclass(frozen=True, slots=True)
class Fitting:
    """How a head is fitted and judged."""

    seed: int = 0
    folds: int = 5
    training: TrainingOptions = field(default_factory=TrainingOptions)
    intervals: BootstrapOptions = field(default_factory=BootstrapOptions)


def fit(cases: EncodedCases, encoders: Mapping[str, str], folder: Path, fitting: Fitting) -> AlignmentReport:
    """Judge the procedure in folds, fit head and floor on all pairs, and write both with the figures.

    `encoders` are the fingerprints that the head is bound to. A head that does not beat chance and the floor is
    written as inactive, with the reason.

    Raises:
        UsageError: there are fewer groups than folds, or the folder cannot be written.
    """
    report = refit(cases, fitting)
    head = fit_contrastive(cases.pairs, fitting.training, fitting.seed)
    verdict = report.verdict()
    card = HeadCard(
        encoders=encoders,
        seed=fitting.seed,
        split=split_hash(cases, fitting),
        training=cases.keys,
        options=asdict(fitting.training),
        figures=as_json(report),
        active=verdict.active,
        reason=verdict.reason,
    )
    save_head(folder, head, fit_ridge(cases.pairs), card)
    return report


def refit(cases: EncodedCases, fitting: Fitting) -> AlignmentReport:
    """Figures of heads fitted anew for each fold."""
    judged = cross_validate(cases, fitting.training, fitting.folds, fitting.seed)
    how = f"refitted in {fitting.folds} folds, groups kept whole"
    return summarise(cases, judged, how, fitting.intervals)


def judge(cases: EncodedCases, stored: StoredHead, intervals: BootstrapOptions) -> AlignmentReport:
    """Figures of a finished head on the pairs that it has not seen.

    Raises:
        UsageError: it has seen all of them, or pairs of their groups.
    """
    seen = np.isin(np.array(cases.keys), np.array(stored.card.training))
    judged = judge_unseen(cases, stored.head, stored.floor, seen)
    return summarise(cases, judged, f"the stored head on {len(judged.head.rows)} unseen pairs", intervals)


def has_seen(cases: EncodedCases, stored: StoredHead) -> bool:
    """Whether a head was fitted on any of these pairs."""
    return not set(stored.card.training).isdisjoint(cases.keys)


def training_of(stored: StoredHead) -> TrainingOptions:
    """The options a head was trained with.

    Raises:
        SourceError: its card names options that this version does not have.
    """
    names = {option.name: option.type for option in fields(TrainingOptions)}
    if stored.card.options.keys() != names.keys():
        raise SourceError("the head's card names other training options than this version has; fit the head again")
    given = {name: int(value) if names[name] == "int" else float(value) for name, value in stored.card.options.items()}
    return TrainingOptions(**given)  # type: ignore[arg-type]


def split_hash(cases: EncodedCases, fitting: Fitting) -> str:
    """Identifies which pairs were judged in which fold."""
    pairs = cases.pairs
    folds = assign_folds(pairs.groups, pairs.strata(), fitting.folds, fitting.seed)
    return digest(dict(zip(cases.keys, folds.tolist(), strict=True)))
