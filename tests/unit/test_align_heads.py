"""Heads: trained, judged out of sample, written and read."""

import json
from dataclasses import replace

import numpy as np
import pytest

from eval.alignment import cross_validate, judge_unseen, summarise
from eval.alignment_fit import Fitting, fit, has_seen, judge, refit, training_of
from eval.alignment_report import as_json, as_text
from eval.statistics import BootstrapOptions
from indexers.encoders.aligned.contrastive import fit_contrastive
from indexers.encoders.aligned.features import PairFeatures
from indexers.encoders.aligned.options import TrainingOptions
from indexers.encoders.aligned.ranking import figures_of, gold_ranks
from indexers.encoders.aligned.ridge import fit_ridge
from indexers.encoders.aligned.storage import ARRAYS, CARD, HeadMismatch, load_head, save_head
from indexers.encoders.aligned.terms import term_counts
from pipelines.alignment import EncodedCases
from rag.errors import ConfigError, IndexMismatch, SourceError, UsageError

OPTIONS = TrainingOptions(members=2, epochs=40, components=24, term_rank=16, dim=16)
FITTING = Fitting(training=OPTIONS, folds=3, intervals=BootstrapOptions(resamples=200))
ENCODERS = {"image": "image-1", "text": "text-1"}
SIGNS = [
    "opacity", "effusion", "nodule", "haze", "fracture", "cyst",
    "mass", "scar", "edema", "plaque", "ulcer", "polyp",
]  # fmt: skip


