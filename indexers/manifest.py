"""The manifest of a library: what it was made with, so that it is never searched with anything else."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from indexers.switching import finish_switch
from rag.errors import IndexMismatch, LibraryNotFound, StoreError
from rag.fingerprint import digest

FILE = "manifest.json"
SCHEMA = 1
"""Raised whenever passages, payloads or vectors of an old library could no longer be read."""


@dataclass(frozen=True, slots=True)
class ChannelEntry:
    """One channel of one passage kind, and the fingerprint of the encoder behind it."""

    kind: str
    name: str
    form: str
    dim: int
    storage: str
    encoder: str


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which two libraries differ, with both values in words."""

    field: str
    stored: str
    wanted: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a library was made with. Channels, sources and schema make the fingerprint.

    `preset` and `settings` (those that shape the index) let the library be opened again without naming them.
    """

    preset: str
    channels: tuple[ChannelEntry, ...]
    sources: str
    schema: int = SCHEMA
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change when anything that shapes the index changes."""
        entries = sorted((asdict(entry) for entry in self.channels), key=lambda entry: (entry["kind"], entry["name"]))
        return digest({"schema": self.schema, "sources": self.sources, "channels": entries})

    def require(self, wanted: Manifest) -> None:
        """Raise IndexMismatch, naming both values, unless `wanted` would make the same index."""
        for found in self.differences(wanted):
            raise IndexMismatch(found.field, stored=found.stored, wanted=found.wanted)

    def differences(self, wanted: Manifest) -> list[Difference]:
        """Everything in which `wanted` would make another index; nothing when the fingerprints are equal."""
        found = [
            Difference("schema", str(self.schema), str(wanted.schema)),
            Difference("source reading", self.sources, wanted.sources),
        ]
        stored = {(entry.kind, entry.name): entry for entry in self.channels}
        asked = {(entry.kind, entry.name): entry for entry in wanted.channels}
        for key in sorted(stored.keys() | asked.keys()):
            found += _entry_differences(".".join(key), stored.get(key), asked.get(key))
        return [difference for difference in found if difference.stored != difference.wanted]

    def changed_settings(self, wanted: Manifest) -> list[Difference]:
        """The settings that differ, by dotted key: why fingerprints do. Where vectors live is no such reason."""
        mine, theirs = dict(_flat(self.settings)), dict(_flat(wanted.settings))
        keys = sorted(key for key in mine.keys() | theirs.keys() if not key.startswith("store."))
        pairs = [Difference(key, str(mine.get(key, "absent")), str(theirs.get(key, "absent"))) for key in keys]
        return [pair for pair in pairs if pair.stored != pair.wanted]


def _entry_differences(channel: str, mine: ChannelEntry | None, theirs: ChannelEntry | None) -> list[Difference]:
    if mine is None or theirs is None:
        return [Difference(f"channel {channel}", _words(mine), _words(theirs))]
    fields = ("form", "dim", "storage", "encoder")
    return [Difference(f"{channel} {name}", str(getattr(mine, name)), str(getattr(theirs, name))) for name in fields]


def _words(entry: ChannelEntry | None) -> str:
    return "absent" if entry is None else entry.encoder


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            # Settings come back from JSON with lists where the wanted ones may hold tuples.
            yield f"{prefix}{key}", list(value) if isinstance(value, tuple) else value


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json` whole or not at all."""
    text = json.dumps({**asdict(manifest), "fingerprint": manifest.fingerprint}, indent=2, ensure_ascii=False)
    write_atomic(folder / FILE, (text + "\n").encode())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a library folder, after ending a switch of libraries that was cut short.

    Raises LibraryNotFound or StoreError.
    """
    finish_switch(folder)
    if not (folder / FILE).is_file():
        raise LibraryNotFound(folder)
    return load_manifest(folder / FILE)


def load_manifest(path: Path) -> Manifest:
    """The manifest in a file. Raises StoreError when it cannot be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        channels = tuple(ChannelEntry(**entry) for entry in data["channels"])
        return Manifest(data["preset"], channels, data["sources"], data["schema"], data.get("settings", {}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"the manifest {path} cannot be read ({error}); rebuild the library with --fresh") from error


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a reader or a crash sees the old content or the new, never a part."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
