"""Tensors in safetensors files, written whole or not at all; nothing in them is code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from indexers.encoders.visual.torch_library import Tensor, load_library
from rag.errors import EnvironmentProblem

Tensors = Mapping[str, Tensor]
_FEATURE = "fine-tuning"


def write_tensors(path: Path, tensors: Tensors, notes: Mapping[str, str]) -> None:
    """Write tensors with notes; a reader or a crash sees the old file or the new one.

    Raises:
        EnvironmentProblem: the disk is full or the folder cannot be written.
    """
    library = load_library("safetensors.torch", _FEATURE)
    damaged = load_library("safetensors", _FEATURE).SafetensorError
    own = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        library.save_file(own, str(partial), metadata=dict(notes))
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
    except (OSError, damaged) as error:
        partial.unlink(missing_ok=True)
        raise EnvironmentProblem(f"{path} cannot be written: {error}; free some space and run again") from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """Tensors and notes of a file; None when it is absent or damaged."""
    library = load_library("safetensors", _FEATURE)
    try:
        with library.safe_open(str(path), framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}, dict(opened.metadata() or {})  # noqa: SIM118
    except (OSError, library.SafetensorError):
        return None
