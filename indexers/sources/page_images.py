"""Single page images (PNG, JPEG, TIFF, WEBP) given as pages: one unit each, with recognised text when OCR is on."""

from __future__ import annotations

import io
from collections.abc import Container, Iterator
from pathlib import Path

from indexers.sources.images import check_image
from indexers.sources.ocr import PageOcr
from indexers.sources.page_lines import PageText
from indexers.sources.pdf import PdfOptions, unit_key, write_whole
from rag.errors import SourceError
from rag.fingerprint import passage_id, sha256_file
from rag.types import Document, Layout, PageLocator, Passage, Skipped, Unit

_DPI = 150.0
"""Resolution taken for a scan when its pixels are turned into points; 150 is common for scans of books."""
_SIDE_PX = 2200
"""Longest side of the stored page image: A4 at 190 dots per inch."""


class PageImageParser:
    """Parses an image file as a book of one page. Its `document` name is the file's stem."""

    def __init__(self, image_folder: Path, options: PdfOptions | None = None) -> None:
        self._images = image_folder.absolute()
        self._ocr = PageOcr() if options is not None and options.ocr else None

    def open(self, path: Path) -> Document:
        check_image(path)
        return Document(path.stem, path, sha256_file(path), "pages", 1)

    def parse(self, document: Document, done: Container[str]) -> Iterator[Unit]:
        key = unit_key(document.sha256, 1)
        if key in done:
            return
        data, size = _as_jpeg(document.path)
        skipped: tuple[Skipped, ...] = ()
        content = PageText("", ())
        if self._ocr is not None:
            try:
                content = self._ocr.read(data, size)
            except SourceError as error:
                skipped = (Skipped(str(document.path), "page 1", error.stage, error.reason),)
        out = self._images / document.sha256[:16] / "p00001.jpg"
        write_whole(out, data)
        passage = Passage(
            id=passage_id(document.sha256, "page", "p1"),
            kind="page",
            document=document.name,
            text=content.text,
            locator=PageLocator(1),
            images=(out,),
            meta={"size": "x".join(f"{side:g}" for side in size)},
            layout=Layout.from_boxes(content.boxes) if content.boxes else None,
        )
        yield Unit(key, (passage,), skipped)


def _as_jpeg(path: Path) -> tuple[bytes, tuple[float, float]]:
    """The image upright and in RGB as a JPEG file, and the page's size in points."""
    from PIL import Image, ImageOps

    from indexers.sources.images import FORMATS

    check_image(path)
    with Image.open(path, formats=FORMATS) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    size = (image.width * 72 / _DPI, image.height * 72 / _DPI)
    image.thumbnail((_SIDE_PX, _SIDE_PX))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85)
    return stream.getvalue(), size
