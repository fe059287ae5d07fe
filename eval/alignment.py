"""How well images and texts find each other in a fitted space: beside chance, beside the floor, out of sample.

Every pair is judged by a head that has seen no pair of its group. An image is compared with all texts, those of the
training pairs among them, and a text with all images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.alignment_figures import BOTH, AlignmentReport, DirectionReport, PartReport
from eval.statistics import BootstrapOptions, bootstrap
from indexers.encoders.aligned.contrastive import fit_contrastive
from indexers.encoders.aligned.features import Flags, Indices, PairFeatures, nearly_equal
from indexers.encoders.aligned.groups import assign_folds
from indexers.encoders.aligned.heads import Head
from indexers.encoders.aligned.options import TrainingOptions
from indexers.encoders.aligned.ranking import (
    DEPTHS,
    Floats,
    RankFigures,
    accepted_ranks,
    chance_of,
    figures_of,
    gold_ranks,
)
from indexers.encoders.aligned.ridge import fit_ridge
from indexers.encoders.projection import fit_whitening, project
from indexers.encoders.unit_rows import unit_rows
from pipelines.alignment import EncodedCases
from rag.errors import UsageError
from rag.types import Matrix

FEWEST_IN_DOMAIN = 20
"""Pairs of a domain or corpus that get a row of their own; below, its first ten are half of all."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Similarities of judged pairs: image to text and text to image, both (n_judged, n).

    rows: the pairs that are judged, ascending, (n_judged,).
    """

    rows: Indices
    to_texts: Matrix
    to_images: Matrix


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Scores of the head and of the floor on the same pairs, and image-to-image ranks within named patients or cases.

    same_case: rank of the best other image of the same patient or case, aligned and unaligned, for every image that
    has one; None when none has.
    """

    head: Scores
    floor: Scores
    same_case: tuple[Floats, Floats] | None
    floor_name: str = "ridge"


def cross_validate(cases: EncodedCases, options: TrainingOptions, n_folds: int, seed: int) -> Judged:
    """Fit head and floor anew for each fold and judge the pairs left out of it.

    Raises:
        UsageError: there are fewer groups of pairs than folds.
    """
    pairs = cases.pairs
    folds = assign_folds(pairs.groups, pairs.strata(), n_folds, seed)
    owner_folds = _owner_folds(cases, folds, n_folds)
    heads, floors, ranks = [], [], []
    for fold in range(n_folds):
        training = pairs.take(np.flatnonzero(folds != fold))
        head = fit_contrastive(training, options, seed)
        judged = np.flatnonzero(folds == fold)
        heads.append(scores_of(head, pairs, judged))
        floors.append(scores_of(fit_ridge(training), pairs, judged))
        ranks.append(same_case_ranks(cases, head, owner_folds == fold, training.images))
    return Judged(_joined(heads), _joined(floors), _joined_ranks(ranks))


def judge_unseen(cases: EncodedCases, head: Head, floor: Head, seen: Flags) -> Judged:
    """Judge finished heads on the pairs that neither they nor their groups were fitted on; `seen` has shape (n,).

    Raises:
        UsageError: every pair was seen.
    """
    touched = np.isin(cases.pairs.groups, cases.pairs.groups[seen])
    judged = np.flatnonzero(~touched)
    if not len(judged):
        raise UsageError("the head was fitted on all of these pairs or their groups; judge it with --folds 5 instead")
    unseen = _owner_folds(cases, np.where(touched, 1, 0), 1) == 0
    ranks = same_case_ranks(cases, head, unseen, cases.pairs.images)
    return Judged(scores_of(head, cases.pairs, judged), scores_of(floor, cases.pairs, judged), _joined_ranks([ranks]))


def scores_of(head: Head, pairs: PairFeatures, rows: Indices) -> Scores:
    """Similarities of some pairs with all."""
    images, texts = head.images(pairs.images), head.texts(pairs.texts, pairs.terms)
    return Scores(rows, images[rows] @ texts.T, texts[rows] @ images.T)


def _joined(parts: Sequence[Scores]) -> Scores:
    rows = np.concatenate([part.rows for part in parts])
    order = np.argsort(rows)
    to_texts = np.concatenate([part.to_texts for part in parts])[order]
    return Scores(rows[order], to_texts, np.concatenate([part.to_images for part in parts])[order])


def _joined_ranks(parts: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats] | None:
    aligned, unaligned = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    return (aligned, unaligned) if len(aligned) else None


def _owner_folds(cases: EncodedCases, folds: Indices, n_folds: int) -> Indices:
    """The fold whose head judges each owned image: that of its owner's pairs; images without any take turns."""
    found = cases.owners % n_folds
    for place, pair in enumerate(cases.owned_pairs.tolist()):
        if pair >= 0:
            found[cases.owners == cases.owners[place]] = folds[pair]
    return np.asarray(found, dtype=np.intp)


