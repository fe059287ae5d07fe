"""Identities of what a stage reads: questions with the content of their images, and libraries with their content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from eval.datasets import QueryItem
from indexers.domains.library import FILE as DOMAINS
from pipelines.calibration import FILE as CALIBRATION
from pipelines.fitted import GRAPH
from pipelines.library import Library
from rag.errors import QueryError
from rag.fingerprint import sha256_file
from rag.types import KINDS, Kind, Query


@dataclass(frozen=True, slots=True)
class LibraryState:
    """What a library holds: digests of the passages of each kind and of what was fitted on them, if it was.

    The ids of passages are made of their content, so digests of ids change with it.
    """

    fingerprint: str
    kinds: Mapping[Kind, str]
    domains: str | None
    calibration: str | None
    graph: str | None

    def of(self, kinds: Sequence[Kind]) -> dict[str, str]:
        """The digests of some kinds."""
        return {kind: self.kinds[kind] for kind in KINDS if kind in kinds}


def library_state(library: Library) -> LibraryState:
    """The state of an open library. Reads every id, and the fitted files."""
    folder = library.folder
    graph = sorted(path for path in (folder / GRAPH).rglob("*") if path.is_file())
    return LibraryState(
        library.manifest.fingerprint,
        {kind: _ids_digest(library, kind) for kind in KINDS},
        _file_digest(folder / DOMAINS),
        _file_digest(folder / CALIBRATION),
        _joined(f"{path.name}:{sha256_file(path)}" for path in graph) if graph else None,
    )


def searched(query: Query) -> dict[str, Any]:
    """What a search reads of a query: words, images by content, filters and domain; not its id or its options."""
    return {
        "text": query.text,
        "images": image_digests(query.images),
        "filters": {key: sorted(values) for key, values in sorted(query.filters.items())},
        "domain": query.domain,
    }


def encoded(query: Query) -> dict[str, Any]:
    """What an encoder reads of a query."""
    return {"text": query.text, "images": image_digests(query.images)}


def asked(query: Query) -> dict[str, Any]:
    """All of a query but its id: what an answer depends on."""
    return {
        **searched(query),
        "options": list(query.options),
        "prior_images": image_digests(query.prior_images),
        "patient": query.patient,
        "before_day": query.before_day,
        "region": query.region,
    }


def judged(item: QueryItem) -> dict[str, Any]:
    """What judging a ranking reads of a row beside the query."""
    units = {
        name: sorted(map(list, getattr(item, name))) for name in ("gold", "gold_strict", "gold_relaxed", "exclude")
    }
    return {**units, "study": item.study, "patient": item.query.patient}


def image_digests(images: Sequence[Path]) -> list[str]:
    """The content of each image. Raises QueryError when one cannot be read."""
    return [_image_digest(path) for path in images]


def _image_digest(path: Path) -> str:
    try:
        status = path.stat()
        return _read_digest(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise QueryError(f"the image {path} cannot be read: {error.strerror or error}") from error


@lru_cache(maxsize=65_536)
def _read_digest(path: Path, changed: int, size: int) -> str:  # noqa: ARG001 - a changed file is read again
    return sha256_file(path)[:32]


def _ids_digest(library: Library, kind: Kind) -> str:
    return _joined(library.store.ids(kind)) if kind in library.store.specs else "absent"


def _file_digest(path: Path) -> str | None:
    return sha256_file(path)[:32] if path.is_file() else None


def _joined(parts: Iterable[str]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(f"{part}\n".encode())
    return found.hexdigest()[:32]
