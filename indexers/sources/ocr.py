"""Text recognition of page images through rapidocr (the `ocr` extra). The only module that imports it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from indexers.sources.page_lines import Line, PageText, Rect, Word, clean_words, page_text, union
from rag.errors import MissingExtra, SourceError

_PARAGRAPH_GAP = 0.8
"""A gap of more than this share of the line's height begins another block; line spacing leaves about 0.3."""


class PageOcr:
    """Reads the words of a page image. The model is loaded at the first page that needs it."""

    def __init__(self) -> None:
        self._engine: Any = None

    def read(self, image: bytes, size: Sequence[float]) -> PageText:
        """Text of an image file and a box per word, in points of a page of `size` (width, height)."""
        import numpy as np
        from PIL import Image

        engine = self._loaded()
        with Image.open(io.BytesIO(image), formats=["JPEG", "PNG"]) as opened:
            pixels = np.asarray(opened.convert("RGB"))
        try:
            found = engine(pixels, return_word_box=True)
        except Exception as error:
            # rapidocr raises whatever its runtime raises; one page must not end a build.
            raise SourceError(f"text recognition failed ({type(error).__name__}: {error})", stage="ocr") from error
        scale = (float(size[0]) / pixels.shape[1], float(size[1]) / pixels.shape[0])
        return page_text(_blocks([line for row in (found.word_results or ()) if (line := _line(row, scale))]))

    def _loaded(self) -> Any:  # noqa: ANN401 - rapidocr is untyped
        if self._engine is None:
            try:
                from rapidocr import RapidOCR
            except ImportError as error:
                raise MissingExtra("ocr", feature="reading pages without a text layer") from error
            self._engine = RapidOCR(params={"Global.log_level": "error"})
        return self._engine


def _line(row: Sequence[Any], scale: tuple[float, float]) -> Line | None:
    words: list[Word] = []
    for text, _, corners in row:
        xs, ys = [float(x) * scale[0] for x, _ in corners], [float(y) * scale[1] for _, y in corners]
        words.extend(clean_words(text, (min(xs), min(ys), max(xs), max(ys))))
    if not words:
        return None
    box = union(word.box for word in words)
    return Line(tuple(words), box, box[3] - box[1], bold=False, block=0)


def _blocks(lines: list[Line]) -> list[Line]:
    """Number the blocks: a line far below the one before, or beside it, starts another."""
    numbered: list[Line] = []
    for line in lines:
        block = numbered[-1].block if numbered else 0
        if numbered and not _follows(line.box, numbered[-1].box):
            block += 1
        numbered.append(replace(line, block=block))
    return numbered


def _follows(box: Rect, last: Rect) -> bool:
    height = last[3] - last[1]
    overlaps = min(box[2], last[2]) > max(box[0], last[0])
    return overlaps and -0.3 * height < box[1] - last[3] < _PARAGRAPH_GAP * height
