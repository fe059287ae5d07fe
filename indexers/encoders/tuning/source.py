"""The open_clip checkpoint that a fine-tuning starts from, and the folder it ends in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexers.encoders.clip.libraries import OpenClipDual
from indexers.encoders.tuning.tensors import Tensors, write_tensors
from indexers.encoders.visual.checkpoint import find_folder, folder_hash, read_json, require_files
from indexers.encoders.visual.torch_library import load_library
from rag.errors import ConfigError
from rag.fingerprint import digest, sha256_file

KEY = "--model"
CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
_WORDS = ("tokenizer*", "vocab*", "merges*", "special_tokens_map.json", "added_tokens.json", "config.json")
"""Files of a tokenizer, and of the text tower that open_clip builds by its configuration."""


@dataclass(frozen=True, slots=True)
class TuningSource:
    """A checkpoint to start from.

    name: as the user named it, a folder by its absolute path. config: what open_clip_config.json says. folder: where
    tokenizer files are, None for an architecture of open_clip's list. content: identifies weights and configuration.
    """

    name: str
    library: OpenClipDual
    config: Mapping[str, Any]
    folder: Path | None
    content: str


def open_source(model: str) -> TuningSource:
    """A folder or hub id with open_clip_config.json, or ARCHITECTURE/FILE.safetensors. Loads no weights.

    Raises:
        ConfigError: there is no such checkpoint, it is incomplete, or it is not one of open_clip.
        EnvironmentProblem: a hub model is not in the cache and cannot be fetched.
        MissingExtra: the extra `models` is not installed.
    """
    architecture, slash, rest = model.partition("/")
    file = Path(rest).expanduser()
    if slash and architecture and not Path(model).expanduser().exists() and file.is_file():
        return _architecture(architecture, file)
    folder = find_folder(model, None, KEY)
    if not (folder / CONFIG).is_file():
        raise ConfigError(f"{KEY} {model}: no checkpoint of open_clip, {CONFIG} is not there; only those can be tuned")
    require_files(folder, KEY, model, [CONFIG])
    config = read_json(folder / CONFIG)
    if not isinstance(config.get("model_cfg"), dict):
        raise ConfigError(f"{KEY} {model}: {CONFIG} has no model_cfg; copy the whole checkpoint again")
    library = OpenClipDual(f"local-dir:{folder}", None, _pictures(config))
    return TuningSource(str(folder), library, config, folder, folder_hash(folder))


def _architecture(name: str, file: Path) -> TuningSource:
    if file.suffix != ".safetensors":
        raise ConfigError(f"{KEY}: {file} is no safetensors file; pickled weights can run code when opened")
    library = load_library("open_clip", "fine-tuning")
    if name not in library.list_models():
        raise ConfigError(f"{KEY}: open_clip knows no architecture {name}; see open_clip.list_models()")
    config = {"model_cfg": library.get_model_config(name), "preprocess_cfg": {}}
    content = digest({"architecture": config, "weights": sha256_file(file)})
    dual = OpenClipDual(name, file.resolve(), _pictures(config))
    return TuningSource(f"{name}/{file.resolve()}", dual, config, None, content)


def _pictures(config: Mapping[str, Any]) -> dict[str, Any]:
    size = config["model_cfg"].get("vision_cfg", {}).get("image_size")
    return ({"size": size} if size else {}) | dict(config.get("preprocess_cfg") or {})


def write_checkpoint(source: TuningSource, weights: Tensors, folder: Path) -> None:
    """Write a folder as open_clip publishes it; the weights come last, so a folder with weights is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).unlink(missing_ok=True)
    if source.folder is not None:
        for path in sorted({path for pattern in _WORDS for path in source.folder.glob(pattern)}):
            shutil.copyfile(path, folder / path.name)
    (folder / CONFIG).write_text(json.dumps(source.config, indent=2) + "\n", encoding="utf-8")
    write_tensors(folder / WEIGHTS, weights, {"format": "pt"})
