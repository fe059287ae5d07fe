"""Import: an exported library becomes one again, in any store. Files are checked first, points read back afterwards.

It is made in `DIR.importing` and renamed when it is whole. Stopped anywhere, the same command goes on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from indexers.manifest import FILE as MANIFEST
from indexers.manifest import Manifest, load_manifest, write_atomic, write_manifest
from indexers.point_files import read_points, safe_path
from indexers.switching import LOCK
from pipelines import compose
from pipelines.aligned_channel import HEAD_FILES
from pipelines.config import Settings
from pipelines.exporting import CONTENTS, FORMAT, JOURNAL, VERSION
from pipelines.fitted import copy_fitted, refresh_fitted
from pipelines.ingest import build_lock
from rag.errors import StoreError, UsageError
from rag.fingerprint import digest, sha256_file
from rag.protocols import Store
from rag.types import KINDS, Kind, Point, SparseVector, Storage, Vector, VectorSpec

STATE = "import.json"
_READ = 16
TOLERANCE: Mapping[Storage, float] = {"f32": 0, "f16": 0, "int8": 0, "turbo8": 1e-6, "turbo4": 0.05, "binary": 1e-6}
"""Largest difference of a number that was read from a store, written into one of the same kind, and read again. The
engine's Turbo types are decoded and coded anew: 8 bits give the same codes back; 4 bits were seen to move by 0.016."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Some points of one kind."""

    name: str
    kind: Kind
    points: int


@dataclass(frozen=True, slots=True)
class Export:
    """An export whose every file was checked."""

    folder: Path
    manifest: Manifest
    shards: tuple[Shard, ...]
    files: tuple[str, ...]
    identity: str


