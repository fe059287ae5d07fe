"""What a dual encoder's own files say about how it reads images and texts. Loads no library and no weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexers.encoders.visual.checkpoint import read_json

_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""CLIP's own, which open_clip takes for a model that names none: https://github.com/openai/CLIP, clip/clip.py."""
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
_SIDE = 224
_TOKENS: Mapping[str, int] = {"clip": 77, "siglip": 64, "siglip2": 64}
"""What transformers takes for a text tower whose configuration names no length."""


@dataclass(frozen=True, slots=True)
class DualShape:
    """What a dual encoder gives and reads.

    dim: numbers of a vector. image_size: pixels of an image's side as the model sees it. context_length: tokens of a
    text. mean, std: red, green and blue in [0, 1] become (value - mean) / std. None: the files do not say.
    """

    dim: int
    image_size: int | None = None
    context_length: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def transformers_shape(folder: Path, config: Mapping[str, Any], dim: int) -> DualShape:
    """The shape of a CLIP or SigLIP of transformers, or of sentence-transformers, which saves the same files."""
    pictures = _pictures(folder)
    size = pictures.get("crop_size") or pictures.get("size") or (config.get("vision_config") or {}).get("image_size")
    tokens = (config.get("text_config") or {}).get("max_position_embeddings", _TOKENS.get(str(config["model_type"])))
    return DualShape(
        dim, _side(size), tokens, _numbers(pictures.get("image_mean")), _numbers(pictures.get("image_std"))
    )


def open_clip_shape(model: Mapping[str, Any], pictures: Mapping[str, Any]) -> DualShape:
    """The shape of an open_clip model by its configuration and its preprocessing settings."""
    tokens = int((model.get("text_cfg") or {}).get("context_length", _TOKENS["clip"]))
    mean, std = _numbers(pictures.get("mean")) or _CLIP_MEAN, _numbers(pictures.get("std")) or _CLIP_STD
    return DualShape(int(model["embed_dim"]), _side(pictures.get("size", _SIDE)), tokens, mean, std)


def _pictures(folder: Path) -> dict[str, Any]:
    """Settings of the image processor, in whichever file they stand."""
    found: dict[str, Any] = {}
    for path in (folder / name for name in _PROCESSORS):
        if path.is_file():
            settings = read_json(path)
            found |= settings.get("image_processor") or settings
    return found


def _side(size: object) -> int | None:
    """The one side of a square: a number, a pair of equal ones, or transformers' mapping. None for anything else."""
    if isinstance(size, Mapping):
        given: list[object] = [size.get(key) for key in ("height", "width", "shortest_edge")]
    else:
        given = list(size) if isinstance(size, list | tuple) else [size]
    sides = {value for value in given if isinstance(value, int)}
    return sides.pop() if len(sides) == 1 else None


def _numbers(values: object) -> tuple[float, ...] | None:
    return tuple(float(value) for value in values) if isinstance(values, list | tuple) and values else None
