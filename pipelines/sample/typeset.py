"""The handbook as a PDF: the only module that touches PyMuPDF (AGPL-3.0), imported only while a book is made."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pymupdf

from pipelines.sample.figures import FigurePlan, jpeg, plans, render, vector_source
from pipelines.sample.layout import Composer, Shape
from pipelines.sample.manuscript import chapters
from pipelines.sample.page import (
    COLUMN,
    HEIGHT,
    LEFT,
    RIGHT,
    WIDTH,
    Book,
    Entry,
    Face,
    Mark,
    Page,
    Plate,
    Rule,
    Tint,
    Word,
)

TITLE = "The Vesalius Sample Handbook"
SUBTITLE = "A short illustrated introduction to chest radiographs, tissue sections and the fundus of the eye"
FONTS: dict[Face, str] = {"roman": "tiro", "bold": "tibo", "italic": "tiit", "sans": "helv", "sans-bold": "hebo"}
COLOURS: dict[Tint, tuple[float, float, float]] = {
    "ink": (0.10, 0.11, 0.13),
    "accent": (0.09, 0.30, 0.45),
    "grey": (0.42, 0.45, 0.49),
}
DATE = "D:20250101000000Z"


class Source(NamedTuple):
    """A figure's bytes as they enter the book, and its height to width ratio."""

    data: bytes
    ratio: float


@lru_cache(maxsize=8)
def _font(face: Face) -> pymupdf.Font:
    return pymupdf.Font(FONTS[face])


@lru_cache(maxsize=1024)
def _advance(letter: str, face: Face) -> float:
    """The width of one letter at size 1; kept because PyMuPDF measures letter by letter anyway."""
    return float(_font(face).glyph_advance(ord(letter)))


def measure(text: str, face: Face, size: float) -> float:
    """The width of a text in points."""
    return size * sum(_advance(letter, face) for letter in text)


def write_handbook(path: Path) -> Book:
    """Lays out the handbook, writes it as a PDF and returns where everything ended up."""
    figures = plans()
    with ThreadPoolExecutor() as pool:
        rasters = dict(zip(figures, pool.map(_raster, figures.values()), strict=True))
    plates = {name: rasters[name] or _vector(plan) for name, plan in figures.items()}
    shapes = {name: Shape(figures[name].points, plate.ratio) for name, plate in plates.items()}
    book = Composer(measure, shapes).compose(chapters())
    document = pymupdf.open()
    sources = {name: plate.data for name, plate in plates.items()}
    for page in (_title_page(), _contents(book), *book.pages):
        _print_page(document, page, sources)
    _finish(document, book, path)
    return book


def _raster(plan: FigurePlan) -> Source | None:
    """A drawn figure as a JPEG; nothing for a vector figure."""
    if plan.vector:
        return None
    image = render(plan)
    return Source(jpeg(image), image.height / image.width)


def _vector(plan: FigurePlan) -> Source:
    """A vector figure as a one-page PDF."""
    with pymupdf.open(stream=vector_source(plan), filetype="svg") as drawing:
        box = drawing[0].rect
        return Source(drawing.convert_to_pdf(), box.height / box.width)


def _print_page(document: pymupdf.Document, page: Page, sources: dict[str, bytes]) -> None:
    sheet = document.new_page(width=WIDTH, height=HEIGHT)
    if page.number > 1:
        _print_words(sheet, _running_head(page.number))
        _print_rule(sheet, Rule(LEFT, RIGHT, 66.0, 0.5, "grey"))
    words: list[Word] = []
    for mark in page.marks:
        if isinstance(mark, Word):
            words.append(mark)
            continue
        # Text so far goes first: the order of the text layer is the order of reading.
        _print_words(sheet, words)
        words = []
        if isinstance(mark, Rule):
            _print_rule(sheet, mark)
        else:
            _print_plate(sheet, mark, sources[mark.name])
    _print_words(sheet, words)


