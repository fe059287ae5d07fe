"""Reading a PDF with PyMuPDF: the only module that imports it.

It runs only inside `pdf_forkserver`, which loads the library, and in forks of it, which read documents.

PyMuPDF is AGPL-3.0 or commercial. Its core, MuPDF, is C code with live security reports; see docs/decisions.
"""

from __future__ import annotations

import contextlib
import io
import math
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from indexers.sources.characters import clean
from indexers.sources.page_content import PageContent, RawPage, body_lines, page_content
from indexers.sources.page_furniture import Slot, find_furniture, sample_pages
from indexers.sources.page_lines import Line, Rect, Run, Word, clean_words, page_text, union
from indexers.sources.page_mentions import mentions
from indexers.sources.page_sections import Entry, Sections, headings, title_of
from indexers.sources.pdf_faults import PdfFault

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 8_000_000
"""Pages are scaled down to this many pixels: an A0 poster stays legible and a page bomb stays harmless."""
_MAX_SIDE_PX = 10_000
_MAX_WORDS = 50_000
_MAX_ENTRIES = 20_000
_MAX_HEADING_PAGES = 3_000
_CROP_DPI = 150
_CROP_SIDE_PX = 768
_CROP_ENOUGH_PX = 448
"""A figure this long on the page image is cut out of it: image encoders read at most 448 pixels or so a side, and
drawing it again takes as long as the page."""
_CLEAN_EVERY = 32
_BOLD = 16
_SHOWN = 16 | 32
"""Bits of a span's `char_flags`: filled, stroked. Text that is neither is invisible."""


class Refused(Exception):
    """The document or page cannot be used, for a reason to be told to the reader."""


def load_library() -> Any:  # noqa: ANN401 - PyMuPDF is untyped
    """PyMuPDF, silent. Done once before a document is known, so that every child finds it loaded."""
    # Without these two entries PyMuPDF 2 loads layout models at import, a second that nothing here needs.
    sys.modules.setdefault("pymupdf.layout", None)  # type: ignore[arg-type]
    sys.modules.setdefault("pymupdf4llm", None)  # type: ignore[arg-type]
    import pymupdf
    from PIL import Image

    Image.preinit()
    pymupdf.TOOLS.mupdf_display_errors(False)
    pymupdf.TOOLS.mupdf_display_warnings(False)
    return pymupdf


