"""Checkpoint folders: finding them, checking that nothing is missing, and their content's hash. Loads no weights."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import ConfigError, EnvironmentProblem, MissingExtra
from rag.fingerprint import digest, sha256_file

PATTERNS = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")
"""Files of a checkpoint that are read. Pickled weights (.bin, .pt) can run code when opened and are never read."""

_ADAPTER = "adapter_config.json"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
_PROCESSORS = ("processor_config.json", "preprocessor_config.json")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_BLOB = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint on this machine.

    folder: where the weights, or an adapter's, are. base: the folder of an adapter's base model. config: `config.json`,
    of an adapter its base's. processor: settings of the image processor. reader: the folder with both
    processor and tokenizer.
    """

    name: str
    folder: Path
    base: Path | None
    config: Mapping[str, Any]
    processor: Mapping[str, Any]
    reader: Path

    def content_hash(self) -> str:
        """Identifies every file that is read, by content. A hub cache's files are named by their hash already."""
        base = folder_hash(self.base) if self.base else None
        return digest({"checkpoint": folder_hash(self.folder), "base": base})


def folder_hash(folder: Path) -> str:
    """Identifies every file of a checkpoint's folder that is read, by content, those of its modules' folders too."""
    found = {path for pattern in PATTERNS for path in folder.rglob(pattern)}
    return digest({path.relative_to(folder).as_posix(): _file_hash(path) for path in sorted(found)})


def require_files(folder: Path, key: str, model: str, names: Sequence[str]) -> None:
    """Check that a folder has these files and safetensors weights. Raises ConfigError naming what is missing."""
    for name in names:
        if not (folder / name).is_file():
            raise _missing(key, model, folder, name)
    _check_weights(folder, key, model)


def open_checkpoint(model: str, revision: str | None = None, key: str = "visual.model") -> Checkpoint:
    """The checkpoint in a folder, or of a hub id at a revision (a branch, tag or commit; pin a commit).

    Raises:
        ConfigError: there is no such folder, or a file is missing in it; the message names the file.
        EnvironmentProblem: the hub's model is not in the cache and cannot be fetched.
    """
    folder = find_folder(model, revision, key)
    adapter = folder / _ADAPTER
    if not adapter.is_file():
        _check_weights(folder, key, model)
        return _described(model, folder, None, key)
    if not (folder / "adapter_model.safetensors").is_file():
        raise _missing(key, model, folder, "adapter_model.safetensors")
    base = _base_folder(adapter, key)
    _check_weights(base, f"the base model of {key}", str(base))
    return _described(model, folder, base, key)


def find_folder(model: str, revision: str | None, key: str) -> Path:
    """A local folder as it is; a hub id through the hub's cache, fetched when it is not there yet."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if folder.is_absolute() or not _HUB_ID.fullmatch(model) or folder.exists():
        raise ConfigError(f"{key} = {model}: there is no such folder, and it is no model id of the hub")
    return _snapshot(model, revision, key)


def _snapshot(model: str, revision: str | None, key: str) -> Path:
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise MissingExtra("models", feature=f"{key} = {model}") from error
    wanted = {"repo_id": model, "revision": revision, "allow_patterns": list(PATTERNS)}
    try:
        # First the cache alone: searching must work without a network, and not ask it each time.
        cached = Path(hub.snapshot_download(**wanted, local_files_only=True))
        if any(cached.glob("*.safetensors")) and any((cached / name).is_file() for name in ("config.json", _ADAPTER)):
            return cached
    except (OSError, ValueError):
        pass
    try:
        return Path(hub.snapshot_download(**wanted))
    except (OSError, ValueError) as error:
        at = f" --revision {revision}" if revision else ""
        raise EnvironmentProblem(
            f"{key} = {model}: there is no such folder, the hub's cache does not hold it, and it cannot be fetched "
            f"({type(error).__name__}); where there is a network, run `hf download {model}{at}`, or give a local folder"
        ) from error


def _base_folder(adapter: Path, key: str) -> Path:
    settings = read_json(adapter)
    named = str(settings.get("base_model_name_or_path") or "")
    if not named:
        raise ConfigError(f"{adapter} names no base model: base_model_name_or_path is missing")
    beside = adapter.parent / named
    revision = settings.get("revision")
    try:
        return find_folder(str(beside) if beside.is_dir() else named, revision if revision else None, key)
    except MissingExtra:
        raise
    except (ConfigError, EnvironmentProblem) as error:
        raise ConfigError(
            f"{key}: the adapter in {adapter.parent} needs its base model {named}, which is neither a folder here nor "
            f"in the hub's cache; put it there, or correct base_model_name_or_path in {_ADAPTER}"
        ) from error


def _check_weights(folder: Path, key: str, model: str) -> None:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = sorted(set(read_json(index).get("weight_map", {}).values()))
        absent = [shard for shard in shards if not (folder / shard).is_file()]
        if absent or not shards:
            raise _missing(key, model, folder, absent[0] if absent else "any weights in its index")
        return
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(path.name for pattern in _PICKLED for path in folder.glob(pattern))
    if pickled:
        raise ConfigError(
            f"{key} = {model}: {pickled[0]} holds pickled weights, which can run code when opened; "
            f"convert them to safetensors"
        )
    raise _missing(key, model, folder, "model.safetensors")


def _described(model: str, folder: Path, base: Path | None, key: str) -> Checkpoint:
    weights = base or folder
    if not (weights / "config.json").is_file():
        raise _missing(key, model, weights, "config.json")
    places = [place for place in (folder, base) if place is not None]
    reader = next((place for place in places if _has(place, _PROCESSORS) and _has(place, _TOKENIZERS)), None)
    if reader is None:
        lacking = (
            "preprocessor_config.json" if not any(_has(place, _PROCESSORS) for place in places) else _TOKENIZERS[0]
        )
        raise _missing(key, model, folder, lacking)
    return Checkpoint(model, folder, base, read_json(weights / "config.json"), _processor(reader), reader)


def _processor(folder: Path) -> dict[str, Any]:
    """Settings of the image processor, whichever file holds them; `image_seq_len` of the processor beside them."""
    merged: dict[str, Any] = {}
    for name in reversed(_PROCESSORS):
        if (folder / name).is_file():
            found = read_json(folder / name)
            merged |= {key: value for key, value in found.items() if key != "image_processor"}
            merged |= found.get("image_processor") or {}
    return merged


def _has(folder: Path, names: tuple[str, ...]) -> bool:
    return any((folder / name).is_file() for name in names)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises ConfigError naming it."""
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path} holds no JSON object")
    return loaded


def _file_hash(path: Path) -> str:
    blob = path.resolve().name
    return blob if _BLOB.fullmatch(blob) else sha256_file(path)


def _missing(key: str, model: str, folder: Path, file: str) -> ConfigError:
    return ConfigError(f"{key} = {model}: the checkpoint lacks {file} in {folder}; copy the whole checkpoint again")
