"""The folder of an embedded store: who holds it, which kinds stand in it, and whether their shards are whole."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import IO, Any

from indexers.stores.checks import Specs
from rag.errors import IndexMismatch, StoreError
from rag.types import KINDS, Kind, VectorSpec

FORMAT = 1
_CATALOGUE, _LOCK = "store.json", "store.lock"
_REMEDY = "restore it from a copy, or rebuild the library with `vesalius index build --fresh`"
_Channels = list[dict[str, Any]]
_DEFAULTS = {item.name: item.default for item in fields(VectorSpec) if item.default is not MISSING}
"""What a catalogue written before a property existed says about it."""


def in_use(folder: Path) -> str:
    """What to say when another process holds a folder."""
    return f"the library is in use: another process has the store in {folder} open; end it or wait until it is done"


def locked(folder: Path) -> IO[str]:
    """Hold the folder until the file is closed; the operating system lets go when the process ends, however it ends.

    A process forked while the folder is held keeps holding it: start helpers with spawn.

    Raises:
        StoreError: another process holds the folder, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("a")
    except OSError as error:
        raise StoreError(f"cannot open the store in {folder}: {error}; check the path and its permissions") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise StoreError(in_use(folder)) from error
    return lock


def check_whole(folder: Path) -> None:
    """Raises StoreError when a part of a shard is missing: the engine would make it anew, empty, without a word."""
    segments = folder / "segments"
    parts = (folder / "edge_config.json").is_file() and (folder / "wal").is_dir() and segments.is_dir()
    if not (parts and any(segments.iterdir())):
        raise StoreError(f"the shard in {folder} is missing or incomplete; {_REMEDY}")


class Catalogue:
    """The file that names the kinds stored in a folder, with their channels.

    It tells a shard that was never made from one that was lost.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / _CATALOGUE
        self.kinds: dict[Kind, _Channels] = self._read()

    def check(self, specs: Specs) -> None:
        """Compare the folder with what it is opened for.

        Raises:
            IndexMismatch: a kind is stored with other channels.
            StoreError: there is a shard that the catalogue does not name.
        """
        for kind in KINDS:
            if kind in self.kinds:
                self._marker(kind).unlink(missing_ok=True)
                wanted = _channels(specs.get(kind, ()))
                stored = [{**_DEFAULTS, **channel} for channel in self.kinds[kind]]
                if kind in specs and stored != wanted:
                    raise IndexMismatch(f"{kind} channels", stored=stored, wanted=wanted)
            elif (self._folder / kind).exists() and not self._marker(kind).exists():
                raise StoreError(f"{self._folder / kind} holds a shard that {self._path} does not name; {_REMEDY}")

    @contextmanager
    def adding(self, kind: Kind, specs: Sequence[VectorSpec]) -> Iterator[None]:
        """Name a kind once its shard has been made inside this block. What a stopped attempt left is removed first."""
        marker = self._marker(kind)
        marker.touch()
        if (self._folder / kind).exists():
            shutil.rmtree(self._folder / kind)
        yield
        self.kinds[kind] = _channels(specs)
        self._write()
        marker.unlink()

    def _marker(self, kind: Kind) -> Path:
        """The file that stands in the folder while a shard is being made."""
        return self._folder / f"{kind}.new"

    def _read(self) -> dict[Kind, _Channels]:
        try:
            text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
            kinds: dict[Kind, _Channels] = dict(json.loads(text)["kinds"]) if text else {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"cannot read {self._path} ({error}); {_REMEDY}") from error
        return kinds

    def _write(self) -> None:
        temporary = self._path.with_suffix(".json.new")
        with temporary.open("w", encoding="utf-8") as stream:
            json.dump({"format": FORMAT, "kinds": self.kinds}, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(self._path)


def _channels(specs: Sequence[VectorSpec]) -> _Channels:
    return [asdict(spec) for spec in sorted(specs, key=lambda spec: spec.name)]