def pairs(n=90, seed=0, *, shuffled=False):
    """Pairs that share a few signs, which the image shows along curved directions and the text names."""
    rng = np.random.default_rng(seed)
    world = np.random.default_rng(7)
    signs = rng.random((n, len(SIGNS))) < 0.35
    images = np.tanh(signs @ world.standard_normal((len(SIGNS), 40))) + 0.2 * rng.standard_normal((n, 40))
    texts = signs @ world.standard_normal((len(SIGNS), 30)) + 0.2 * rng.standard_normal((n, 30))
    wordings = [" ".join(word for word, present in zip(SIGNS, row, strict=True) if present) for row in signs]
    order = rng.permutation(n) if shuffled else np.arange(n)
    terms = term_counts([f"{text} case{number:04d}" for number, text in enumerate(wordings)])[order]
    rows = images[:, None].astype(np.float32)
    domains = tuple("chest" if number % 3 else "skin" for number in range(n))
    return PairFeatures(rows, texts[order].astype(np.float32), terms, np.arange(n) // 2, domains)


def cases(features, prefix="pair"):
    n = len(features)
    keys = tuple(f"{prefix}-{number}" for number in range(n))
    return EncodedCases(features, keys, ("clinic",) * n, features.images, features.groups, np.arange(n))


@pytest.fixture(scope="module")
def training():
    return pairs()


@pytest.fixture(scope="module")
def report(training):
    return refit(cases(training), FITTING)


def test_the_same_seed_gives_the_same_head(training):
    first, second = fit_contrastive(training, OPTIONS, 3), fit_contrastive(training, OPTIONS, 3)
    other = fit_contrastive(training, OPTIONS, 4)
    assert np.array_equal(first.images(training.images), second.images(training.images))
    assert not np.array_equal(first.images(training.images), other.images(training.images))


def test_rows_are_unit_length_and_texts_leave_the_part_for_looks_empty(training):
    head = fit_contrastive(training, OPTIONS, 0)
    images, texts = head.images(training.images), head.texts(training.texts, training.terms)
    assert images.shape == texts.shape == (90, head.dim)
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    assert not texts[:, -head.looks.shape[1] :].any()


@pytest.mark.parametrize("hidden", [0, 8])
def test_unseen_pairs_find_each_other(training, hidden):
    head = fit_contrastive(training, replace(OPTIONS, hidden=hidden), 0)
    unseen = pairs(seed=1)
    scores = head.images(unseen.images) @ head.texts(unseen.texts, unseen.terms).T
    assert figures_of(gold_ranks(scores, np.arange(90))).r10 > 0.5


def test_the_floor_learns_too(training):
    floor, unseen = fit_ridge(training), pairs(seed=1)
    scores = floor.images(unseen.images) @ floor.texts(unseen.texts, unseen.terms).T
    assert figures_of(gold_ranks(scores, np.arange(90))).r10 > 0.5


def test_folds_judge_every_pair_once_by_a_head_that_has_not_seen_its_group(training):
    judged = cross_validate(cases(training), OPTIONS, 3, 0)
    assert judged.head.rows.tolist() == list(range(90))
    assert judged.head.to_texts.shape == judged.floor.to_images.shape == (90, 90)


def test_shuffled_pairs_are_at_chance_and_not_activated(tmp_path):
    found = fit(cases(pairs(shuffled=True)), ENCODERS, tmp_path, FITTING)
    verdict = found.verdict()
    assert not verdict.active
    assert "R@10" in verdict.reason
    assert found.head["image_to_text"].figures.r10 < 0.3
    stored = load_head(tmp_path)
    assert not stored.card.active
    assert stored.card.reason == verdict.reason


def test_the_report_stands_beside_chance_and_floor(report):
    document = as_json(report)
    assert document["n"] == 90
    for row in (document, document["chance"], document["floor"]):
        for direction in ("image_to_text", "text_to_image"):
            assert {"r1", "r5", "r10", "median_rank"} <= row[direction].keys()
    assert document["chance"]["r10"] == pytest.approx(10 / 90, abs=1e-4)
    assert document["floor"]["r10"] == document["floor"]["image_to_text"]["r10"]
    assert set(document["by_domain"]) == {"chest", "skin"}
    assert document["by_domain"]["skin"]["chance"]["r10"] == pytest.approx(10 / 30, abs=1e-4)
    assert document["image_to_text"]["intervals"]["r10"]["low"] > document["chance"]["r10"]
    assert document["image_to_text"]["equal_text"]["r10"] >= document["image_to_text"]["r10"]
    assert document["same_case"]["n"] == 90
    text = as_text(report)
    assert "floor (ridge)" in text
    assert "chance" in text
    json.dumps(document)


def test_small_domains_get_no_row_of_their_own(training):
    few = replace(training, domains=("rare",) * 10 + ("chest",) * 80)
    judged = cross_validate(cases(few), OPTIONS, 3, 0)
    found = summarise(cases(few), judged, "", BootstrapOptions(resamples=100))
    assert set(found.domains) == {"chest"}


def test_a_head_comes_back_as_it_was_written(training, tmp_path):
    fit(cases(training), ENCODERS, tmp_path, FITTING)
    stored = load_head(tmp_path, ENCODERS)
    head = fit_contrastive(training, OPTIONS, 0)
    assert np.array_equal(stored.head.images(training.images), head.images(training.images))
    texts = head.texts(training.texts, training.terms)
    assert np.array_equal(stored.head.texts(training.texts, training.terms), texts)
    assert np.array_equal(stored.floor.images(training.images), fit_ridge(training).images(training.images))
    assert training_of(stored) == OPTIONS
    assert len(stored.card.training) == 90
    assert stored.card.figures["n"] == 90


def test_a_head_is_judged_as_it_is_on_unseen_pairs_only(training, tmp_path):
    fit(cases(training), ENCODERS, tmp_path, FITTING)
    stored = load_head(tmp_path)
    unseen = cases(pairs(seed=1), "other")
    assert has_seen(cases(training), stored)
    assert not has_seen(unseen, stored)
    found = judge(unseen, stored, BootstrapOptions(resamples=100))
    assert found.n == 90
    assert found.head["image_to_text"].figures.r10 > found.chance.r10
    half = np.arange(90) < 44
    assert judge_unseen(cases(training), stored.head, stored.floor, half).head.rows.tolist() == list(range(44, 90))
    with pytest.raises(UsageError, match="fitted on all of these pairs"):
        judge(cases(training), stored, BootstrapOptions(resamples=100))


def test_another_encoder_is_refused_and_both_are_named(training, tmp_path):
    fit(cases(training), ENCODERS, tmp_path, FITTING)
    with pytest.raises(HeadMismatch) as caught:
        load_head(tmp_path, {"image": "image-2", "text": "text-1"})
    assert isinstance(caught.value, IndexMismatch)
    assert caught.value.exit_code == 2
    assert "image-1" in str(caught.value)
    assert "image-2" in str(caught.value)
    assert "image encoder" in str(caught.value)


def test_no_head_in_the_folder_is_one_message(tmp_path):
    with pytest.raises(UsageError, match="there is no head in"):
        load_head(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / CARD).write_text("{"),
        lambda folder: (folder / CARD).write_text("[]"),
        lambda folder: (folder / CARD).write_text((folder / CARD).read_text().replace('"format": 1', '"format": 9')),
        lambda folder: (folder / ARRAYS).write_bytes((folder / ARRAYS).read_bytes()[:500]),
        lambda folder: (folder / ARRAYS).unlink(),
    ],
)
def test_a_damaged_head_is_one_message(training, tmp_path, damage):
    fit(cases(training), ENCODERS, tmp_path, FITTING)
    damage(tmp_path)
    with pytest.raises(SourceError, match=r"cannot be read.*fit it again"):
        load_head(tmp_path)


def test_a_head_never_opens_pickled_objects(training, tmp_path):
    fit(cases(training), ENCODERS, tmp_path, FITTING)
    stored = load_head(tmp_path)
    bad = replace(stored.head, looks=np.array([[object()]], dtype=object))
    with pytest.raises(ValueError, match="pickle"):
        save_head(tmp_path, bad, stored.floor, stored.card)


def test_a_folder_that_cannot_be_written_is_one_message(training, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        fit(cases(training), ENCODERS, tmp_path / "file", FITTING)


@pytest.mark.parametrize("change", [{"members": 0}, {"temperature": 0}, {"softness": 1}, {"validation_share": 0.9}])
def test_impossible_options_are_refused(change):
    with pytest.raises(ConfigError):
        replace(OPTIONS, **change)
