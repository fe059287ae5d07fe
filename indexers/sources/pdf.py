"""Books as PDF: one unit per page, with the page's text, word boxes, image and figures."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from indexers.sources.ocr import PageOcr
from indexers.sources.pdf_faults import PdfFault
from indexers.sources.pdf_process import PdfLimits
from indexers.sources.pdf_session import PageReply, PdfSession
from indexers.sources.perceptual import with_image_keys
from rag.errors import SourceError
from rag.fingerprint import passage_id, sha256_file
from rag.types import Box, Document, Layout, PageLocator, Passage, Skipped, Unit

_HEAD_BYTES = 1024
_JPEG = b"\xff\xd8"


@dataclass(frozen=True, slots=True)
class PdfOptions:
    """How PDFs are read.

    `dpi` is the resolution of page images, `scan_dpi` that of pages without a text layer when their text is
    recognised; `ocr` recognises it and needs the `ocr` extra.
    """

    dpi: float = 110.0
    scan_dpi: float = 200.0
    ocr: bool = False
    limits: PdfLimits = field(default_factory=PdfLimits)


class PdfParser:
    """Parses PDF files through a confined child process; page images and figure crops go under `image_folder`."""

    def __init__(self, image_folder: Path, options: PdfOptions | None = None) -> None:
        self._images = image_folder.absolute()
        self._options = options or PdfOptions()
        self._ocr = PageOcr() if self._options.ocr else None
        # The child that opened a document goes on to read it: starting one takes 0.4 s, as long as ten pages.
        self._kept: list[PdfSession] = []
        weakref.finalize(self, _end, self._kept)

    def open(self, path: Path) -> Document:
        _check_form(path)
        session = self._session(path)
        _end(self._kept)
        self._kept.append(session)
        return Document(path.stem, path, sha256_file(path), "pages", session.open())

    def parse(self, document: Document, done: Container[str]) -> Iterator[Unit]:
        keys = {page: unit_key(document.sha256, page) for page in range(1, document.units + 1)}
        missing = [page for page, key in keys.items() if key not in done]
        if not missing:
            return
        with self._taken(document.path) as session:
            for reply in session.pages(missing):
                yield self._unit(document, keys[reply.number], reply)

    def _session(self, path: Path) -> PdfSession:
        scan_dpi = self._options.scan_dpi if self._ocr else self._options.dpi
        return PdfSession(path, self._options.limits, self._options.dpi, scan_dpi)

    def _taken(self, path: Path) -> PdfSession:
        if self._kept and self._kept[0].path == path:
            return self._kept.pop()
        return self._session(path)

    def _unit(self, document: Document, key: str, reply: PageReply) -> Unit:
        skipped: list[Skipped] = []
        passages: tuple[Passage, ...] = ()
        where = (str(document.path), f"page {reply.number}")
        if reply.reason:
            skipped.append(Skipped(*where, reply.stage, reply.reason))
        if reply.header is not None:
            try:
                header = self._recognised(reply.header, reply.blobs)
                passages = self._passages(document, reply, header)
            except (KeyError, TypeError, ValueError) as error:
                # The reply comes from a process that reads hostile files; it may say anything.
                skipped.append(Skipped(*where, "parse", PdfFault.BAD_REPLY.because(str(error))))
            except SourceError as error:
                skipped.append(Skipped(*where, error.stage, error.reason))
                passages = self._passages(document, reply, reply.header)
        return Unit(key, passages, tuple(skipped))

    def _recognised(self, header: dict[str, Any], blobs: tuple[bytes, ...]) -> dict[str, Any]:
        """The page with its text read from its image when it has no text layer."""
        if self._ocr is None or header["text"] or not blobs:
            return header
        text, boxes = self._ocr.read(_checked(blobs)[0], header["size"])
        return {**header, "text": text, "boxes": boxes}

    def _passages(self, document: Document, reply: PageReply, header: dict[str, Any]) -> tuple[Passage, ...]:
        stem = self._images / document.sha256[:16] / f"p{reply.number:05d}"
        pictures = _checked(reply.blobs)
        image = (_saved(stem.with_suffix(".jpg"), pictures[0]),) if pictures else ()
        page_id = passage_id(document.sha256, "page", f"p{reply.number}")
        made = [_passage(document, reply.number, header, image, "page")]
        crops = iter(pictures[1:])
        mentions = dict(enumerate(reply.mentions, start=1))
        for i, figure in enumerate(header["figures"], start=1):
            crop = next(crops, None) if figure["cropped"] else None
            files = (_saved(stem.with_name(f"{stem.name}-f{i}.jpg"), crop),) if crop else ()
            found = {**figure, "page_id": page_id, "mentions": mentions.get(i, ())}
            drawn = _passage(document, reply.number, found, files, f"f{i}")
            made.append(drawn and with_image_keys(drawn))
        return tuple(passage for passage in made if passage is not None)


def unit_key(sha256: str, page: int) -> str:
    """Key of a page's unit: the content of the file and the page, from 1."""
    return f"{sha256[:32]}:p{page:05d}"