def same_case_ranks(cases: EncodedCases, head: Head, queries: Flags, training_images: Matrix) -> tuple[Floats, Floats]:
    """Rank of the nearest other image of the same patient or case, in the space and by whitened image vectors alone.

    queries: which owned images ask, (n_owned,). Images whose owner has no other image are left out.
    """
    owned = cases.owned
    same = cases.owners[:, None] == cases.owners[None, :]
    np.fill_diagonal(same, val=False)
    asking = np.flatnonzero(queries & same.any(axis=1))
    if not len(asking):
        return np.zeros(0), np.zeros(0)
    whitening = fit_whitening(training_images, min(320, training_images.shape[1]))
    found = []
    for rows in (head.images(owned), project(unit_rows(owned), whitening)):
        scores = rows[asking] @ rows.T
        scores[np.arange(len(asking)), asking] = -np.inf
        found.append(accepted_ranks(scores, same[asking]))
    return found[0], found[1]


def summarise(cases: EncodedCases, judged: Judged, how: str, options: BootstrapOptions) -> AlignmentReport:
    """Figures with intervals; whole groups are resampled."""
    pairs, rows = cases.pairs, judged.head.rows
    alike = nearly_equal(pairs.terms)
    clusters = pairs.groups[rows].tolist()
    ranks = {name: _ranks(scores) for name, scores in (("head", judged.head), ("floor", judged.floor))}
    resampled = bootstrap(_tenths(ranks["head"], ranks["floor"]), options, clusters)

    def directions(scores: Scores, both: tuple[Floats, Floats]) -> dict[str, DirectionReport]:
        texts = _direction(both[0], accepted_ranks(scores.to_texts, alike[rows]), clusters, options)
        images = _direction(both[1], accepted_ranks(scores.to_images, alike[rows]), clusters, options)
        return {"image_to_text": texts, "text_to_image": images}

    return AlignmentReport(
        n=len(rows),
        n_candidates=len(pairs),
        n_groups=len(set(clusters)),
        how=how,
        head=directions(judged.head, ranks["head"]),
        floor=directions(judged.floor, ranks["floor"]),
        chance=chance_of(len(pairs)),
        gain=resampled.ratio(0, 1),
        domains=_parts(judged, pairs.domains, pairs.groups, options),
        corpora=_parts(judged, cases.corpora, pairs.groups, options),
        same_case=_same_case(judged),
        margins={name: resampled.difference(2 * place, 2 * place + 1) for place, name in enumerate(_MARGINS)},
        floor_name=judged.floor_name,
    )


def _ranks(scores: Scores) -> tuple[Floats, Floats]:
    return gold_ranks(scores.to_texts, scores.rows), gold_ranks(scores.to_images, scores.rows)


_MARGINS = ("image_to_text", "text_to_image", BOTH)


def _tenths(head: tuple[Floats, Floats], floor: tuple[Floats, Floats]) -> Floats:
    """Whether each pair is found among the first 10, head and floor in turn: to texts, to images, the mean; (n, 6)."""
    columns = [_hits(ranks)[:, -1] for side in zip(head, floor, strict=True) for ranks in side]
    both = [(columns[place] + columns[place + 2]) / 2 for place in (0, 1)]
    return np.stack([*columns, *both], axis=1)


def _hits(ranks: Floats) -> Floats:
    """Whether each query's item is among the first 1, 5 and 10, shape (n, 3)."""
    return np.stack([ranks <= depth for depth in DEPTHS], axis=1).astype(np.float64)


def _direction(ranks: Floats, equal: Floats, clusters: Sequence[int], options: BootstrapOptions) -> DirectionReport:
    resampled = bootstrap(_hits(ranks), options, clusters)
    intervals = {f"r{depth}": resampled.mean(place) for place, depth in enumerate(DEPTHS)}
    return DirectionReport(figures_of(ranks), intervals, figures_of(equal))


def _parts(judged: Judged, names: Sequence[str], groups: Indices, options: BootstrapOptions) -> dict[str, PartReport]:
    found = {}
    labels = np.array(names, dtype=object)
    for name in dict.fromkeys(names):
        members = np.flatnonzero(labels == name)
        places = np.flatnonzero(np.isin(judged.head.rows, members))
        if len(places) < FEWEST_IN_DOMAIN:
            continue
        gold = np.searchsorted(members, judged.head.rows[places])
        head, floor = (
            gold_ranks(scores.to_texts[np.ix_(places, members)], gold) for scores in (judged.head, judged.floor)
        )
        chance = chance_of(len(members))
        clusters = groups[judged.head.rows[places]].tolist()
        r10 = bootstrap(_hits(head), options, clusters).mean(len(DEPTHS) - 1)
        works = r10.low is not None and r10.low > chance.r10
        found[name] = PartReport(len(places), chance, figures_of(head), figures_of(floor), r10, works)
    return found


def _same_case(judged: Judged) -> tuple[RankFigures, RankFigures, int] | None:
    if judged.same_case is None:
        return None
    aligned, unaligned = judged.same_case
    return figures_of(aligned), figures_of(unaligned), len(aligned)
