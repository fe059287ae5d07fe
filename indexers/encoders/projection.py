"""A linear map to fewer dimensions for token states, fitted on a sample when a library is built. Pure but for files.

The published late-interaction model ends in a learned projection that its packaged backbone lacks. Principal
components of the states keep the part of the cosine similarities that a given number of dimensions can hold.
"""

from __future__ import annotations

import io
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np

from indexers.encoders.unit_rows import unit_rows
from rag.errors import ConfigError, IndexMismatch, SourceError
from rag.fingerprint import sha256_bytes
from rag.types import Matrix


def fit_projection(rows: Matrix, dim: int, *, centred: bool = True) -> Matrix:
    """Principal components of unit rows (n, d): an affine map, shape (d + 1, dim), its last row the offset.

    Centred: the mean direction that all states share is taken out first. Jolliffe, Principal Component Analysis, 2002.

    Raises:
        ConfigError: `dim` is not between 1 and d, or there are fewer rows than dimensions.
    """
    rows = unit_rows(rows)
    if not 1 <= dim <= rows.shape[1] or len(rows) < dim:
        raise ConfigError(f"cannot fit {dim} dimensions on {len(rows)} token states of {rows.shape[1]}")
    mean = rows.mean(axis=0, dtype=np.float64) if centred else np.zeros(rows.shape[1])
    second_moment = rows.T.astype(np.float64) @ rows / len(rows) - np.outer(mean, mean)
    _, vectors = np.linalg.eigh(second_moment)
    components = vectors[:, ::-1][:, :dim]
    # An eigenvector's sign is arbitrary and differs between LAPACK builds; fix it by its largest element.
    components = components * np.sign(components[np.abs(components).argmax(axis=0), np.arange(dim)])
    return np.vstack([components, -mean @ components]).astype(np.float32)


def fit_whitening(rows: Matrix, dim: int, shrink: float = 3e-4) -> Matrix:
    """Whitening of unit rows (n, d): an affine map, shape (d + 1, dim), its last row the offset.

    What all images of a collection share (all are chest films) stops counting, what tells them apart counts more.
    `dim` becomes n - 1 when there are fewer rows. `shrink`, as a share of the largest variance, keeps directions of
    next to no variance from being blown up. Jegou and Chum, 2012, https://doi.org/10.1007/978-3-642-33709-3_55

    Raises:
        ConfigError: `dim` is not between 1 and d, or there are fewer than three rows.
    """
    rows = unit_rows(rows)
    if not 1 <= dim <= rows.shape[1] or len(rows) < 3:
        raise ConfigError(f"cannot whiten {len(rows)} vectors of {rows.shape[1]} to {dim} dimensions; three are needed")
    projection = fit_projection(rows, min(dim, len(rows) - 1)).astype(np.float64)
    variances = (rows @ projection[:-1] + projection[-1]).var(axis=0)
    whitening: Matrix = (projection / np.sqrt(variances + shrink * max(float(variances[0]), 1e-12))).astype(np.float32)
    return whitening


def project(rows: Matrix, projection: Matrix) -> Matrix:
    """Rows (n, d) through an affine map (d + 1, dim), unit length again, shape (n, dim)."""
    return unit_rows(unit_rows(rows) @ projection[:-1] + projection[-1])


def projection_hash(projection: Matrix) -> str:
    """Identifies a projection by its bytes."""
    return sha256_bytes(np.ascontiguousarray(projection, dtype="<f4").tobytes())[:16]


def save_projection(path: Path, projection: Matrix) -> None:
    """Write a projection as a .npy file, whole or not at all."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(projection, dtype="<f4"), allow_pickle=False)
    partial = path.with_suffix(".partial")
    partial.write_bytes(buffer.getvalue())
    partial.replace(path)


def load_projection(path: Path, expected_hash: str | None = None) -> Matrix:
    """Read a projection.

    Raises:
        SourceError: the file cannot be read.
        IndexMismatch: it is not the projection that the library was built with.
    """
    try:
        projection: Matrix = np.load(path, allow_pickle=False).astype(np.float32)
    except (OSError, ValueError, EOFError) as error:
        raise SourceError(f"projection {path} cannot be read: {error}; build the library again with --fresh") from error
    if expected_hash is not None and (found := projection_hash(projection)) != expected_hash:
        raise IndexMismatch("projection", stored=expected_hash, wanted=found)
    return projection


def shipped(name: Literal["late_projection", "image_whitening"]) -> Matrix:
    """A map that ships with Vesalius, fitted on our own sample library: its handbook's token states, or its images.

    `python -m benchmarks.fit_maps` makes both again.
    """
    with (files("indexers.encoders") / f"{name}.npy").open("rb") as stream:
        projection: Matrix = np.load(stream, allow_pickle=False).astype(np.float32)
    return projection