@dataclass(slots=True)
class _State:
    """How far an import is: the shards that the store holds."""

    identity: str
    shards: list[str]
    resumed: bool

    def write(self, partial: Path) -> None:
        """Note it in the folder of the unfinished library."""
        text = json.dumps({"identity": self.identity, "shards": self.shards})
        write_atomic(partial / STATE, text.encode())


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What was imported, each point read back from the store and compared."""

    counts: dict[str, int]
    fingerprint: str


def read_export(folder: Path) -> Export:
    """Open an export and check all of it.

    Raises UsageError when it is none, of another version, incomplete or altered, or names files outside of itself.
    """
    contents = _contents(folder)
    files: Mapping[str, str] = contents["files"]
    for name, checksum in files.items():
        path = safe_path(name, folder)
        if not path.is_file():
            raise UsageError(f"the export {folder} is incomplete: {name} is not there; copy or export it again")
        if sha256_file(path) != checksum:
            raise UsageError(f"the export {folder} was altered: {name} has another checksum; copy or export it again")
    manifest = load_manifest(folder / MANIFEST)
    if manifest.fingerprint != contents["fingerprint"]:
        raise UsageError(f"the export {folder} was altered: its manifest has another fingerprint; export it again")
    shards = tuple(Shard(str(row["name"]), row["kind"], int(row["points"])) for row in contents["shards"])
    return Export(folder, manifest, shards, tuple(files), digest({"files": dict(files)}))


def _contents(folder: Path) -> dict[str, Any]:
    try:
        contents = json.loads((folder / CONTENTS).read_text(encoding="utf-8"))
        known, version = contents["format"] == FORMAT, contents["version"]
        named = {MANIFEST, JOURNAL} | {f"passages/{row['name']}.jsonl" for row in contents["shards"]}
        whole = named <= dict(contents["files"]).keys() and {row["kind"] for row in contents["shards"]} <= set(KINDS)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{folder} is no export of a library ({error}); make one with `vesalius index export`"
        ) from error
    if not known:
        raise UsageError(f"{folder} is no export of a library; make one with `vesalius index export`")
    if version != VERSION:
        raise UsageError(
            f"the export {folder} has version {version}, and this Vesalius reads version {VERSION}; "
            "import it with the Vesalius that wrote it"
        )
    if not whole:
        raise UsageError(f"the export {folder} does not list all of its files; export the library again")
    return dict(contents)


def import_library(exported: Export, folder: Path, settings: Settings) -> ImportReport:
    """Make a library from an export, with vectors wherever the settings say.

    Raises:
        UsageError: the folder holds something, or the store already holds passages under this prefix.
        IndexMismatch: the settings or the models here would make another index.
        StoreError: the store failed, or what it returned is not what was imported.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty; import into a new folder")
    partial = folder.absolute().with_name(f"{folder.absolute().name}.importing")
    with build_lock(partial):
        state = _begun(partial, exported, settings)
        for name in (compose.WHITENING, *HEAD_FILES):
            if name in exported.files:
                (partial / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(exported.folder / name, partial / name)
        parts = compose.Parts(settings, partial)
        parts.require_models()
        exported.manifest.require(parts.manifest())
        _copy_images(exported, partial)
        store = parts.store(partial)
        try:
            counts = _fill(_Import(exported, partial, store), state)
            copy_fitted(exported.folder, partial, exported.files)
            refresh_fitted(partial, store, exported.manifest)
        finally:
            store.close()
        shutil.copyfile(exported.folder / JOURNAL, partial / JOURNAL)
        write_manifest(partial, replace(parts.manifest(), preset=exported.manifest.preset))
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
        (folder / STATE).unlink()
    return ImportReport(counts, exported.manifest.fingerprint)


def _begun(partial: Path, exported: Export, settings: Settings) -> _State:
    """What an earlier attempt at this very import did. What anything else left in the folder is deleted."""
    identity = digest({"export": exported.identity, "store": settings.store.model_dump(mode="json")})
    try:
        found = json.loads((partial / STATE).read_text(encoding="utf-8"))
        if found["identity"] == identity:
            return _State(identity, list(found["shards"]), resumed=True)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no attempt, or one that was stopped before it had written anything into a store
    for path in partial.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()
    return _State(identity, [], resumed=False)


@dataclass(frozen=True, slots=True)
class _Import:
    """An export on its way into a store."""

    exported: Export
    partial: Path
    store: Store

    def points(self, shard: Shard) -> list[Point]:
        """The points of a shard, with images under the new library."""
        return read_points(self.exported.folder, shard.name, self.store.specs.get(shard.kind, ()), self.partial)


def _copy_images(exported: Export, partial: Path) -> None:
    for name in exported.files:
        if name.startswith("images/"):
            target = safe_path(name, partial)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(safe_path(name, exported.folder), target)


def _fill(work: _Import, state: _State) -> dict[str, int]:
    """Write every shard, then read every point back and compare."""
    if not state.resumed and any(work.store.count(kind) for kind in KINDS):
        raise UsageError("the store holds passages under this prefix already; choose another with --set store.prefix=")
    state.write(work.partial)
    for shard in work.exported.shards:
        if shard.name not in state.shards:
            work.store.upsert(work.points(shard))
            state.shards.append(shard.name)
            state.write(work.partial)
    work.store.optimize()
    for shard in work.exported.shards:
        _compare(work, shard)
    counts: dict[str, int] = {
        kind: sum(shard.points for shard in work.exported.shards if shard.kind == kind) for kind in KINDS
    }
    for kind in KINDS:
        if work.store.count(kind) != counts[kind]:
            raise StoreError(f"the store holds {work.store.count(kind)} {kind}s after an import of {counts[kind]}")
    return counts


def _compare(work: _Import, shard: Shard) -> None:
    """Raise StoreError unless the store holds these points: equal passages, equal numbers."""
    specs = {spec.name: spec for spec in work.store.specs.get(shard.kind, ())}
    wanted = work.points(shard)
    for start in range(0, len(wanted), _READ):
        some = wanted[start : start + _READ]
        stored = {point.passage.id: point for point in work.store.points([point.passage.id for point in some])}
        for point in some:
            fault = difference(point, stored.get(point.passage.id), specs)
            if fault:
                raise StoreError(f"passage {point.passage.id} of {shard.name} was not stored as exported: {fault}")


def difference(wanted: Point, stored: Point | None, specs: Mapping[str, VectorSpec]) -> str:
    """What a stored point lacks or has otherwise than the one imported, or an empty text."""
    if stored is None:
        return "it is not there"
    if stored.passage != wanted.passage:
        return "its text, locator, images or layout differ"
    if stored.vectors.keys() != wanted.vectors.keys():
        return f"it has vectors for {sorted(stored.vectors)}, not {sorted(wanted.vectors)}"
    changed = [name for name, vector in wanted.vectors.items() if not _same(specs[name], vector, stored.vectors[name])]
    return f"its vectors of {', '.join(changed)} differ" if changed else ""


def _same(spec: VectorSpec, wanted: Vector, stored: Vector) -> bool:
    """Whether a channel's vectors are equal: to the last bit, or nearly so where the store keeps fewer bits."""
    if isinstance(wanted, SparseVector) or isinstance(stored, SparseVector):
        return wanted == stored
    if wanted.shape != stored.shape:
        return False
    return bool(np.abs(wanted - stored).max() <= TOLERANCE[spec.storage])
