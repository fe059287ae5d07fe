"""The projection keeps what its dimensions can hold, and comes back from disk as it was."""

from __future__ import annotations

import numpy as np
import pytest

from indexers.encoders.projection import (
    fit_projection,
    fit_whitening,
    load_projection,
    project,
    projection_hash,
    save_projection,
)
from indexers.encoders.unit_rows import unit_rows
from rag.errors import ConfigError, IndexMismatch, SourceError

RNG = np.random.default_rng(3)


def test_states_of_a_subspace_keep_their_cosines():
    basis = np.linalg.qr(RNG.standard_normal((32, 5)))[0]
    rows = unit_rows(RNG.standard_normal((200, 5)) @ basis.T)
    projected = project(rows, fit_projection(rows, 5, centred=False))
    assert projected.shape == (200, 5)
    assert projected.dtype == np.float32
    np.testing.assert_allclose(projected @ projected.T, rows @ rows.T, atol=1e-4)


def test_components_are_those_of_the_singular_value_decomposition():
    rows = unit_rows(RNG.standard_normal((300, 12)) * np.linspace(3, 0.2, 12))
    ours = fit_projection(rows, 4)
    _, _, oracle = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs((ours[:-1].T * oracle[:4]).sum(axis=1)), 1, atol=1e-4)
    np.testing.assert_allclose(ours[-1], -rows.mean(axis=0) @ ours[:-1], atol=1e-6)


def test_fitting_twice_gives_the_same_bytes():
    rows = unit_rows(RNG.standard_normal((100, 16)))
    assert projection_hash(fit_projection(rows, 8)) == projection_hash(fit_projection(rows, 8))


@pytest.mark.parametrize(("n", "dim"), [(100, 0), (100, 17), (5, 8), (0, 1)])
def test_too_few_rows_or_dimensions_are_refused(n, dim):
    with pytest.raises(ConfigError, match=f"{dim} dimensions on {n}"):
        fit_projection(RNG.standard_normal((n, 16)).astype(np.float32), dim)


def test_a_saved_projection_is_loaded_as_it_was(tmp_path):
    projection = fit_projection(unit_rows(RNG.standard_normal((100, 16))), 8)
    path = tmp_path / "projection.npy"
    save_projection(path, projection)
    np.testing.assert_array_equal(load_projection(path, projection_hash(projection)), projection)
    assert [item.name for item in tmp_path.iterdir()] == ["projection.npy"]
    with pytest.raises(IndexMismatch, match="projection = other"):
        load_projection(path, "other")


@pytest.mark.parametrize("content", [b"", b"not an array", b"\x80\x04K\x01."])
def test_a_damaged_file_is_named_and_never_unpickled(tmp_path, content):
    path = tmp_path / "projection.npy"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"projection\.npy"):
        load_projection(path)


def test_whitened_images_of_one_kind_are_told_apart():
    # All share one strong direction, as films of one body part do; what tells them apart is small.
    shared = RNG.standard_normal(64)
    rows = unit_rows(20 * shared + RNG.standard_normal((150, 64)))
    whitened = project(rows, fit_whitening(rows, 32))
    assert whitened.shape == (150, 32)
    off_diagonal = whitened @ whitened.T - np.eye(150)
    assert np.abs(off_diagonal.mean()) < 0.02
    assert (rows @ rows.T).min() > 0.9
    noisy = unit_rows(rows + 0.002 * RNG.standard_normal(rows.shape))
    found = (project(noisy, fit_whitening(rows, 32)) @ whitened.T).argmax(axis=1)
    np.testing.assert_array_equal(found, np.arange(150))


def test_whitening_of_a_few_images_has_fewer_dimensions_and_of_two_is_refused():
    rows = unit_rows(RNG.standard_normal((5, 16)))
    whitening = fit_whitening(rows, 8)
    assert whitening.shape == (17, 4)
    assert np.isfinite(whitening).all()
    assert np.isfinite(fit_whitening(np.ones((4, 16), np.float32), 8)).all()
    with pytest.raises(ConfigError, match="three are needed"):
        fit_whitening(rows[:2], 8)
