"""Is a library whole? Passages against the journal, vectors and image files against the passages; and the repair.

A repair encodes nothing: it deletes what no document gave and un-marks what is missing; the next build makes it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from indexers.journal import Journal, passage_checksum
from indexers.journal_marks import unmark
from rag.protocols import Store
from rag.retrievers import Channel
from rag.types import KINDS, Kind, Matrix, Passage, Point, SparseVector, Vector, VectorSpec

SAMPLED = 64
"""Points of each kind whose vectors are read unless all are asked for: one damaged point in twenty shows in 96 of 100
such samples (1 - 0.95**64)."""
_PASSAGES, _POINTS = 512, 16
_LENGTH_TOLERANCE = 0.02
"""Rows have unit length; half precision moves it by less than 0.001, a flipped exponent bit by far more."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with one passage."""

    kind: Kind
    id: str
    detail: str = ""


@dataclass(slots=True)
class Findings:
    """What a check found.

    missing: in the journal, not in the store. orphaned: the other way round. altered: other content than was written.
    images: image files that passages name and that are not there. vectors: absent, of another shape or not finite.
    files: image files that no passage names.
    """

    missing: list[Problem] = field(default_factory=list)
    orphaned: list[Problem] = field(default_factory=list)
    altered: list[Problem] = field(default_factory=list)
    images: list[Problem] = field(default_factory=list)
    vectors: list[Problem] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    vectors_checked: int = 0

    @property
    def ok(self) -> bool:
        """Nothing was found."""
        return not (self.incomplete or self.orphaned or self.files)

    @property
    def incomplete(self) -> list[Problem]:
        """What only a build can put right."""
        return [*self.missing, *self.altered, *self.images, *self.vectors]

    def as_json(self) -> dict[str, Any]:
        """As plain values, paths as text."""
        return {"ok": self.ok, **asdict(self), "files": [str(path) for path in self.files]}


@dataclass(frozen=True, slots=True)
class Checked:
    """The parts of a library that a check reads."""

    folder: Path
    store: Store
    journal: Journal
    channels: Sequence[Channel]


def check_passages(store: Store, journal: Journal, findings: Findings) -> Iterator[Passage]:
    """Compare the store with the journal while yielding every stored passage that the journal knows, by kind and id."""
    for kind in KINDS:
        expected = dict(journal.checksums(kind))
        for ids in _chunks(store.ids(kind), _PASSAGES):
            for passage in store.get(ids):
                checksum = expected.pop(passage.id, None)
                if checksum is None:
                    findings.orphaned.append(Problem(kind, passage.id))
                    continue
                if checksum != passage_checksum(passage):
                    findings.altered.append(Problem(kind, passage.id))
                yield passage
        findings.missing += [Problem(kind, passage_id) for passage_id in expected]


def inspect(library: Checked, *, deep: bool = False) -> Findings:
    """Check passages, image files, and the vectors of a sample of every kind (of all points when `deep`)."""
    findings = Findings()
    named: set[Path] = set()
    for passage in check_passages(library.store, library.journal, findings):
        for image in passage.images:
            named.add(image)
            if not image.is_file():
                findings.images.append(Problem(passage.kind, passage.id, str(image)))
    findings.files = _unnamed_files(library, named)
    for kind in KINDS:
        _check_vectors(library, kind, findings, deep=deep)
    return findings


def _unnamed_files(library: Checked, named: set[Path]) -> list[Path]:
    """Image files of no passage. A build that was stopped leaves some of its open documents; those are not counted."""
    images = library.folder.absolute() / "images"
    rows = library.journal.documents()
    unfinished = {images / str(row["sha256"])[:16] for row in rows if not row["complete"]}
    files = (path for path in images.rglob("*") if path.is_file() and path not in named)
    return sorted(path for path in files if not unfinished & set(path.parents))


def _check_vectors(library: Checked, kind: Kind, findings: Findings, *, deep: bool) -> None:
    channels = [channel for channel in library.channels if channel.kind == kind]
    if not channels:
        return
    step = 1 if deep else max(1, library.store.count(kind) // SAMPLED)
    strays = {problem.id for problem in findings.orphaned}
    for ids in _chunks(islice(library.store.ids(kind), 0, None, step), _POINTS):
        for point in library.store.points([passage_id for passage_id in ids if passage_id not in strays]):
            findings.vectors_checked += 1
            fault = "; ".join(fault for channel in channels if (fault := _channel_fault(channel, point)))
            if fault:
                findings.vectors.append(Problem(kind, point.passage.id, fault))


def _channel_fault(channel: Channel, point: Point) -> str:
    """What is wrong with a point's vectors of one channel, or an empty text."""
    absent = [spec.name for spec in channel.specs if spec.name not in point.vectors]
    if absent and _reads(channel, point.passage):
        return f"no vector for {', '.join(absent)}"
    vectors = [(spec, point.vectors[spec.name]) for spec in channel.specs if spec.name in point.vectors]
    return "; ".join(f"{spec.name}: {fault}" for spec, vector in vectors if (fault := vector_fault(spec, vector)))


def _reads(channel: Channel, passage: Passage) -> bool:
    """Whether the encoder would give this passage a vector: it is asked, because each reads something else."""
    vector = channel.encoder.encode_passages([passage])[0]
    return vector is not None and not (isinstance(vector, SparseVector) and not vector.indices)


def vector_fault(spec: VectorSpec, vector: Vector) -> str:
    """What is wrong with a stored vector (shape, numbers that are not finite, its rows' length), or an empty text."""
    if isinstance(vector, SparseVector):
        return "" if np.isfinite(vector.values).all() else "weights that are not finite"
    if vector.ndim != 2 or vector.shape[1] != spec.dim or not len(vector):
        return f"shape {vector.shape} where (n, {spec.dim}) belongs"
    if not np.isfinite(vector).all():
        return "numbers that are not finite"
    return "" if spec.storage not in ("f32", "f16") else _length_fault(vector)


def _length_fault(vector: Matrix) -> str:
    off = float(np.abs(np.linalg.norm(vector.astype(np.float64), axis=1) - 1).max())
    return f"a row's length is off by {off:.3f}" if off > _LENGTH_TOLERANCE else ""


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair did: passages and files deleted, and the documents that the next build has to read again."""

    deleted: int
    files: int
    remake: tuple[dict[str, Any], ...]


def repair(library: Checked, findings: Findings) -> Repair:
    """Delete orphaned passages and files and un-mark the documents of what is missing. Hold the library's build lock.

    Stopped anywhere it can be run again: each step leaves the rest to be found by the next check.
    """
    for kind in KINDS:
        discard(library.store, kind, [problem.id for problem in findings.orphaned if problem.kind == kind])
    for path in findings.files:
        path.unlink(missing_ok=True)
    remake = unmark(library.folder / "journal.sqlite", {problem.id for problem in findings.incomplete})
    return Repair(len(findings.orphaned), len(findings.files), tuple(remake))


def discard(store: Store, kind: Kind, ids: Sequence[str]) -> None:
    """Delete single passages. A store deletes by document, so they first become passages of a document of their own."""
    for some in _chunks(ids, _PASSAGES):
        name = f"discarded-{uuid.uuid4()}"
        store.upsert([Point(replace(passage, document=name), {}) for passage in store.get(some)])
        store.delete(kind, name)


def _chunks(items: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