class Reader:
    """One open document and what was learned about it as a whole."""

    def __init__(self, path: str) -> None:
        self._mupdf = load_library()
        self._document = self._mupdf.open(path, filetype="pdf")
        if self._document.needs_pass:
            raise Refused(f"{PdfFault.ENCRYPTED}; save a copy without the password and give that")
        self.n_pages: int = self._document.page_count
        if self.n_pages < 1:
            raise Refused(PdfFault.NO_PAGES)
        self._furniture: frozenset[Slot] = frozenset()
        self._sections = Sections(())
        self._texts: dict[int, str] = {}

    def use(self, furniture: list[list[int]], entries: list[list[Any]]) -> None:
        """Take over what an earlier child learned."""
        self._furniture = frozenset(Slot(*pair) for pair in furniture)
        self._sections = Sections(Entry(*entry) for entry in entries)

    def furniture(self) -> list[Slot]:
        """Slots of running lines, from a sample of pages."""
        raws = self._readable(sample_pages(self.n_pages))
        self._furniture = find_furniture((raw.lines, raw.height) for raw in raws)
        return sorted(self._furniture)

    def entries(self, *, scan: bool) -> list[Entry]:
        """Headings of the book: its outline, or, when it has none and `scan` is set, what is printed large."""
        entries = []
        for level, title, page, place in self._document.get_toc(simple=False)[:_MAX_ENTRIES]:
            point = place.get("to") if isinstance(place, dict) else None
            y = float(point.y) if point is not None else 0.0
            if 1 <= page <= self.n_pages and title_of(title):
                entries.append(Entry(page, y if math.isfinite(y) else 0.0, level, title_of(title)))
        if not entries and scan:
            raws = self._readable(range(1, min(self.n_pages, _MAX_HEADING_PAGES) + 1))
            entries = headings((raw.number, body_lines(raw, self._furniture)) for raw in raws)[:_MAX_ENTRIES]
        self._sections = Sections(entries)
        return entries

    def content(self, number: int) -> tuple[RawPage, PageContent]:
        """Text, section and figures of a page."""
        raw = self._raw(number, drawn=True)
        return raw, page_content(raw, self._furniture, self._sections)

    def mentions(self, number: int, labels: list[str], avoid: list[int]) -> list[tuple[str, ...]]:
        """For each figure label of a page, sentences of this page and its neighbours that speak of the figure.

        Pages to avoid and those that cannot be read say nothing.
        """
        near = [n for n in range(number - 1, number + 2) if 1 <= n <= self.n_pages and n not in avoid]
        self._texts = {page: self._texts.get(page) or self._text(page) for page in near}
        texts = [self._texts[page] for page in near]
        return [mentions(label, texts) if label else () for label in labels]

    def _text(self, number: int) -> str:
        return "".join(page_text(body_lines(raw, self._furniture)).text for raw in self._readable([number]))

    def _readable(self, numbers: Iterable[int]) -> Iterator[RawPage]:
        """Text of those pages that have any; the others are reported when it is their turn."""
        for number in numbers:
            # MuPDF raises many types.
            with contextlib.suppress(Exception):
                yield self._raw(number, drawn=False)

    def _raw(self, number: int, *, drawn: bool) -> RawPage:
        page = self._document[number - 1]
        turn = page.rotation_matrix if page.rotation else None
        images, paths = self._drawn(page, turn) if drawn else ((), ())
        lines = self._lines(page, turn, images)
        if number % _CLEAN_EVERY == 0:
            self._mupdf.TOOLS.store_shrink(100)
        return RawPage(number, page.rect.width, page.rect.height, lines, images, paths)

    def _drawn(self, page: Any, turn: Any) -> tuple[tuple[Rect, ...], tuple[Rect, ...]]:  # noqa: ANN401 - PyMuPDF is untyped
        images, paths = [], []
        for kind, box in page.get_bboxlog():
            place = tuple(self._mupdf.Rect(box) * turn) if turn else tuple(box)
            if not all(math.isfinite(value) and abs(value) < 1e6 for value in place):
                continue
            if kind in {"fill-image", "fill-shade", "fill-imgmask"}:
                images.append(place)
            elif kind in {"fill-path", "stroke-path"}:
                paths.append(place)
        return tuple(images), tuple(paths)

    def _lines(self, page: Any, turn: Any, images: tuple[Rect, ...]) -> tuple[Line, ...]:  # noqa: ANN401
        # The flags of PyMuPDF's plain extraction: words come in the same order as in its text.
        textpage = page.get_textpage(flags=self._mupdf.TEXTFLAGS_TEXT)
        words = textpage.extractWORDS()
        if len(words) > _MAX_WORDS:
            raise Refused(PdfFault.TOO_LARGE.because(f"the page has {len(words)} words, and {_MAX_WORDS} are read"))
        styles = _styles(textpage.extractDICT())
        rect = page.rect
        grouped: dict[tuple[int, int], list[Any]] = {}
        for x0, y0, x1, y1, text, block, line, _ in words:
            box = tuple(self._mupdf.Rect(x0, y0, x1, y1) * turn) if turn else (x0, y0, x1, y1)
            if rect.x0 <= (box[0] + box[2]) / 2 <= rect.x1 and rect.y0 <= (box[1] + box[3]) / 2 <= rect.y1:
                grouped.setdefault((block, line), []).extend(clean_words(text, box))
        lines = [(_line(found, key, styles), styles.get(key, _PLAIN)) for key, found in grouped.items() if found]
        hidden = sum(len(line.words) for line, style in lines if not style.shown)
        # A scanned page carries its recognised text invisibly under the image: there it is the text layer.
        scanned = bool(images) and 2 * hidden > sum(len(line.words) for line, _ in lines)
        return tuple(line for line, style in lines if style.shown or scanned)

    def render(self, number: int, boxes: list[Rect], dpi: float) -> tuple[bytes, list[bytes]]:
        """JPEG files of a page and of boxes on it."""
        page = self._document[number - 1]
        display, rect = page.get_displaylist(), page.rect
        scale = scale_for(rect.width, rect.height, dpi)
        whole = self._drawn_image(display, rect, scale)
        crops = []
        for box in boxes:
            clip = self._mupdf.Rect(box) & rect
            side = max(clip.width, clip.height)
            if min(clip.width, clip.height) < 1:
                raise Refused(PdfFault.BAD_SIZE.because("a figure has no area"))
            if side * scale >= _CROP_ENOUGH_PX:
                crop = whole.crop(tuple(round(value * scale) for value in clip))
                crop.thumbnail((_CROP_SIDE_PX, _CROP_SIDE_PX))
                crops.append(crop)
            else:
                crops.append(self._drawn_image(display, clip, min(_CROP_DPI / 72, _CROP_SIDE_PX / side)))
        return _jpeg(whole), [_jpeg(crop) for crop in crops]

    def _drawn_image(self, display: Any, clip: Any, scale: float) -> Image.Image:  # noqa: ANN401
        from PIL import Image

        pixels = display.get_pixmap(matrix=self._mupdf.Matrix(scale, scale), alpha=0, clip=clip)
        return Image.frombuffer("RGB", (pixels.width, pixels.height), pixels.samples, "raw", "RGB", 0, 1)


