"""Export: a library as a folder of plain files that another machine and another store can take.

    export.json       format, version, fingerprint, shards, counts, and the SHA-256 of every other file
    manifest.json     what the library was made with
    journal.sqlite    what was done and skipped
    passages/ vectors/   the points, in shards (indexers.point_files)
    images/           page images and figures, and copies of the images of cases
    whitening.npy, domains.npz, calibration.json, gate.json   what was fitted and measured on the library, if there
    aligned/          the head of channel "aligned", if the library has one

It is written into `FOLDER.partial` and renamed when it is whole.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from indexers.manifest import FILE as MANIFEST
from indexers.point_files import write_points
from indexers.stores.checks import point_bytes
from pipelines.aligned_channel import HEAD_FILES
from pipelines.compose import WHITENING
from pipelines.fitted import copy_fitted
from pipelines.ingest import build_lock
from pipelines.library import Library
from rag.errors import StoreError, UsageError
from rag.fingerprint import sha256_bytes, sha256_file
from rag.protocols import Store
from rag.types import KINDS, Kind, Passage, Point

FORMAT, VERSION = "vesalius-export", 1
CONTENTS, JOURNAL = "export.json", "journal.sqlite"
SHARD_BYTES = 64 << 20
SHARD_POINTS = 4096
_READ = 16
"""Points read from the store at once: a page of a multivector may have 4 MB."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written. `images_missing`: images that passages name and that were not there."""

    folder: Path
    counts: dict[str, int]
    files: int
    bytes: int
    images_missing: int


@dataclass(slots=True)
class _Images:
    """The images of passages: where each comes from, by the name it has in the export."""

    root: Path
    found: dict[str, Path] = field(default_factory=dict)
    missing: int = 0

    def inside(self, passage: Passage) -> Passage:
        """The passage with every image under the library's folder, as it will be found after an import."""
        return replace(passage, images=tuple(self._inside(image) for image in passage.images))

    def _inside(self, image: Path) -> Path:
        if image.is_relative_to(self.root):
            name = image.relative_to(self.root).as_posix()
        else:
            # Images of cases stay where the user has them; a portable library needs copies. The name stays the same,
            # because checksums of passages hold it.
            name = f"images/outside/{sha256_bytes(os.fsencode(image.parent))[:16]}/{image.name}"
        if name not in self.found:
            self.found[name] = image
            self.missing += not image.is_file()
        return self.root / name


def export_library(library: Library, out: Path) -> ExportReport:
    """Write a library into a new folder.

    Raises UsageError when the folder holds something, StoreError when the library is being changed or the disk is full.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not empty; name a new folder with --out")
    partial = out.absolute().with_name(f"{out.absolute().name}.partial")
    try:
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        with build_lock(library.folder):
            report = _written(library, partial)
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"cannot write the export {out}: {error}; free some space and export again") from error
    return replace(report, folder=out)


def _written(library: Library, partial: Path) -> ExportReport:
    images = _Images(library.folder.absolute())
    shards = [row for kind in KINDS for row in _write_kind(library.store, kind, partial, images)]
    for name, source in images.found.items():
        if source.is_file():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, partial / name)
    shutil.copyfile(library.folder / MANIFEST, partial / MANIFEST)
    for name in (WHITENING, *HEAD_FILES):
        if (library.folder / name).is_file():
            (partial / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(library.folder / name, partial / name)
    copy_fitted(library.folder, partial)
    _copy_journal(library.folder / JOURNAL, partial / JOURNAL)
    files = {path.relative_to(partial).as_posix(): path for path in sorted(partial.rglob("*")) if path.is_file()}
    counts: dict[str, int] = {kind: sum(row["points"] for row in shards if row["kind"] == kind) for kind in KINDS}
    contents = {
        "format": FORMAT,
        "version": VERSION,
        "fingerprint": library.manifest.fingerprint,
        "counts": counts,
        "shards": shards,
        "files": {name: sha256_file(path) for name, path in files.items()},
    }
    (partial / CONTENTS).write_text(json.dumps(contents, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in files.values())
    return ExportReport(partial, counts, len(files) + 1, size, images.missing)


def _write_kind(store: Store, kind: Kind, partial: Path, images: _Images) -> Iterator[dict[str, Any]]:
    specs = store.specs.get(kind, ())
    for number, points in enumerate(_shards(store, kind)):
        name = f"{kind}-{number:05d}"
        kept = [replace(point, passage=images.inside(point.passage)) for point in points]
        write_points(partial, name, kept, specs, images.root)
        yield {"name": name, "kind": kind, "points": len(points)}


def _shards(store: Store, kind: Kind) -> Iterator[Sequence[Point]]:
    """All points of a kind, by id, in groups of bounded size."""
    ids = store.ids(kind)
    shard: list[Point] = []
    size = 0
    while some := list(islice(ids, _READ)):
        points = store.points(some)
        shard += points
        size += sum(map(point_bytes, points))
        if size >= SHARD_BYTES or len(shard) >= SHARD_POINTS:
            yield shard
            shard, size = [], 0
    if shard:
        yield shard


def _copy_journal(source: Path, target: Path) -> None:
    """One file without a log beside it, whatever is written to the journal meanwhile."""
    with closing(sqlite3.connect(source, timeout=10)) as mine, closing(sqlite3.connect(target)) as copy:
        mine.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
