"""What a safetensors file says about its tensors, read from its first bytes alone.

Format: an unsigned 64-bit length, little endian, then that many bytes of JSON (https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

from rag.errors import ConfigError

_LARGEST_HEADER = 100_000_000
_PREFIXES = ("", "base_model.model.", "model.")


def tensor_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a file's tensors. Raises ConfigError when it is cut off or no safetensors file."""
    try:
        shapes, size = _header(file)
        whole = file.stat().st_size >= size
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"the weights {file} cannot be read: {error}; copy the file again") from error
    if not whole:
        raise ConfigError(f"the weights {file} are cut off: {size} bytes are announced; copy the file again")
    return shapes


def _header(file: Path) -> tuple[dict[str, tuple[int, ...]], int]:
    """The shapes by name, and how many bytes the whole file must have."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(min(length, _LARGEST_HEADER)))
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    data = max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
    return {name: tuple(entry["shape"]) for name, entry in entries.items()}, 8 + length + data


def projection_rows(folder: Path, name: str) -> int | None:
    """Dimensions that the layer `name` of a folder's weights projects to; None when no file has that layer."""
    wanted = {f"{prefix}{name}.weight" for prefix in _PREFIXES}
    for file in sorted(folder.glob("*.safetensors")):
        for tensor, shape in tensor_shapes(file).items():
            if tensor in wanted and len(shape) == 2:
                return shape[0]
    return None
