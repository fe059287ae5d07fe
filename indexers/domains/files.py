"""Prototypes as a file of a library: `domains.npz`, numbers only, written whole or not at all."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np

from indexers.domains.prototypes import DomainPrototypes, KnownScore
from indexers.manifest import write_atomic
from rag.errors import IndexMismatch, StoreError

FILE = "domains.npz"


def save_prototypes(folder: Path, prototypes: DomainPrototypes) -> Path:
    """Write them into a library's folder, in place of older ones."""
    known = prototypes.known
    facts = {
        "labels": prototypes.labels,
        "domains": prototypes.domains,
        "temperature": prototypes.temperature,
        "known": None if known is None else [known.centre, known.scale],
        "unknown_at": prototypes.unknown_at,
        "encoder": prototypes.encoder,
        "counts": dict(prototypes.counts),
    }
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    np.savez(buffer, facts=text, weights=prototypes.weights, metric=prototypes.metric, allow_pickle=False)
    path = folder / FILE
    write_atomic(path, buffer.getvalue())
    return path


def load_prototypes(folder: Path, encoder: str) -> DomainPrototypes | None:
    """The prototypes of a library's folder; None when none were fitted.

    Raises:
        IndexMismatch: they were fitted on vectors of another encoder.
        StoreError: the file cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            facts = json.loads(arrays["facts"].tobytes())
            weights, metric = arrays["weights"].astype(np.float32), arrays["metric"].astype(np.float32)
        known = None if facts["known"] is None else KnownScore(*map(float, facts["known"]))
        found = DomainPrototypes(
            tuple(facts["labels"]), tuple(facts["domains"]), weights, metric, float(facts["temperature"]), known,
            float(facts["unknown_at"]), str(facts["encoder"]), facts["counts"],
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise StoreError(
            f"{path} cannot be read ({error}); remove it, the next build fits the domains again"
        ) from error
    if found.encoder != encoder:
        raise IndexMismatch("the encoder of domains.npz", stored=found.encoder, wanted=encoder)
    return found
