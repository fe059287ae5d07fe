"""DICOM files that a question brings along: pictures that every encoder reads, and tags that name nobody."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from indexers.sources.dicom_header import Header, read_header
from indexers.sources.dicom_pixels import frame_pictures
from indexers.sources.dicom_privacy import quarantine_reason
from indexers.sources.images import looks_dicom
from rag.errors import QueryError, SourceError
from rag.types import Query

SIDE = 2048
"""Longest side of a picture in pixels, as for indexed files."""
TAGS = ("Modality", "BodyPartExamined", "ViewPosition")
"""The tags of the header that go along; the rest of it stays in the file."""


class QueryPictures:
    """Makes the pictures of DICOM query images, each file once, in a folder that goes when this object does.

    burned_in: whether pictures that may show the patient's name in their pixels are refused or let in, as for indexed
    files (`cases.burned_in`): a question may be sent to a model's server.
    """

    def __init__(self, burned_in: Literal["quarantine", "allow"] = "quarantine") -> None:
        self._burned_in = burned_in
        self._folder: Path | None = None
        self._remove: Callable[[], object] = _nothing
        self._made: dict[tuple[Path, int], tuple[Path, dict[str, str]]] = {}

    def readable(self, query: Query) -> Query:
        """The query with a picture for each DICOM file, and the tags of its first; itself when it has none.

        Of several frames the middle one is taken.

        Raises:
            QueryError: a DICOM file has no picture, is damaged, or may show who the patient is; names the file.
        """
        if not any(path.is_file() and looks_dicom(path) for path in (*query.images, *query.prior_images)):
            return query
        now, before = (tuple(map(self._opened, paths)) for paths in (query.images, query.prior_images))
        tags = query.tags or next((tags for _, tags in now if tags), {})
        return replace(
            query, images=tuple(path for path, _ in now), prior_images=tuple(path for path, _ in before), tags=tags
        )

    def close(self) -> None:
        """Delete the pictures."""
        self._remove()
        self._folder, self._made = None, {}

    def _opened(self, path: Path) -> tuple[Path, dict[str, str]]:
        if not (path.is_file() and looks_dicom(path)):
            return path, {}
        key = (path.absolute(), path.stat().st_mtime_ns)
        if key not in self._made:
            try:
                self._made[key] = self._picture(path)
            except SourceError as error:
                raise QueryError(f"image {path.name} cannot be asked about: {error.reason}") from error
        return self._made[key]

    def _picture(self, path: Path) -> tuple[Path, dict[str, str]]:
        header = read_header(path)
        reason = quarantine_reason(header.texts) if self._burned_in == "quarantine" else ""
        if reason:
            raise SourceError(
                f"{reason}; look at it, then set cases.burned_in=allow or give a cleaned picture", stage="image"
            )
        (picture,) = frame_pictures(path, header, 1, SIDE)
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="vesalius-"))
            self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        target = self._folder / f"picture-{len(self._made) + 1}.png"
        target.write_bytes(picture)
        return target, _tags(header)


def _nothing() -> None:
    """There is no folder yet."""


def _tags(header: Header) -> dict[str, str]:
    return {keyword: text for keyword in TAGS if (text := header.text(keyword).strip())}
