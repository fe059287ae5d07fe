"""The manifest of a library: what it was made with, so that it is never searched with anything else."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

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
        if self.schema != wanted.schema:
            raise IndexMismatch("schema", stored=self.schema, wanted=wanted.schema)
        if self.sources != wanted.sources:
            raise IndexMismatch("source reading", stored=self.sources, wanted=wanted.sources)
        stored = {(entry.kind, entry.name): entry for entry in self.channels}
        asked = {(entry.kind, entry.name): entry for entry in wanted.channels}
        for key in sorted(stored.keys() | asked.keys()):
            mine, theirs = stored.get(key), asked.get(key)
            if mine is None or theirs is None:
                raise IndexMismatch(f"channel {'.'.join(key)}", stored=_words(mine), wanted=_words(theirs))
            for name in ("form", "dim", "storage", "encoder"):
                if getattr(mine, name) != getattr(theirs, name):
                    raise IndexMismatch(
                        f"{'.'.join(key)} {name}", stored=getattr(mine, name), wanted=getattr(theirs, name)
                    )


def _words(entry: ChannelEntry | None) -> str:
    return "absent" if entry is None else entry.encoder


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json` whole or not at all."""
    text = json.dumps({**asdict(manifest), "fingerprint": manifest.fingerprint}, indent=2, ensure_ascii=False)
    write_atomic(folder / FILE, (text + "\n").encode())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a library folder. Raises LibraryNotFound or StoreError."""
    path = folder / FILE
    if not path.is_file():
        raise LibraryNotFound(folder)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        channels = tuple(ChannelEntry(**entry) for entry in data["channels"])
        return Manifest(data["preset"], channels, data["sources"], data["schema"], data.get("settings", {}))
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"the manifest {path} cannot be read ({error}); rebuild the library with --fresh") from error


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a reader or a crash sees the old content or the new, never a part."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