def write_whole(path: Path, data: bytes) -> None:
    """Write a file such that it is either there whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise


def _end(sessions: list[PdfSession]) -> None:
    while sessions:
        sessions.pop().close()


def _check_form(path: Path) -> None:
    """Refuse what is no PDF, or the first part of one, before a process is started for it."""
    if path.exists() and not path.is_file():
        raise SourceError(f"{PdfFault.UNREADABLE} (it is a folder, a pipe or a device); give a PDF file")
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
            stream.seek(max(path.stat().st_size - _HEAD_BYTES, 0))
            tail = stream.read()
    except OSError as error:
        raise SourceError(f"{PdfFault.UNREADABLE} ({error.strerror}); check its name and rights") from error
    if not head:
        raise SourceError(PdfFault.EMPTY)
    if b"%PDF-" not in head:
        raise SourceError(f"{PdfFault.NOT_PDF}, whatever its name says")
    if b"startxref" not in tail and b"%%EOF" not in tail and b"trailer" not in tail:
        raise SourceError(f"{PdfFault.CUT_OFF}: its end is missing; copy or download it again")


def _checked(blobs: tuple[bytes, ...]) -> tuple[bytes, ...]:
    if any(not blob.startswith(_JPEG) for blob in blobs):
        raise ValueError("a picture is not a JPEG")
    return blobs


def _saved(path: Path, data: bytes) -> Path:
    write_whole(path, data)
    return path


def _passage(
    document: Document, page: int, found: dict[str, Any], images: tuple[Path, ...], place: str
) -> Passage | None:
    """A page (`place` is "page") or a figure; None when nothing of it could be kept."""
    text, boxes = str(found["text"]), found["boxes"]
    if len(text.split()) != len(boxes):
        raise ValueError(f"{len(text.split())} words with {len(boxes)} boxes")
    if not text.strip() and not images:
        return None
    is_page = place == "page"
    return Passage(
        id=passage_id(document.sha256, "page" if is_page else "figure", f"p{page}" if is_page else f"p{page}:{place}"),
        kind="page" if is_page else "figure",
        document=document.name,
        text=text,
        locator=PageLocator(
            page, None if is_page else Box(*map(float, found["box"])), tuple(map(str, found["section"]))
        ),
        images=images,
        meta=_meta(found),
        layout=Layout.from_boxes(boxes) if boxes else None,
    )


def _meta(found: dict[str, Any]) -> dict[str, str]:
    """Of a figure its label, page id and the sentences that cite it; of a page its bold terms and size in points."""
    meta = {
        "label": str(found.get("label", "")),
        "page_id": str(found.get("page_id", "")),
        "mentions": " ".join(map(str, found.get("mentions", ()))),
        "terms": "; ".join(map(str, found.get("terms", ()))),
        "size": "x".join(f"{float(side):g}" for side in found.get("size", ())),
    }
    return {name: value for name, value in meta.items() if value}
