"""Prototypes as a file of a library: `domains.npz`, numbers only, written whole or not at all."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from indexers.domains.prototypes import DomainPrototypes, KnownScore
from indexers.manifest import write_atomic
from rag.domains.names import DOMAINS
from rag.errors import IndexMismatch, StoreError, VesaliusError

FILE = "domains.npz"
_REMEDY = "remove it; the next `vesalius index build` or `index add` fits the domains again"


class DomainsMismatch(IndexMismatch):
    """The prototypes in a library's folder were fitted on vectors of another encoder than the library's."""

    def __init__(self, folder: Path, *, stored: str, wanted: str) -> None:
        VesaliusError.__init__(
            self,
            f"{folder / FILE} was fitted on vectors of encoder {stored or '(unnamed)'}, but this library's images have "
            f"those of {wanted}; {_REMEDY}",
        )
        self.field, self.stored, self.wanted = "domains", stored, wanted


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
        found = _read(path.read_bytes())
        _check(found)
    except (
        OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, MemoryError, OverflowError, RuntimeError,
        zipfile.BadZipFile, zlib.error, struct.error,
    ) as error:  # fmt: skip
        # What zip files, numpy and our own reading raise on files that are damaged, or of somebody else.
        raise StoreError(f"{path} cannot be read ({error or type(error).__name__}); {_REMEDY}") from error
    if found.encoder != encoder:
        raise DomainsMismatch(folder, stored=found.encoder, wanted=encoder)
    return found


def _read(data: bytes) -> DomainPrototypes:
    # Said here, because numpy's own message advises to load what is no archive as pickled objects.
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise ValueError("it is no archive of arrays")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        facts = json.loads(arrays["facts"].tobytes())
        weights, metric = arrays["weights"].astype(np.float32), arrays["metric"].astype(np.float32)
    counts = {str(domain): int(count) for domain, count in facts["counts"].items()}
    known = None if facts["known"] is None else KnownScore(*map(float, facts["known"]))
    return DomainPrototypes(
        tuple(facts["labels"]), tuple(facts["domains"]), weights, metric, float(facts["temperature"]), known,
        float(facts["unknown_at"]), str(facts["encoder"]), counts,
    )  # fmt: skip


def _check(found: DomainPrototypes) -> None:
    """Raise ValueError unless the numbers fit together."""
    shape, wanted = found.weights.shape, (found.metric.size + 1, len(found.labels))
    if found.metric.ndim != 1 or shape != wanted or len(found.domains) != len(found.labels) or not found.labels:
        raise ValueError(f"weights of shape {shape} where {wanted} is needed")
    if not set(found.domains) <= set(DOMAINS):
        raise ValueError(f"unknown domains {sorted(set(found.domains) - set(DOMAINS))}")
    numbers = [found.temperature, found.unknown_at, *([found.known.centre, found.known.scale] if found.known else [])]
    if not (np.isfinite(found.weights).all() and np.isfinite(found.metric).all() and np.isfinite(numbers).all()):
        raise ValueError("it holds numbers that are not finite")
    if found.temperature <= 0 or (found.known is not None and found.known.scale <= 0):
        raise ValueError("its temperature or scale is not positive")