def _jpeg(image: Image.Image) -> bytes:
    # MuPDF's own JPEG writer takes about ten times as long as Pillow's.
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    return stream.getvalue()


class _Style(NamedTuple):
    size: float
    shown: bool
    runs: tuple[Run, ...]


_PLAIN = _Style(0.0, True, ())


def _styles(extracted: dict[str, Any]) -> dict[tuple[int, int], _Style]:
    """Style of each line by (block, line), as words are numbered."""
    found = {}
    for block in extracted["blocks"]:
        for i, line in enumerate(block.get("lines", ())):
            spans = [span for span in line["spans"] if span["text"].strip()]
            if spans:
                found[block["number"], i] = _Style(
                    max(span["size"] for span in spans),
                    any(span.get("char_flags", _SHOWN) & _SHOWN and span.get("alpha", 255) for span in spans),
                    _runs(spans),
                )
    return found


def _runs(spans: list[dict[str, Any]]) -> tuple[Run, ...]:
    runs: list[Run] = []
    for span in spans:
        bold = bool(span["flags"] & _BOLD) or "bold" in span["font"].lower()
        text = " ".join(clean(span["text"]).split())
        if runs and runs[-1].bold == bold:
            runs[-1] = Run(f"{runs[-1].text} {text}", bold)
        else:
            runs.append(Run(text, bold))
    return tuple(runs)


def _line(words: list[Word], key: tuple[int, int], styles: dict[tuple[int, int], _Style]) -> Line:
    style = styles.get(key, _PLAIN)
    box = union(word.box for word in words)
    return Line(tuple(words), box, style.size, bool(style.runs and style.runs[0].bold), key[0], style.runs)


def scale_for(width: float, height: float, dpi: float) -> float:
    """Pixels per point for a page of some points, such that it has at most MAX_PIXELS and no endless side.

    Raises Refused for a page without an area.
    """
    if not (math.isfinite(width) and math.isfinite(height)) or width < 1 or height < 1:
        raise Refused(PdfFault.BAD_SIZE.because(f"{width:g} x {height:g} points"))
    # MuPDF rounds pixel sides up; a thousandth less keeps the product within the limit.
    most = 0.999 * min(_MAX_SIDE_PX / max(width, height), math.sqrt(MAX_PIXELS / (width * height)))
    return min(dpi / 72, most)
