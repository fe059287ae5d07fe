"""What `models.lock.toml` says: which model files exist, where they come from, and the hash each must have."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import ConfigError
from rag.fingerprint import digest

LOCK = Path(__file__).with_name("models.lock.toml")

# A model name becomes a folder of the cache and a file name a file in it: neither may lead out of it.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.+!]*")


@dataclass(frozen=True, slots=True)
class WheelSource:
    """Files inside a pinned wheel: `requirement` is `name==version`, `members` maps our file name to its path there."""

    requirement: str
    sha256: str
    members: Mapping[str, str]

    def __str__(self) -> str:
        return f"wheel {self.requirement}"


@dataclass(frozen=True, slots=True)
class HubSource:
    """Files of a model hub repository at one revision."""

    repository: str
    revision: str
    members: Mapping[str, str]

    def __str__(self) -> str:
        return f"hub {self.repository}@{self.revision}"


Source = WheelSource | HubSource


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of the lock. `files` maps each file name to the SHA-256 its source delivers."""

    name: str
    role: str
    licence: str
    origin: str
    files: Mapping[str, str]
    sources: tuple[Source, ...]
    process: str | None = None

    @property
    def weights(self) -> str:
        """Identifies the weights and what is made of them; goes into the fingerprint of a library."""
        return digest({"files": dict(self.files), "process": self.process})


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model that is ready in the cache: its folder, and the hash that identifies its weights."""

    name: str
    folder: Path
    weights: str


def read_lock(path: Path = LOCK) -> dict[str, ModelEntry]:
    """The models of a lock file by name, in its order. Raises ConfigError naming the entry that is malformed."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))["models"]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise ConfigError(f"model lock {path} cannot be read: {error}; restore the file") from error
    entries = {}
    for name, table in tables.items():
        try:
            entries[name] = _entry(name, table)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"model lock {path}, model {name}: {error!s}; correct this entry") from error
    return entries


def _entry(name: str, table: Mapping[str, Any]) -> ModelEntry:
    files = dict(table["files"])
    for plain in (name, *files):
        if not _PLAIN_NAME.fullmatch(plain):
            raise ValueError(f"{plain!r} is not a plain file name")
    for file, sha256 in files.items():
        if not _SHA256.fullmatch(sha256):
            raise ValueError(f"{file} has no SHA-256")
    return ModelEntry(
        name=name,
        role=table["role"],
        licence=table["licence"],
        origin=table["origin"],
        files=files,
        sources=tuple(_source(row, files) for row in table["sources"]),
        process=table.get("process"),
    )


def _source(row: Mapping[str, Any], files: Mapping[str, str]) -> Source:
    members = dict(row["members"])
    if set(members) != set(files):
        raise ValueError(f"a source delivers {sorted(members)}, but the model has {sorted(files)}")
    if "wheel" in row:
        if not _REQUIREMENT.fullmatch(row["wheel"]):
            raise ValueError(f"wheel {row['wheel']!r} is not name==version")
        return WheelSource(row["wheel"], row["sha256"], members)
    return HubSource(row["hub"], row["revision"], members)
