"""A fitted head on disk: a folder with `head.npz` (arrays, never pickled objects) and `head.json` (what they are)."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from indexers.encoders.aligned.heads import Head, Member, Tower
from indexers.encoders.aligned.terms import BUCKETS, TermSpace
from rag.errors import IndexMismatch, SourceError, UsageError
from rag.fingerprint import sha256_bytes
from rag.types import Matrix

ARRAYS, CARD = "head.npz", "head.json"
FORMAT = 1


class HeadMismatch(IndexMismatch):
    """A head was fitted on the vectors of another encoder than it is used with."""

    def __init__(self, folder: Path, field: str, *, stored: object, wanted: object) -> None:
        super().__init__(field, stored=stored, wanted=wanted)
        self.args = (
            f"the head in {folder} was fitted with {field} = {stored}, but this call has {wanted}; use the models and "
            f"settings it was fitted with, or fit a new one with `vesalius align fit`",
        )


@dataclass(frozen=True, slots=True)
class HeadCard:
    """What `head.json` says.

    encoders: fingerprints of the image and the text encoder. split: hash of the groups and folds it was judged on.
    training: hashes of the pairs it was fitted on. options: how it was trained. figures: what it reached, out of
    sample. active: whether it beat chance and the floor; an inactive head is not used for search.
    """

    encoders: Mapping[str, str]
    seed: int
    split: str
    training: tuple[str, ...]
    options: Mapping[str, float]
    figures: Mapping[str, Any]
    active: bool
    reason: str = ""
    format: int = FORMAT

    def as_json(self) -> dict[str, Any]:
        """The document, without the hash of the arrays."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True, eq=False)
class StoredHead:
    """A head, the floor fitted on the same pairs, and their card."""

    head: Head
    floor: Head
    card: HeadCard
    content: str
    """Identifies the arrays; part of the encoder's fingerprint."""


def save_head(folder: Path, head: Head, floor: Head, card: HeadCard) -> None:
    """Write a head; the card comes last, so a folder with a card is whole.

    Raises:
        UsageError: the folder cannot be written.
    """
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **_arrays("head", head), **_arrays("floor", floor))
    content = buffer.getvalue()
    document = json.dumps(card.as_json() | {"arrays_sha256": sha256_bytes(content)}, indent=2, ensure_ascii=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CARD).unlink(missing_ok=True)
        for name, data in ((ARRAYS, content), (CARD, (document + "\n").encode())):
            partial = folder / f"{name}.partial"
            partial.write_bytes(data)
            partial.replace(folder / name)
    except OSError as error:
        raise UsageError(
            f"head folder {folder} cannot be written: {error.strerror or error}; choose another"
        ) from error


def load_head(folder: Path, encoders: Mapping[str, str] | None = None) -> StoredHead:
    """Read a head. `encoders` are the fingerprints of the encoders it is to be used with; None checks nothing.

    Raises:
        UsageError: there is no head in the folder.
        SourceError: its files are damaged or of a later format.
        HeadMismatch: it was fitted with another encoder.
    """
    if not (folder / CARD).is_file():
        raise UsageError(f"there is no head in {folder}; fit one with `vesalius align fit --cases PATH --out {folder}`")
    try:
        document = json.loads((folder / CARD).read_text(encoding="utf-8"))
        card = _card(document)
        content = (folder / ARRAYS).read_bytes()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder, str(error)) from error
    for side, wanted in (encoders or {}).items():
        if card.encoders.get(side) != wanted:
            raise HeadMismatch(folder, f"{side} encoder", stored=card.encoders.get(side), wanted=wanted)
    if sha256_bytes(content) != document["arrays_sha256"]:
        raise _damaged(folder, f"{ARRAYS} is not the file that {CARD} names")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            head, floor = _head("head", arrays), _head("floor", arrays)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(folder, str(error)) from error
    return StoredHead(head, floor, card, document["arrays_sha256"][:16])


def _damaged(folder: Path, why: str) -> SourceError:
    return SourceError(f"the head in {folder} cannot be read: {why}; fit it again with `vesalius align fit`")


def _card(document: Mapping[str, Any]) -> HeadCard:
    if document["format"] != FORMAT:
        raise ValueError(f"it has format {document['format']}, this version reads {FORMAT}")
    return HeadCard(
        encoders=dict(document["encoders"]),
        seed=int(document["seed"]),
        split=str(document["split"]),
        training=tuple(document["training"]),
        options=dict(document["options"]),
        figures=dict(document["figures"]),
        active=document["active"] is True,
        reason=str(document["reason"]),
    )


_TOWER = tuple(field.name for field in fields(Tower))


def _arrays(name: str, head: Head) -> dict[str, Matrix]:
    found = {f"{name}.weights": head.terms.weights, f"{name}.basis": head.terms.basis, f"{name}.looks": head.looks}
    for number, member in enumerate(head.members):
        for side, tower in (("image", member.image), ("text", member.text)):
            found |= {f"{name}.{number}.{side}.{part}": getattr(tower, part) for part in _TOWER}
    return found


def _head(name: str, arrays: Mapping[str, Any]) -> Head:
    members = tuple(
        Member(_tower(f"{name}.{number}.image", arrays), _tower(f"{name}.{number}.text", arrays))
        for number in _numbers(name, arrays)
    )
    terms = TermSpace(_array(arrays, f"{name}.weights"), _array(arrays, f"{name}.basis"))
    if not members or len(terms.weights) != BUCKETS:
        raise ValueError("it has no towers, or n-grams of another version")
    return Head(terms, members, _array(arrays, f"{name}.looks"))


def _numbers(name: str, arrays: Mapping[str, Any]) -> Iterator[int]:
    number = 0
    while f"{name}.{number}.image.prepare" in arrays:
        yield number
        number += 1


def _tower(prefix: str, arrays: Mapping[str, Any]) -> Tower:
    return Tower(*(_array(arrays, f"{prefix}.{part}") for part in _TOWER))


def _array(arrays: Mapping[str, Any], name: str) -> Matrix:
    array: Matrix = np.asarray(arrays[name])
    if array.dtype != np.float32 or not np.isfinite(array).all():
        raise ValueError(f"array {name} is not finite 32-bit numbers")
    return array
