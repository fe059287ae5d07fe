"""Stable identities: content hashes, passage ids, and hashes of configurations."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from pathlib import Path

NAMESPACE = uuid.UUID("6f0d3a52-5a53-5b3e-9a3e-1543cafe1543")
_BLOCK = 1 << 20


def sha256_bytes(data: bytes) -> str:
    """Hex SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def passage_id(content: str, kind: str, locator: str) -> str:
    """The id of a passage: the same content at the same place always has the same id, in every build.

    `content` is a content hash. The encoder is not part of it: model and pooling live in the library's fingerprint.
    """
    return str(uuid.uuid5(NAMESPACE, f"{content}\x1f{kind}\x1f{locator}"))


def digest(value: Mapping[str, object]) -> str:
    """Sixteen hex digits that identify a JSON-like mapping, whatever its key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
