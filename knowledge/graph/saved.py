"""A graph in a folder: one .npy file per array, memory-mapped when opened, and a header that says what belongs to it.

`header.json` names the folder of the arrays after the digest of their content. A save writes a new folder, moves it
into place and then replaces the header, so a reader finds the old graph or the new one, whenever the writer stops.
Nothing is pickled. The same content gives the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from knowledge.graph.tables import Tables
from rag.errors import StoreError

VERSION = 1
HEADER = "header.json"

_BLOCK = 1 << 20
_DIGEST_LETTERS = 32
_PARTIAL = ".partial-"
_OURS = re.compile(rf"[0-9a-f]{{{_DIGEST_LETTERS}}}|{re.escape(_PARTIAL)}.*")
_NAMES = tuple(field.name for field in fields(Tables))


def save_tables(tables: Tables, folder: Path) -> str:
    """Write the arrays and then the header; returns the digest of the content.

    Raises:
        StoreError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=_PARTIAL) as made:
            new = Path(made) / "arrays"
            new.mkdir()
            sums = {name: _write(new / f"{name}.npy", getattr(tables, name)) for name in _NAMES}
            digest = hashlib.sha256("".join(sums[name]["sha256"] for name in _NAMES).encode()).hexdigest()
            header = {"version": VERSION, "digest": digest, "counts": _counts(tables), "arrays": sums}
            _place(new, folder / digest[:_DIGEST_LETTERS], header)
            _replace_header(folder, header)
    except OSError as error:
        raise StoreError(
            f"cannot save the graph to {folder}: {error}; free some space or choose another folder"
        ) from error
    for other in folder.iterdir():
        # Only what a save made: the folder may hold other things of the user.
        if _OURS.fullmatch(other.name) and other.name != digest[:_DIGEST_LETTERS]:
            shutil.rmtree(other, ignore_errors=True)
    return digest


def open_tables(folder: Path) -> Tables:
    """The arrays of a saved graph, memory-mapped, after their checksums were compared.

    Raises:
        StoreError: there is no graph in the folder, or it is damaged or of another version.
    """
    header = read_header(folder)
    arrays = folder / str(header["digest"])[:_DIGEST_LETTERS]
    _check(arrays, header)
    return Tables(**{name: _mapped(arrays / f"{name}.npy") for name in _NAMES})


def read_header(folder: Path) -> Mapping[str, Any]:
    """The header of a saved graph: version, digest, counts, and the size and checksum of each array.

    Raises:
        StoreError: there is none, or it cannot be read, or it is of another version.
    """
    path = folder / HEADER
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        version, arrays, digest = header["version"], header["arrays"], header["digest"]
        named = isinstance(digest, str) and _OURS.fullmatch(digest[:_DIGEST_LETTERS])
        complete = named and all({"bytes", "crc32"} <= set(arrays[name]) for name in _NAMES)
    except FileNotFoundError as error:
        raise StoreError(f"there is no graph in {folder}; build the library with --facts to make one") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f"it cannot be read ({error})") from error
    if version != VERSION:
        raise StoreError(
            f"the graph in {folder} has version {version} and this program reads version {VERSION}; build it again"
        )
    if not complete:
        raise _damaged(path, "it does not list every array")
    return header  # type: ignore[no-any-return]


def _write(path: Path, values: npt.NDArray[Any]) -> dict[str, Any]:
    """Write one array to the disk; returns its size and checksums."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(values), version=(1, 0), allow_pickle=False)
    data = buffer.getbuffer()
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    return {"bytes": len(data), "crc32": zlib.crc32(data), "sha256": hashlib.sha256(data).hexdigest()}


def _mapped(path: Path) -> npt.NDArray[Any]:
    """The array of a file, as a plain array over mapped memory: indexing an np.memmap takes several times as long."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)  # type: ignore[no-any-return]
    except (OSError, ValueError) as error:
        raise _damaged(path, f"it is no array ({error})") from error


def _place(new: Path, final: Path, header: Mapping[str, Any]) -> None:
    """Move the arrays to their folder. The same content that is there already and is whole stays."""
    if final.exists():
        with contextlib.suppress(StoreError):
            return _check(final, header)
        final.rename(new.with_name("damaged"))
    new.rename(final)
    return None


def _replace_header(folder: Path, header: Mapping[str, Any]) -> None:
    partial = folder / f".{HEADER}.partial"
    with partial.open("w", encoding="utf-8") as stream:
        json.dump(header, stream, indent=1, sort_keys=True)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(folder / HEADER)


def _check(arrays: Path, header: Mapping[str, Any]) -> None:
    """Compare every array with the header, reading in blocks so that nothing stays in memory.

    Raises:
        StoreError: one is missing or altered.
    """
    for name in _NAMES:
        path, expected = arrays / f"{name}.npy", header["arrays"][name]
        try:
            if path.stat().st_size != expected["bytes"]:
                raise _damaged(path, f"it has {path.stat().st_size} bytes instead of {expected['bytes']}")
            found = 0
            with path.open("rb") as stream:
                while block := stream.read(_BLOCK):
                    found = zlib.crc32(block, found)
        except OSError as error:
            raise _damaged(path, f"it cannot be read ({error})") from error
        if found != expected["crc32"]:
            raise _damaged(path, "its checksum is wrong")


def _damaged(path: Path, problem: str) -> StoreError:
    return StoreError(f"the saved graph is damaged: {path}: {problem}; build the graph again or copy it from a backup")


def _counts(tables: Tables) -> dict[str, int]:
    return {"concepts": len(tables.concept), "triples": len(tables.head), "supports": len(tables.tier)}
