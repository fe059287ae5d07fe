"""Pooling keeps what it promises: how many rows, of which length, in which order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexers.encoders.hashing import HashEncoder
from indexers.encoders.pooled import PooledEncoder, PoolOptions
from indexers.encoders.pooling import (
    consecutive_means,
    hierarchical_means,
    similar_means,
)
from indexers.encoders.unit_rows import unit_rows
from rag.errors import ConfigError
from rag.testing.encoder import PASSAGES, EncoderContract
from rag.types import PageLocator, Passage, Query

SIZES = st.integers(1, 60)
SEEDS = st.integers(0, 10_000)


def random_rows(n, seed, dim=8):
    return unit_rows(np.random.default_rng(seed).standard_normal((n, dim)))


def lengths(rows):
    return np.linalg.norm(rows, axis=1)


def blobs(groups, each, *, seed=0, dim=32, noise=0.02):
    """Rows around a few far directions, group after group, and the group of each row."""
    rng = np.random.default_rng(seed)
    centres = unit_rows(rng.standard_normal((groups, dim)))
    rows = np.repeat(centres, each, axis=0) + noise * rng.standard_normal((groups * each, dim))
    return unit_rows(rows), np.repeat(np.arange(groups), each)


@given(SIZES, st.integers(1, 80), SEEDS)
def test_consecutive_means_count_and_length(n_rows, n, seed):
    rows = random_rows(n_rows, seed)
    pooled = consecutive_means(rows, n)
    assert pooled.shape == (min(n, n_rows), 8)
    assert pooled.dtype == np.float32
    assert lengths(pooled) == pytest.approx(1, abs=1e-5)


@given(SIZES, SEEDS)
def test_as_many_groups_as_rows_change_nothing(n_rows, seed):
    rows = random_rows(n_rows, seed)
    assert consecutive_means(rows, n_rows) == pytest.approx(rows, abs=1e-6)
    assert hierarchical_means(rows, 1) == pytest.approx(rows, abs=1e-6)


def test_consecutive_groups_differ_by_one_row_at_the_most():
    rows = np.repeat(np.eye(7, dtype=np.float32), 1, axis=0)
    pooled = consecutive_means(rows, 3)
    sizes = np.count_nonzero(pooled, axis=1)
    assert sizes.tolist() == [3, 2, 2]
    assert pooled[0] == pytest.approx(unit_rows(rows[:3].mean(axis=0))[0])


@given(SIZES, st.integers(1, 70), SEEDS)
def test_hierarchical_means_count_and_length(n_rows, factor, seed):
    pooled = hierarchical_means(random_rows(n_rows, seed), factor)
    assert pooled.shape == (max(1, n_rows // factor), 8)
    assert pooled.dtype == np.float32
    assert lengths(pooled) == pytest.approx(1, abs=1e-5)


@given(SIZES, st.integers(1, 70), st.integers(1, 20), SEEDS)
def test_similar_means_count_and_length_whatever_the_block(n_rows, n, block, seed):
    pooled = similar_means(random_rows(n_rows, seed), n, block)
    assert pooled.shape == (min(n, n_rows), 8)
    assert lengths(pooled) == pytest.approx(1, abs=1e-5)


@given(st.integers(2, 6), st.integers(1, 5), SEEDS)
def test_hierarchical_means_find_the_groups(groups, each, seed):
    rows, member = blobs(groups, each, seed=seed)
    pooled = hierarchical_means(rows, each)
    expected = np.stack([rows[member == group].mean(axis=0) for group in range(groups)])
    assert pooled == pytest.approx(unit_rows(expected), abs=1e-5)


@given(SEEDS)
def test_the_order_of_rows_decides_only_the_order_of_groups(seed):
    rows, _ = blobs(5, 4, seed=seed)
    order = np.random.default_rng(seed).permutation(len(rows))
    pooled, shuffled = hierarchical_means(rows, 4), hierarchical_means(rows[order], 4)
    nearest = (pooled @ shuffled.T).argmax(axis=1)
    assert sorted(nearest.tolist()) == list(range(5))
    assert shuffled[nearest] == pytest.approx(pooled, abs=1e-5)


def test_groups_stand_in_the_order_of_their_first_rows():
    a, b, c = np.eye(3, dtype=np.float32)
    pooled = hierarchical_means(np.stack([c, a, c, b, a, b]), 2)
    assert pooled == pytest.approx(np.stack([c, a, b]))


def test_equal_rows_still_give_the_number_of_groups_asked_for():
    assert len(hierarchical_means(np.tile(np.eye(1, 4, dtype=np.float32), (12, 1)), 3)) == 4


def test_a_long_page_is_clustered_in_stretches():
    rows, _ = blobs(6, 10)
    whole, cut = hierarchical_means(rows, 10), hierarchical_means(rows, 10, block=25)
    assert cut.shape == whole.shape
    assert cut == pytest.approx(whole, abs=1e-5)  # every group lies within one stretch of 20 rows


@pytest.mark.parametrize("n", range(1, 8))
def test_no_block_gets_more_groups_than_rows(n):
    pooled = similar_means(random_rows(7, 0), n, block=2)
    assert len(pooled) == n
    assert np.isfinite(pooled).all()


def test_rows_that_cancel_out_are_stood_for_by_the_first():
    a = np.eye(1, 4, dtype=np.float32)
    assert consecutive_means(np.concatenate([a, -a]), 1) == pytest.approx(a)


def test_arguments_are_left_as_they_were():
    rows = np.arange(24, dtype=np.float32).reshape(6, 4)
    kept = rows.copy()
    hierarchical_means(rows, 2)
    consecutive_means(rows, 2)
    assert np.array_equal(rows, kept)


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        (lambda rows: consecutive_means(rows, 0), "1 or more"),
        (lambda rows: hierarchical_means(rows, 0), "1 or more"),
        (lambda rows: hierarchical_means(rows, 2, block=0), "1 or more"),
        (lambda rows: consecutive_means(rows[:0], 3), "no rows"),
        (lambda rows: hierarchical_means(rows[:0], 3), "no rows"),
    ],
)
def test_impossible_pooling_is_refused(pool, message):
    with pytest.raises(ValueError, match=message):
        pool(random_rows(6, 0))


class TestPooledEncoder(EncoderContract):
    """A pooled encoder is an encoder."""

    @pytest.fixture
    def encoder(self):
        return PooledEncoder(HashEncoder("late", 64, "multi"), PoolOptions(factor=2, coarse_rows=4))

    @pytest.fixture
    def changed(self):
        return PooledEncoder(HashEncoder("late", 64, "multi"), PoolOptions(factor=3, coarse_rows=4))


def test_pooled_encoder_makes_stored_and_coarse_rows():
    inner = HashEncoder("late", 64, "multi")
    encoder = PooledEncoder(inner, PoolOptions(factor=2, coarse_rows=3))
    assert [spec.name for spec in encoder.specs] == ["late", "late_coarse"]
    assert [spec.graph for spec in encoder.specs] == [False, True]
    [full] = inner.encode_passages(PASSAGES[:1])
    [rows] = encoder.encode_passages(PASSAGES[:1])
    assert len(rows) == len(full) // 2
    assert encoder.coarse(rows) == pytest.approx(similar_means(rows, 3))
    consecutive = PooledEncoder(inner, PoolOptions(coarse_rows=3, grouping="consecutive"))
    assert consecutive.coarse(rows) == pytest.approx(consecutive_means(rows, 3))
    query = Query("goblet cells of the trachea secrete mucus")
    assert np.array_equal(encoder.encode_queries([query])[0], inner.encode_queries([query])[0])


def test_pooled_encoder_leaves_out_what_cannot_be_read():
    encoder = PooledEncoder(HashEncoder("late", 64, "multi"), PoolOptions(factor=2))
    image = Passage("i", "page", "atlas", "", PageLocator(1), ("page.png",))
    assert encoder.encode_passages([image]) == [None]
    assert encoder.coarse_spec is None
    assert encoder.specs == (encoder.spec,)


def test_every_option_changes_the_fingerprint():
    inner = HashEncoder("late", 64, "multi")
    options = [PoolOptions(), PoolOptions(2), PoolOptions(2, 8), PoolOptions(2, 8, "consecutive")]
    options.append(PoolOptions(2, 8, coarse_channel="first"))
    assert len({PooledEncoder(inner, option).fingerprint for option in options} | {inner.fingerprint}) == 6


def test_single_vectors_and_impossible_options_are_refused():
    with pytest.raises(ConfigError, match="only multivectors"):
        PooledEncoder(HashEncoder("dense", 64), PoolOptions())
    with pytest.raises(ConfigError, match="impossible"):
        PoolOptions(factor=0)
    with pytest.raises(ConfigError, match="impossible"):
        PoolOptions(coarse_rows=-1)


def kept_share(rows, pooled, queries):
    """The mean over query rows of their best match among the pooled rows over that among all."""
    return float(((queries @ pooled.T).max(axis=1) / (queries @ rows.T).max(axis=1)).mean())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # colpali-engine imports most of transformers, which warns of its own affairs
def test_against_colpali_engine():
    from indexers.encoders.visual.torch_library import load_torch

    torch = load_torch("the comparison with colpali-engine")
    from colpali_engine.compression import HierarchicalTokenPooler

    def theirs(rows, factor):
        [pooled] = HierarchicalTokenPooler().pool_embeddings([torch.tensor(rows)], pool_factor=factor)
        return pooled.numpy()

    # Where there are groups, both find them.
    rows, _ = blobs(10, 3, seed=1)
    match = hierarchical_means(rows, 3) @ theirs(rows, 3).T
    assert sorted(match.argmax(axis=1).tolist()) == list(range(10))
    assert match.max(axis=1) == pytest.approx(1, abs=1e-5)

    # Where there are none to find, ours keep as much of each row's best match.
    rows, _ = blobs(60, 5, seed=2, noise=0.2)
    noise = np.random.default_rng(3).standard_normal((50, 32)) * 0.2
    queries = unit_rows(rows[:50] + noise)
    for factor in (2, 3, 4):
        ours = kept_share(rows, hierarchical_means(rows, factor), queries)
        assert ours >= kept_share(rows, theirs(rows, factor), queries) - 0.01
