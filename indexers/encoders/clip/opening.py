"""Opening the dual encoder that the options name, without loading torch or weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from indexers.devices import DeviceEncoder
from indexers.encoders.clip.catalogue import catalogue, require_known
from indexers.encoders.clip.dual import DualEncoder
from indexers.encoders.clip.libraries import DualLibrary, OpenClipDual, SentenceDual, TransformersDual
from indexers.encoders.clip.options import ClipLibraryName, ClipOptions
from indexers.encoders.clip.shape import open_clip_shape, transformers_shape
from indexers.encoders.visual.checkpoint import find_folder, folder_hash, read_json, require_files
from indexers.encoders.visual.torch_library import load_library
from rag.errors import ConfigError, EnvironmentProblem, MissingExtra
from rag.fingerprint import digest, sha256_file

_OPEN_CLIP = "open_clip_config.json"
_MODULES = "modules.json"


_NO_FOLDERS: Mapping[str, Path] = MappingProxyType({})


def open_clip_encoder(options: ClipOptions, local: Mapping[str, Path] = _NO_FOLDERS) -> DeviceEncoder:
    """The encoder for these options. Cheap for folders: reads configuration files only.

    `local` maps names of the catalogue to folders of the user's own.

    Raises:
        ConfigError: the checkpoint is incomplete, of no known kind, not of the wanted library, or not what its entry of
            the catalogue says.
        EnvironmentProblem: a hub model is not in the cache and cannot be fetched.
    """
    entry = catalogue().get(options.model)
    if entry is None:
        require_known(options)
        return _opened(options)
    resolved = entry.resolve(options, local)
    try:
        encoder = _opened(resolved)
    except MissingExtra:
        raise
    except (ConfigError, EnvironmentProblem) as error:
        raise type(error)(f"{error}. {entry.name}: {entry.note}") from error
    entry.require(encoder.shape, resolved)
    return encoder


def _opened(options: ClipOptions) -> DualEncoder:
    split = _architecture(options)
    if split is not None:
        return _from_architecture(*split, options)
    folder = find_folder(options.model, options.revision, options.key)
    name = detect_library(folder, options)
    if name == "open_clip":
        require_files(folder, options.key, options.model, [_OPEN_CLIP])
        config = read_json(folder / _OPEN_CLIP)
        pictures = _pictures(config)
        library: DualLibrary = OpenClipDual(f"local-dir:{folder}", None, pictures)
        return DualEncoder(library, open_clip_shape(config["model_cfg"], pictures), folder_hash(folder), options)
    require_files(folder, options.key, options.model, ["config.json"])
    config = read_json(folder / "config.json")
    shape = transformers_shape(folder, config, dual_dimensions(config, options.model, options.key))
    library = SentenceDual(folder) if name == "sentence-transformers" else TransformersDual(folder, shape)
    return DualEncoder(library, shape, folder_hash(folder), options)


def detect_library(folder: Path, options: ClipOptions) -> ClipLibraryName:
    """Which library a folder is for, by the files in it. Raises ConfigError when the wanted one cannot load it."""
    if options.library != "auto":
        return options.library
    if (folder / _OPEN_CLIP).is_file():
        return "open_clip"
    return "sentence-transformers" if (folder / _MODULES).is_file() else "transformers"


def dual_dimensions(config: Mapping[str, Any], name: str, key: str = "clip.model") -> int:
    """Dimensions of a vector by `config.json`: CLIP's projection, SigLIP's width.

    Raises:
        ConfigError: the model is neither CLIP nor SigLIP.
    """
    kind = str(config.get("model_type", ""))
    if kind == "clip":
        return int(config.get("projection_dim", 512))
    if kind in ("siglip", "siglip2"):
        text = config.get("text_config") or {}
        return int(text.get("projection_size") or text.get("hidden_size") or 768)
    raise ConfigError(
        f"{key} {name}: its config.json says model_type {kind!r}; known are clip, siglip and siglip2, "
        f"and folders of open_clip with {_OPEN_CLIP}"
    )


def _pictures(config: Mapping[str, Any]) -> dict[str, Any]:
    """How open_clip scales an image: its preprocessing settings over the model's picture size."""
    size = config["model_cfg"].get("vision_cfg", {}).get("image_size")
    return ({"size": size} if size else {}) | dict(config.get("preprocess_cfg") or {})


def _architecture(options: ClipOptions) -> tuple[str, Path] | None:
    """ARCHITECTURE and file of an open_clip model named that way; a folder or hub id is none."""
    name, slash, rest = options.model.partition("/")
    file = Path(rest).expanduser()
    if not slash or options.library not in ("auto", "open_clip") or not name or not file.is_file():
        return None
    return name, file


def _from_architecture(name: str, file: Path, options: ClipOptions) -> DualEncoder:
    if file.suffix != ".safetensors":
        raise ConfigError(f"{options.key}: {file} is no safetensors file; pickled weights can run code when opened")
    library = load_library("open_clip", "encoding images and captions")
    if name not in library.list_models():
        raise ConfigError(f"{options.key}: open_clip knows no architecture {name}; see open_clip.list_models()")
    config = library.get_model_config(name)
    content = digest({"architecture": config, "weights": sha256_file(file)})
    pictures = _pictures({"model_cfg": config})
    return DualEncoder(OpenClipDual(name, file, pictures), open_clip_shape(config, pictures), content, options)
