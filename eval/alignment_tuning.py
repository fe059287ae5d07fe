"""Fine-tuning a dual encoder and deciding whether it may be used.

It is judged on pairs that it was neither trained on nor stopped by, beside chance and what the model could do before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eval.alignment import Judged, Scores, scores_of, summarise
from eval.alignment_figures import AlignmentReport
from eval.alignment_report import as_json
from eval.statistics import BootstrapOptions
from indexers.encoders.aligned.features import Flags, Indices
from indexers.encoders.aligned.heads import Head
from indexers.encoders.aligned.ranking import DEPTHS, gold_ranks
from indexers.encoders.aligned.ridge import fit_ridge
from indexers.encoders.aligned.storage import HeadCard, load_head, save_head
from pipelines.aligned_channel import FrozenEncoders
from pipelines.alignment import CasePairs, EncodedCases, Notify, encode_pairs
from pipelines.tuning import (
    FLOOR,
    Tuning,
    TuningCard,
    dual_encoders,
    first_images,
    open_tuning,
    require_unchanged,
    tune,
    write_card,
)
from rag.errors import UsageError

if TYPE_CHECKING:
    from indexers.encoders.tuning.training import Heard


@dataclass(frozen=True, slots=True)
class Watchers:
    """Who hears of the work: of encoding, and of each validation."""

    encoded: Notify | None = None
    trained: Heard | None = None


def fit_tuned(cases: CasePairs, tuning: Tuning, out: Path, watchers: Watchers) -> tuple[EncodedCases, AlignmentReport]:
    """Train, judge on the test split, and write the card beside the checkpoint.

    A model that does not beat chance and its floor is written as inactive, with the reason.

    Raises:
        ConfigError: the checkpoint cannot be tuned.
        UsageError: there are fewer groups than folds, or the folder cannot be used.
        EnvironmentProblem: memory or disk is exhausted.
    """
    source = open_tuning(tuning.model)
    seen = first_images(cases)
    before = dual_encoders(source.name, tuning.devices)
    untuned = encode_pairs(seen, before, watchers.encoded)
    identity = tune(source, tuning, seen, untuned, out, watchers.trained)
    test = tuning.test_split(untuned)
    floor = fit_ridge(untuned.pairs.take(np.flatnonzero(~test)))
    tuned = encode_pairs(seen, dual_encoders(str(out), tuning.devices), watchers.encoded)
    training = tuple(key for key, held in zip(untuned.keys, test.tolist(), strict=True) if not held)
    how = f"trained once, judged on {int(test.sum())} pairs it was neither trained on nor stopped by"
    report = _report(untuned, tuned, floor, np.flatnonzero(test), how)
    _write(out, floor, before, report, (source.name, source.content, training, identity), tuning)
    return untuned, report


def _write(
    out: Path,
    floor: Head,
    before: FrozenEncoders,
    report: AlignmentReport,
    origin: tuple[str, str, tuple[str, ...], str],
    tuning: Tuning,
) -> None:
    verdict = report.verdict()
    model, content, training, identity = origin
    seed, figures = tuning.options.seed, as_json(report)
    card = HeadCard(before.fingerprints, seed, "", training, {}, {}, active=False, reason="a floor is not for search")
    save_head(out / FLOOR, floor, floor, card)
    options = tuning.options.as_json() | {"folds": tuning.folds}
    made = TuningCard(model, content, options, training, figures, verdict.active, verdict.reason, identity)
    write_card(out, made)


def judge_tuned(
    cases: CasePairs, folder: Path, card: TuningCard, devices: Sequence[str], notify: Notify | None
) -> tuple[EncodedCases, AlignmentReport]:
    """Figures of a tuned model on the pairs of these cases that it was not trained on, nor pairs of their groups.

    Raises:
        UsageError: it has seen all of them, or the checkpoint it was tuned from is gone or changed.
    """
    require_unchanged(card)
    seen = first_images(cases)
    before = dual_encoders(card.model, devices)
    floor = load_head(folder / FLOOR, before.fingerprints).head
    untuned = encode_pairs(seen, before, notify)
    tuned = encode_pairs(seen, dual_encoders(str(folder), devices), notify)
    known = np.isin(np.array(untuned.keys), np.array(card.training))
    rows = np.flatnonzero(~_touched(untuned, known))
    if not len(rows):
        raise UsageError("the model was trained on all of these pairs or their groups; judge it on other cases")
    return untuned, _report(untuned, tuned, floor, rows, f"the tuned model on {len(rows)} unseen pairs")


def _touched(cases: EncodedCases, known: Flags) -> Flags:
    touched: Flags = np.isin(cases.pairs.groups, cases.pairs.groups[known])
    return touched


def _report(untuned: EncodedCases, tuned: EncodedCases, ridge: Head, rows: Indices, how: str) -> AlignmentReport:
    """The tuned model beside its floor: a ridge on the vectors of the model as it was, or that model, the better."""
    if tuned.keys != untuned.keys:
        raise UsageError("some files changed while the model was trained; run the command again")
    floors = {
        "ridge on the model as it was": scores_of(ridge, untuned.pairs, rows),
        "the model as it was": _plain(untuned, rows),
    }
    name = max(floors, key=lambda one: _recall(floors[one]))
    judged = Judged(_plain(tuned, rows), floors[name], None, name)
    return summarise(untuned, judged, how, BootstrapOptions())


def _plain(cases: EncodedCases, rows: Indices) -> Scores:
    images, texts = cases.pairs.images, cases.pairs.texts
    return Scores(rows, images[rows] @ texts.T, texts[rows] @ images.T)


def _recall(scores: Scores) -> float:
    ranks = [gold_ranks(found, scores.rows) for found in (scores.to_texts, scores.to_images)]
    return float((np.concatenate(ranks) <= DEPTHS[-1]).mean())
