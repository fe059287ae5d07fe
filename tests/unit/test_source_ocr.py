"""Pages without a text layer: recognised words become text with boxes in points."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pymupdf
import pytest
from PIL import Image

from indexers.sources.ocr import PageOcr
from indexers.sources.pdf import PdfOptions, PdfParser
from rag.errors import MissingExtra, SourceError


def word(text: str, x: int, y: int, width: int = 60) -> tuple[str, float, list[list[int]]]:
    return text, 0.9, [[x, y], [x + width, y], [x + width, y + 20], [x, y + 20]]


def engine(*rows: tuple[Any, ...]) -> Any:
    return lambda pixels, return_word_box: SimpleNamespace(word_results=rows)


def blank(width: int = 400, height: int = 200) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(stream, "JPEG")
    return stream.getvalue()


def test_words_have_boxes_in_points_and_paragraphs_are_parted() -> None:
    ocr = PageOcr()
    ocr._engine = engine(
        (word("Heart", 10, 10), word("failure", 80, 10)), (word("is", 10, 36),), (word("Next", 10, 120),)
    )
    text, boxes = ocr.read(blank(), (200, 100))
    assert text == "Heart failure\nis\n\nNext"
    assert boxes[1] == (40, 5, 70, 15)
    assert len(boxes) == 4


def test_page_without_words_is_empty_and_a_failing_engine_is_a_source_error() -> None:
    ocr = PageOcr()
    ocr._engine = lambda pixels, return_word_box: SimpleNamespace(word_results=None)
    assert ocr.read(blank(), (200, 100)) == ("", ())

    def failing(pixels: Any, return_word_box: bool) -> Any:
        raise RuntimeError("no memory")

    ocr._engine = failing
    with pytest.raises(SourceError, match="no memory"):
        ocr.read(blank(), (200, 100))


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(MissingExtra, match=r"vesalius\[ocr\]"):
        PageOcr().read(blank(), (200, 100))


def test_scanned_pdf_page_gets_text_or_keeps_its_image(tmp_path: Path) -> None:
    document = pymupdf.open()
    document.new_page().draw_rect(pymupdf.Rect(50, 50, 60, 60))
    document.save(tmp_path / "scan.pdf")
    parser = PdfParser(tmp_path / "images", PdfOptions(ocr=True))
    assert parser._ocr is not None
    parser._ocr._engine = engine((word("Recognised", 100, 100),))
    (unit,) = parser.parse(parser.open(tmp_path / "scan.pdf"), ())
    assert unit.passages[0].text == "Recognised"
    parser._ocr._engine = lambda pixels, return_word_box: 1 / 0
    (unit,) = parser.parse(parser.open(tmp_path / "scan.pdf"), ())
    assert (unit.passages[0].text, len(unit.passages[0].images)) == ("", 1)
    assert unit.skipped[0].stage == "ocr"