def _print_words(sheet: pymupdf.Page, words: Sequence[Word]) -> None:
    writer, tint = pymupdf.TextWriter(sheet.rect), None
    for word in words:
        if tint not in (None, word.tint):
            writer.write_text(sheet, color=COLOURS[tint])
            writer = pymupdf.TextWriter(sheet.rect)
        tint = word.tint
        writer.append((word.x, word.y), word.text, font=_font(word.face), fontsize=word.size)
    if tint is not None:
        writer.write_text(sheet, color=COLOURS[tint])


def _print_rule(sheet: pymupdf.Page, rule: Rule) -> None:
    sheet.draw_line((rule.x0, rule.y), (rule.x1, rule.y), color=COLOURS[rule.tint], width=rule.weight)


def _print_plate(sheet: pymupdf.Page, plate: Plate, source: bytes) -> None:
    if source.startswith(b"%PDF"):
        with pymupdf.open(stream=source, filetype="pdf") as drawing:
            sheet.show_pdf_page(pymupdf.Rect(plate.box), drawing, 0)
    else:
        sheet.insert_image(pymupdf.Rect(plate.box), stream=source)


def _running_head(number: int) -> list[Word]:
    folio = str(number)
    return [
        Word(LEFT, 60.0, TITLE, "sans", 8.4, "grey"),
        Word(RIGHT - measure(folio, "sans-bold", 9.0), 60.0, folio, "sans-bold", 9.0, "grey"),
    ]


def _title_page() -> Page:
    marks: list[Mark] = [
        Word(LEFT, 172.0, "The Vesalius", "sans-bold", 38.0, "accent"),
        Word(LEFT, 216.0, "Sample Handbook", "sans-bold", 38.0, "accent"),
    ]
    words, y = SUBTITLE.split(), 250.0
    for text in (" ".join(words[:8]), " ".join(words[8:])):
        marks.append(Word(LEFT, y, text, "roman", 14.0))
        y += 19.0
    notes = (
        "Written and drawn for the Vesalius project. Text and figures: CC BY 4.0.",
        "Every picture is a schematic drawing made by a program; none shows a patient.",
        "For testing software only, not for diagnosis or treatment.",
    )
    marks.append(Plate("frontispiece", (LEFT, 330.0, RIGHT, 330.0 + COLUMN * 0.325)))
    marks += [Word(LEFT, 690.0 + 15 * row, note, "sans", 9.4, "grey") for row, note in enumerate(notes)]
    return Page(1, marks)


def _contents(book: Book) -> Page:
    page = Page(2, [Word(LEFT, 98.0, "Contents", "sans-bold", 21.0, "accent")])
    y = 104.0
    for entry in book.outline:
        y += {1: 16.0, 2: 13.2, 3: 10.5}[entry.depth]
        page.marks += _contents_line(entry, y)
    return page


def _contents_line(entry: Entry, y: float) -> list[Word]:
    face: Face = "roman" if entry.depth == 3 else "bold"
    size = {1: 10.4, 2: 9.8, 3: 9.0}[entry.depth]
    folio = str(entry.page)
    title = Word(LEFT + 16.0 * (entry.depth - 1), y, entry.title, face, size, "accent" if entry.depth == 1 else "ink")
    return [title, Word(RIGHT - measure(folio, face, size), y, folio, face, size)]


def _finish(document: pymupdf.Document, book: Book, path: Path) -> None:
    document.set_toc([[entry.depth, entry.title, entry.page, entry.y] for entry in book.outline])
    document.set_metadata(
        {
            "title": TITLE,
            "author": "The Vesalius project",
            "subject": SUBTITLE,
            "keywords": "radiology, pathology, ophthalmology, sample",
            "creator": "pipelines.sample",
            "producer": "PyMuPDF",
            "creationDate": DATE,
            "modDate": DATE,
        }
    )
    document.subset_fonts()
    document.save(path, garbage=3, deflate=True, no_new_id=True)
    document.close()
