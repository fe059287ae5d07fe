"""Rebuild: a library made anew beside itself and put in its place in one step; the old one works until then.

Stopped anywhere, the library is the old one or the new one, and the same command goes on (`indexers.switching`).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from indexers.manifest import FILE, read_manifest
from indexers.sources.dicom_privacy import SALT_FILE
from indexers.switching import drop_folder, next_folder, old_folder, switch
from pipelines import compose
from pipelines.aligned_channel import HEAD_FOLDER
from pipelines.config import Settings
from pipelines.fitted import carry_calibration
from pipelines.ingest import BuildOptions, Sources, build_lock
from pipelines.library import Library, build_library, opened_journal
from rag.errors import StoreError, UsageError, VesaliusError
from rag.types import KINDS, Skipped

_PREFIX_PART = 8


@dataclass(frozen=True, slots=True)
class RebuildOptions:
    """How a rebuild runs: how its build does, and whether the library before is deleted at the end."""

    build: BuildOptions = field(default_factory=BuildOptions)
    drop_old: bool = False


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild did. `old` is where the library before is kept; `notes` say what is left to the user."""

    library: Path
    counts: dict[str, int]
    skipped: tuple[Skipped, ...]
    fingerprint: str
    old: Path | None
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        old = None if self.old is None else str(self.old)
        return {**asdict(self), "library": str(self.library), "old": old, "notes": list(self.notes)}


def rebuild_library(
    folder: Path, wanted: Sources, settings: Settings, options: RebuildOptions | None = None
) -> RebuildReport:
    """Build `DIR.next` from the sources, check it, and exchange it with `DIR`, which is kept as `DIR.old`.

    Without sources, the files that the library was built from are read again. Searches go on meanwhile; other
    changes of the library are refused, because they would be lost.

    Raises:
        UsageError: a recorded source file is gone.
        StoreError: the new library is not whole or lacks documents of the old one; the old one stays in place.
    """
    options = options or RebuildOptions()
    new = next_folder(folder)
    manifest = read_manifest(folder)
    with build_lock(folder):
        named = any(paths for _, paths in wanted.by_kind())
        chosen = _with_own_prefix(settings, folder, dict(manifest.settings.get("store", {})))
        _drop_other_attempt(new, chosen)
        _copy_salt(folder, new)
        _copy_head(folder, new)
        report = build_library(new, wanted if named else recorded_sources(folder), chosen, options.build)
        _require_whole(new, chosen, () if named else _names(folder))
        left = carry_calibration(folder, new, read_manifest(new).fingerprint)
        notes = [*([left] if left else []), *_drop_old(folder)]
        with build_lock(new):
            switch(folder)
    old: Path | None = old_folder(folder)
    if options.drop_old:
        notes += _drop_old(folder)
        old = None
    fingerprint = read_manifest(folder).fingerprint
    return RebuildReport(folder, report.counts, report.skipped, fingerprint, old, tuple(notes))


def _copy_salt(folder: Path, new: Path) -> None:
    """The secret behind patients' pseudonyms goes along: with another one, the same patient would be somebody else."""
    salt = folder / SALT_FILE
    if salt.is_file() and not (new / SALT_FILE).exists():
        new.mkdir(parents=True, exist_ok=True)
        shutil.copy2(salt, new / SALT_FILE)


def _copy_head(folder: Path, new: Path) -> None:
    """The head of channel "aligned" goes along; another one, if the settings name it, takes its place."""
    if (folder / HEAD_FOLDER).is_dir() and not (new / HEAD_FOLDER).exists():
        shutil.copytree(folder / HEAD_FOLDER, new / HEAD_FOLDER)


def recorded_sources(folder: Path) -> Sources:
    """The files that a library was built from. Raises UsageError when one of them is gone."""
    with opened_journal(folder) as journal:
        rows = [(str(row["source"]), Path(str(row["path"]))) for row in journal.documents()]
    gone = sorted(str(path) for _, path in rows if not path.exists())
    if gone:
        raise UsageError(
            f"{folder} was built from files that are not there any more: {', '.join(gone[:5])}"
            f"{' and others' if len(gone) > 5 else ''}; name the sources with --pages, --cases and --facts"
        )
    return Sources(*(tuple(path for source, path in rows if source == kind) for kind in ("pages", "cases", "facts")))


def rebuilt_prefix(current: str, fingerprint: str) -> str:
    """The prefix of a rebuilt library's collections on a server: the current one's stem and part of the fingerprint.

    The same for every attempt at a rebuild, and never the current one.
    """
    stem = re.sub(rf"-[0-9a-f]{{{_PREFIX_PART}}}b?$", "", current)
    wanted = f"{stem}-{fingerprint[:_PREFIX_PART]}"
    return wanted if wanted != current else f"{wanted}b"


def _with_own_prefix(settings: Settings, folder: Path, current: dict[str, Any]) -> Settings:
    """Settings under which the new library's collections stand beside the old ones on the same server."""
    store = settings.store
    same_place = {"kind": store.kind, "url": store.url, "prefix": store.prefix}
    if store.kind != "server" or any(current.get(name) != value for name, value in same_place.items()):
        return settings
    prefix = rebuilt_prefix(store.prefix, compose.Parts(settings, folder).manifest().fingerprint)
    return settings.model_copy(update={"store": store.model_copy(update={"prefix": prefix})})


def _drop_other_attempt(new: Path, settings: Settings) -> None:
    """Delete what a rebuild with other settings left; one with these goes on."""
    if not (new / FILE).is_file():
        return
    try:
        stored, wanted = read_manifest(new), compose.Parts(settings, new).manifest()
        same = not stored.differences(wanted) and stored.settings.get("store") == wanted.settings.get("store")
    except StoreError:
        same = False
    if not same:
        with build_lock(new):
            _forget_collections(new)
            drop_folder(new)


def _names(folder: Path) -> list[str]:
    with opened_journal(folder) as journal:
        return [str(row["name"]) for row in journal.documents()]


def _require_whole(new: Path, settings: Settings, wanted: Sequence[str]) -> None:
    """Raise StoreError unless the new library holds every document it should, and holds them whole."""
    with Library.open(new, settings) as library:
        status, found = library.status(), library.inspect()
    absent = sorted(set(wanted) - {str(row["name"]) for row in status["documents"]})
    if absent or status["state"] != "complete":
        what = f"lacks {', '.join(absent[:5])}" if absent else "is not complete"
        raise StoreError(f"the rebuilt library in {new} {what}; the old one stays in place; name its sources anew")
    if not found.ok:
        raise StoreError(
            f"the rebuilt library in {new} is damaged; the old one stays in place; "
            f"see `vesalius index verify --library {new}`, delete it and rebuild again"
        )


def _drop_old(folder: Path) -> list[str]:
    """Delete what an earlier rebuild kept; returns what could not be deleted."""
    old = old_folder(folder)
    if not old.exists():
        return []
    notes = _forget_collections(old)
    drop_folder(old)
    return notes


def _forget_collections(folder: Path) -> list[str]:
    """Empty the server's collections of a library that is about to be deleted; returns what is left to do."""
    try:
        manifest = read_manifest(folder)
        if manifest.settings.get("store", {}).get("kind") != "server":
            return []
        prefix = manifest.settings["store"].get("prefix", "")
        with Library.open(folder) as library, opened_journal(folder) as journal:
            for name in {str(row["name"]) for row in journal.documents()}:
                for kind in KINDS:
                    library.store.delete(kind, name)
    except VesaliusError as error:
        return [f"the collections of {folder} on its server could not be emptied ({error}); delete them there"]
    return [f"the collections {prefix}-* on the server are empty now; delete them there"]
