"""The parts of a fine-tuning that need no torch: options, order of batches, validation, cards and refusals."""

import argparse
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexers.encoders.aligned.features import PairFeatures
from indexers.encoders.aligned.terms import term_counts
from indexers.encoders.tuning.batches import batches_of, tuning_pairs, validation
from indexers.encoders.tuning.options import TuningOptions
from indexers.encoders.tuning.source import open_source
from indexers.encoders.unit_rows import unit_rows
from pipelines.alignment import CasePairs, of_domain
from pipelines.channels import Encoders
from pipelines.config import load_settings
from pipelines.tuning import TuningCard, first_images, read_card, require_active, write_card
from rag.cli import align
from rag.errors import ConfigError, SourceError, UsageError
from rag.types import CaseLocator, Passage

N = 40


def pairs_of(options, texts=None):
    texts = texts or [f"finding {number} of region {number % 7}" for number in range(N)]
    rows = unit_rows(np.random.default_rng(0).standard_normal((N, 8)))
    domains = tuple("chest" if number < 25 else "skin" for number in range(N))
    features = PairFeatures(rows[:, None], rows, term_counts(texts), np.arange(N) // 2, domains)
    return tuning_pairs(("image",) * N, tuple(texts), features, options)


@pytest.fixture(scope="module")
def plain():
    return pairs_of(TuningOptions())


@settings(deadline=None)
@given(batch=st.integers(2, 60), epoch=st.integers(0, 9), seed=st.integers(0, 3))
def test_every_epoch_reads_each_training_pair_once_and_in_the_same_order_again(plain, batch, epoch, seed):
    options, pairs = TuningOptions(batch=batch, seed=seed), plain
    batches = batches_of(pairs, options, epoch)
    assert sorted(np.concatenate(batches).tolist()) == np.flatnonzero(~pairs.held).tolist()
    assert all(len(rows) >= 2 for rows in batches)
    again = batches_of(pairs, options, epoch)
    assert all(np.array_equal(one, other) for one, other in zip(batches, again, strict=True))


def test_every_other_epoch_has_batches_of_one_domain():
    options = TuningOptions(batch=8)
    pairs = pairs_of(options)
    assert sum(len(set(pairs.strata[rows].tolist())) == 1 for rows in batches_of(pairs, options, 1)) >= 2


def test_groups_are_never_on_both_sides_and_equal_texts_are_no_negatives():
    options = TuningOptions()
    pairs = pairs_of(options, ["the same words"] * 2 + [f"finding {number}, other" for number in range(N - 2)])
    held = pairs.held.reshape(-1, 2)
    assert np.array_equal(held[:, 0], held[:, 1])
    assert 0 < pairs.held.mean() < 0.4
    assert pairs.targets.shares[0, 1] == pytest.approx(pairs.targets.shares[0, 0])
    assert pairs.targets.offsets[0, 1] == 0 < pairs.targets.offsets[0, 2]


def test_validation_prefers_recall_then_rank():
    rows = unit_rows(np.random.default_rng(1).standard_normal((N, 16)))
    held = np.arange(N) < 8
    perfect, other = validation(rows, rows, held), validation(rows, unit_rows(rows[::-1]), held)
    assert perfect == (1.0, 0.0)
    assert perfect > other


@pytest.mark.parametrize("wrong", [{"method": "half"}, {"batch": 1}, {"rank": 0}, {"crop": 0.0}, {"softness": 1.0}])
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ConfigError):
        TuningOptions(**wrong)


def test_a_model_of_another_library_cannot_be_tuned(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="no checkpoint of open_clip"):
        open_source(str(tmp_path))
    with pytest.raises(ConfigError, match="no such folder"):
        open_source(str(tmp_path / "absent"))


def card(**changes):
    values = {"model": "m", "content": "c", "options": {}, "training": ("a",), "figures": {}, "active": True}
    return TuningCard(**values | changes)


def test_an_inactive_model_does_not_become_a_channel(tmp_path):
    write_card(tmp_path, card())
    assert read_card(tmp_path) == card()
    require_active(str(tmp_path))
    require_active("an/id-of-the-hub")
    write_card(tmp_path, card(active=False, reason="R@10 is at chance"))
    chosen = load_settings(overrides=[f"clip.model={tmp_path}", "channels.cases=[clip]"]).settings
    with pytest.raises(UsageError, match="not active: R@10 is at chance"):
        _ = Encoders(chosen).channels
    assert read_card(tmp_path / "absent") is None


@pytest.mark.parametrize("text", ["{", "{}", json.dumps({"format": 9})])
def test_a_damaged_card_is_named(tmp_path, text):
    (tmp_path / "tuning.json").write_text(text)
    with pytest.raises(SourceError, match=r"tuning\.json"):
        read_card(tmp_path)


def passage(name, domain, n_images=2):
    images = tuple(f"{name}-{number}.png" for number in range(n_images))
    return Passage(name, "case", "clinic", "text", CaseLocator(name), images=images, meta={"domain": domain})


def test_one_domain_is_chosen_and_the_first_image_is_read():
    cases = CasePairs((passage("a", "chest"), passage("b", "skin")), ("ka", "kb"), (passage("c", "skin"),), {}, ())
    skin = of_domain(cases, "skin")
    assert (skin.keys, skin.left_out, len(skin.images_only)) == (("kb",), {"other_domains": 1}, 1)
    assert [one.images for one in first_images(skin).passages] == [("b-0.png",)]
    with pytest.raises(UsageError, match="no pair is of the domain 'eye'; domains of these cases are: chest, skin"):
        of_domain(cases, "eye")


def test_flags_of_tuning_need_a_model(tmp_path):
    top = argparse.ArgumentParser()
    align.add(top.add_subparsers())
    args = top.parse_args(["align", "fit", "--cases", "x", "--out", str(tmp_path), "--rank", "4"])
    with pytest.raises(UsageError, match="--rank is for fine-tuning"):
        args.run(args)
