"""Points as portable files: passages as JSON lines, vectors as NumPy arrays. Nothing in them is code.

A shard NAME of one kind is

    passages/NAME.jsonl               one line per point: id, passage, and layout where there is one
    vectors/NAME.CHANNEL.lengths.npy  rows (or terms) of each point, 0 where it has no such vector
    vectors/NAME.CHANNEL.rows.npy     all rows behind one another, shape (sum of lengths, dim)
    vectors/NAME.CHANNEL.terms.npy    of a sparse channel: all term ids, and their weights in NAME.CHANNEL.weights.npy

Numbers are written in the smallest type that holds every one of them exactly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from indexers.stores.payload import LAYOUT_FIELD, PASSAGE_FIELD, PassageCodec
from rag.errors import StoreError, UsageError
from rag.types import Passage, Point, SparseVector, Vector, VectorSpec

Array = npt.NDArray[Any]


def safe_path(text: object, root: Path) -> Path:
    """The file that a relative path of an export names.

    Raises:
        UsageError: the path is absolute, leaves the folder, or leads through a symbolic link.
    """
    plain = isinstance(text, str) and "\0" not in text and "\\" not in text and not text.startswith("/")
    parts = PurePosixPath(str(text)).parts if plain else ()
    if not parts or ".." in parts:
        raise UsageError(f"the export {root} names a file outside of itself ({text!r}); do not use it")
    path = root.joinpath(*parts)
    if any(step.is_symlink() for step in (path, *path.parents) if step.is_relative_to(root) and step != root):
        raise UsageError(f"the export {root} has a symbolic link at {text}; do not use it")
    return path


def write_points(folder: Path, name: str, points: Sequence[Point], specs: Sequence[VectorSpec], root: Path) -> None:
    """Write one shard. Images inside `root`, the library, are named relative to it."""
    codec = PassageCodec(root)
    lines = [json.dumps(_line(codec, point.passage), ensure_ascii=False) for point in points]
    (folder / "passages").mkdir(parents=True, exist_ok=True)
    (folder / "vectors").mkdir(parents=True, exist_ok=True)
    (folder / "passages" / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    for spec in specs:
        vectors = [point.vectors.get(spec.name) for point in points]
        for part, array in _arrays(spec, vectors).items():
            np.save(folder / "vectors" / f"{name}.{spec.name}.{part}.npy", array, allow_pickle=False)


def read_points(folder: Path, name: str, specs: Sequence[VectorSpec], root: Path) -> list[Point]:
    """The points of a shard; `root` is the library in which relative image names are to be found.

    Raises:
        UsageError: an image name that leaves the library.
        StoreError: the shard's parts do not fit together.
    """
    passages = _passages(folder / "passages" / f"{name}.jsonl", root)
    vectors: list[dict[str, Vector]] = [{} for _ in passages]
    for spec in specs:
        for found, vector in zip(vectors, _vectors(folder / "vectors" / name, spec, len(passages)), strict=True):
            if vector is not None:
                found[spec.name] = vector
    return [Point(passage, found) for passage, found in zip(passages, vectors, strict=True)]


def _line(codec: PassageCodec, passage: Passage) -> dict[str, str]:
    payload = codec.encode(passage)
    return {"id": passage.id, **{name: payload[name] for name in (PASSAGE_FIELD, LAYOUT_FIELD) if name in payload}}


def _passages(path: Path, root: Path) -> list[Passage]:
    codec = PassageCodec(root)
    found: list[Passage] = []
    try:
        with path.open(encoding="utf-8") as stream:
            for line in stream:
                row = json.loads(line)
                for image in json.loads(row[PASSAGE_FIELD])["images"]:
                    safe_path(image, root)
                found.append(codec.decode(row["id"], row))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"the passages in {path} cannot be read ({error!r}); export the library again") from error
    return found


def _arrays(spec: VectorSpec, vectors: Sequence[Vector | None]) -> Mapping[str, Array]:
    if spec.form == "sparse":
        sparse = [vector if isinstance(vector, SparseVector) else SparseVector((), ()) for vector in vectors]
        return {
            "lengths": np.array([len(vector.indices) for vector in sparse], np.uint32),
            "terms": np.array([term for vector in sparse for term in vector.indices], np.uint32),
            "weights": _narrow(np.array([value for vector in sparse for value in vector.values], np.float64)),
        }
    rows = [vector for vector in vectors if vector is not None and not isinstance(vector, SparseVector)]
    return {
        "lengths": np.array([0 if vector is None else len(vector) for vector in vectors], np.uint32),  # type: ignore[arg-type]
        "rows": _narrow(np.concatenate(rows) if rows else np.zeros((0, spec.dim), np.float32)),
    }


def _narrow(array: Array) -> Array:
    """The array in the smallest floating type that holds every number exactly."""
    with np.errstate(over="ignore"):
        for kind in (np.float16, np.float32):
            smaller = array.astype(kind)
            if np.array_equal(smaller, array):
                return smaller
    return array


def _vectors(stem: Path, spec: VectorSpec, points: int) -> list[Vector | None]:
    lengths = _load(stem, spec, "lengths")
    ends = np.cumsum(lengths.astype(np.int64))
    starts = ends - lengths
    total = int(ends[-1]) if len(ends) else 0
    if spec.form == "sparse":
        terms, weights = _load(stem, spec, "terms"), _load(stem, spec, "weights").astype(np.float64)
        _require(stem, spec, fits=lengths.shape == (points,) and terms.shape == weights.shape == (total,))
        return [
            SparseVector(tuple(terms[start:end].tolist()), tuple(weights[start:end].tolist())) if end > start else None
            for start, end in zip(starts, ends, strict=True)
        ]
    rows = _load(stem, spec, "rows").astype(np.float32)
    _require(stem, spec, fits=lengths.shape == (points,) and rows.shape == (total, spec.dim))
    return [rows[start:end] if end > start else None for start, end in zip(starts, ends, strict=True)]


def _load(stem: Path, spec: VectorSpec, part: str) -> Array:
    path = stem.with_name(f"{stem.name}.{spec.name}.{part}.npy")
    try:
        array: Array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise StoreError(f"the vectors in {path} cannot be read ({error}); export the library again") from error
    return array


def _require(stem: Path, spec: VectorSpec, *, fits: bool) -> None:
    if not fits:
        raise StoreError(f"the vectors {stem.name}.{spec.name} do not fit their passages; export the library again")
