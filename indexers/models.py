"""The model cache: weights as data, fetched from pinned sources, checked, and unpacked without running any code.

A model is a folder of the cache, made complete beside it and then renamed into place with a receipt inside, so a
pull that is interrupted or finds a wrong hash leaves nothing behind, and two pulls at once do not disturb each other.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from indexers.model_fetch import PIP_AND_HUB, Fetch, Fetchers
from indexers.model_lock import ModelEntry, ModelFiles, Source, read_lock
from indexers.model_process import process
from rag.errors import ConfigError, EnvironmentProblem, MissingExtra, MissingModel
from rag.fingerprint import sha256_file

logger = logging.getLogger(__name__)

RECEIPT = "receipt.json"
_SCRATCH = ".pull-"
_ABANDONED_S = 24 * 3600

Progress = Callable[[str, str], None]
"""Called with a model's name and what is being done for it."""

State = Literal["present", "absent", "outdated"]


def default_cache() -> Path:
    """`$VESALIUS_CACHE`, or the folder `vesalius` under the user's cache folder of this platform."""
    if chosen := os.environ.get("VESALIUS_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "vesalius"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "vesalius"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vesalius"


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A model of the lock and how it stands in the cache. `size` is in bytes, 0 when it is not there."""

    name: str
    role: str
    licence: str
    origin: str
    state: State
    source: str
    size: int


class ModelStore:
    """The models of the lock file in one cache folder.

    `local` maps a model's name to a folder that is tried before the lock's sources.
    """

    def __init__(
        self,
        cache: Path,
        *,
        lock: Mapping[str, ModelEntry] | None = None,
        local: Mapping[str, Path] | None = None,
        fetchers: Fetchers = PIP_AND_HUB,
    ) -> None:
        self._folder = cache / "models"
        self._lock = read_lock() if lock is None else lock
        self._local = dict(local or {})
        self._fetchers = fetchers

    @property
    def names(self) -> tuple[str, ...]:
        """Every model of the lock, in its order."""
        return tuple(self._lock)

    def files(self, name: str) -> ModelFiles:
        """A model ready for use. Raises MissingModel when it is absent, incomplete or of another version."""
        entry = self._entry(name)
        state = self._state(entry)
        if state == "outdated":
            raise MissingModel(name, detail="the copy in the model cache is incomplete or of another version")
        if state == "absent":
            raise MissingModel(name, detail=f"it is not in the model cache {self._folder}")
        return ModelFiles(name, self._folder / name, entry.weights)

    def path(self, name: str) -> Path:
        """The folder of a model. Raises MissingModel as `files` does."""
        return self.files(name).folder

    def status(self) -> list[ModelStatus]:
        """Every model of the lock, in its order; files are not hashed, `verify` does that."""
        rows = []
        for entry in self._lock.values():
            receipt = self._receipt(entry.name)
            size = sum(file["bytes"] for file in receipt["files"].values()) if receipt else 0
            source = receipt["source"] if receipt else str(self._sources(entry)[0])
            rows.append(
                ModelStatus(entry.name, entry.role, entry.licence, entry.origin, self._state(entry), source, size)
            )
        return rows

    def pull(self, names: Sequence[str] | None = None, progress: Progress | None = None) -> list[str]:
        """Fetch what is not present yet; returns the names that were fetched. None means all of the lock.

        Raises:
            EnvironmentProblem: no source delivered a model; the message gives each source's reason.
            ConfigError: a name is not in the lock.
        """
        entries = [self._entry(name) for name in dict.fromkeys(self.names if names is None else names)]
        missing = [entry for entry in entries if self._state(entry) != "present"]
        if not missing:
            return []
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            with tempfile.TemporaryDirectory(dir=self._folder, prefix=_SCRATCH) as scratch:
                fetch = Fetch(Path(scratch), self._fetchers)
                for entry in missing:
                    self._pull_one(entry, fetch, Path(scratch) / entry.name, progress or _silent)
        except OSError as error:
            raise EnvironmentProblem(
                f"the model cache {self._folder} cannot be written: {error}; set VESALIUS_CACHE to another folder"
            ) from error
        return [entry.name for entry in missing]

    def verify(self, names: Sequence[str] | None = None) -> dict[str, list[str]]:
        """Hash every file of the models named; maps each name to what is wrong with it, an empty list if nothing."""
        return {
            entry.name: self._problems(entry)
            for entry in (self._entry(name) for name in (self.names if names is None else names))
        }

    def _entry(self, name: str) -> ModelEntry:
        if name not in self._lock:
            near = get_close_matches(name, self._lock, n=1, cutoff=0)
            raise ConfigError(f"there is no model {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return self._lock[name]

    def _sources(self, entry: ModelEntry) -> tuple[Source | Path, ...]:
        local = self._local.get(entry.name)
        return entry.sources if local is None else (local, *entry.sources)

    def _receipt(self, name: str) -> dict[str, Any] | None:
        try:
            receipt = json.loads((self._folder / name / RECEIPT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return receipt if isinstance(receipt, dict) and {"weights", "files", "source"} <= receipt.keys() else None

    def _state(self, entry: ModelEntry) -> State:
        folder = self._folder / entry.name
        if not folder.exists():
            return "absent"
        receipt = self._receipt(entry.name)
        if receipt is None or receipt["weights"] != entry.weights:
            return "outdated"
        for name, file in receipt["files"].items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != file["bytes"]:
                return "outdated"
        return "present"

    def _problems(self, entry: ModelEntry) -> list[str]:
        receipt = self._receipt(entry.name)
        if receipt is None:
            return ["it is not in the model cache"]
        found = []
        if receipt["weights"] != entry.weights:
            found.append("it is another version than the lock names")
        for name, file in receipt["files"].items():
            path = self._folder / entry.name / name
            # A file that the lock knows is held to the lock; one we made, to what was written down when it was made.
            expected = entry.files.get(name, file["sha256"])
            if not path.is_file():
                found.append(f"file {name} is missing")
            elif (actual := sha256_file(path)) != expected:
                found.append(f"file {name} has SHA-256 {actual}, expected {expected}")
        return found

    def _pull_one(self, entry: ModelEntry, fetch: Fetch, folder: Path, progress: Progress) -> None:
        reasons = []
        for source in self._sources(entry):
            progress(entry.name, f"fetching from {source}")
            folder.mkdir()
            try:
                fetch.into(folder, entry, source)
            except (EnvironmentProblem, MissingExtra) as error:
                logger.warning("model %s: %s failed: %s", entry.name, source, error)
                reasons.append(str(error))
                shutil.rmtree(folder)
                continue
            if entry.process:
                progress(entry.name, f"preparing: {entry.process}")
                process(entry.process, folder)
            _write_receipt(folder, entry, str(source))
            self._place(folder, entry)
            progress(entry.name, f"ready; licence: {entry.licence}")
            return
        raise EnvironmentProblem(
            f"model {entry.name} could not be fetched: {'; '.join(reasons)}. "
            f"Check the network and pip's index, or name a local folder that holds {', '.join(entry.files)}"
        )

    def _place(self, folder: Path, entry: ModelEntry) -> None:
        """Rename a complete folder into the cache; when another pull was faster, its copy stays."""
        target = self._folder / entry.name
        if target.exists() and self._state(entry) != "present":
            target.rename(folder.with_name(f"{entry.name}.old"))
        try:
            folder.rename(target)
        except OSError:
            if self._state(entry) != "present":
                raise

    def _sweep(self) -> None:
        """Remove what pulls that were killed outright have left, once it is a day old."""
        for scratch in self._folder.glob(f"{_SCRATCH}*"):
            if time.time() - scratch.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(scratch, ignore_errors=True)


def _write_receipt(folder: Path, entry: ModelEntry, source: str) -> None:
    files = {
        path.name: {"sha256": sha256_file(path), "bytes": path.stat().st_size} for path in sorted(folder.iterdir())
    }
    receipt = {"model": entry.name, "weights": entry.weights, "source": source, "licence": entry.licence}
    (folder / RECEIPT).write_text(json.dumps(receipt | {"files": files}, indent=2) + "\n", encoding="utf-8")


def _silent(_name: str, _what: str) -> None:
    """No progress wanted."""
