"""PDF files byte by byte: a writer that writes whatever it is told, valid pages, and mutants of them."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from functools import cache

import pymupdf

TEXT = b"BT /F1 12 Tf 72 700 Td (Blood is filtered in the glomerulus.) Tj ET"
FONT = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"


def raw_pdf(objects: Sequence[bytes], trailer: bytes = b"", head: bytes = b"%PDF-1.7\n") -> bytes:
    """A PDF with a correct cross-reference table of these objects, from number 1; the first is the catalogue."""
    out, places = bytearray(head), []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<</Size %d/Root 1 0 R%b>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start)
    return bytes(out)


def stream(data: bytes, entries: bytes = b"") -> bytes:
    """A stream object of its bytes and further dictionary entries."""
    return b"<</Length %d%b>>\nstream\n%b\nendstream" % (len(data), entries, data)


def page_pdf(
    content: bytes = TEXT,
    page: bytes = b"/MediaBox[0 0 595 842]",
    resources: bytes = b"",
    catalogue: bytes = b"",
    more: Sequence[bytes] = (),
) -> bytes:
    """A document of one page; further objects are numbered from 6."""
    return raw_pdf(
        [
            b"<</Type/Catalog/Pages 2 0 R%b>>" % catalogue,
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            b"<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>%b>>%b>>" % (resources, page),
            stream(content),
            FONT,
            *more,
        ]
    )


@cache
def valid_pages() -> tuple[bytes, ...]:
    """Two pages with running text, a picture with its caption and a heading, saved plain, packed, and in streams."""
    document = pymupdf.open()
    for number in (1, 2):
        page = document.new_page()
        page.insert_text((72, 80), "Renal anatomy", fontsize=16)
        pixels = pymupdf.Pixmap(pymupdf.csRGB, pymupdf.IRect(0, 0, 24, 16), False)
        pixels.clear_with(90 + 40 * number)
        page.insert_image(pymupdf.Rect(100, 200, 400, 400), pixmap=pixels)
        page.draw_circle((250, 300), 40)
        page.insert_text((100, 415), f"Figure {number}.1 The nephron.", fontsize=8)
        page.insert_textbox((72, 450, 500, 600), "Blood is filtered in the glomerulus. " * 6, fontsize=11)
    document.set_toc([[1, "Kidney", 1], [2, "Nephron", 2]])
    forms = ({"deflate": False, "expand": 255}, {"deflate": True, "garbage": 3}, {"deflate": True, "use_objstms": 1})
    saved = []
    for form in forms:
        out = io.BytesIO()
        document.save(out, no_new_id=True, **form)
        saved.append(out.getvalue())
    return tuple(saved)


def mutant(seed: int) -> bytes:
    """A valid document with one to eight places flipped, cut, doubled, overwritten, extended or exchanged."""
    rng = random.Random(seed)
    data = bytearray(rng.choice(valid_pages()))
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        _hurt(data, rng)
    return bytes(data)


def _hurt(data: bytearray, rng: random.Random) -> None:
    # Half of the wounds are a few bytes, the others up to a quarter of the file.
    size = min(int(2 ** rng.uniform(0, 3)) if rng.random() < 0.5 else int(2 ** rng.uniform(3, 14)), len(data) // 4)
    start = rng.randrange(max(len(data) - size, 1))
    match rng.randrange(6):
        case 0:
            for place in range(start, min(start + size, len(data)), max(size // 8, 1)):
                data[place] ^= 1 << rng.randrange(8)
        case 1:
            del data[start : start + size]
        case 2:
            data[start:start] = data[start : start + size]
        case 3:
            data[start : start + size] = rng.randbytes(size)
        case 4:
            data[start:start] = rng.choice(
                (b"0", b"-1 ", b"<<", b">>", b"4294967296 ", b"stream\n", rng.randbytes(size))
            )
        case _:
            other = rng.randrange(max(len(data) - size, 1))
            data[start : start + size], data[other : other + size] = (
                data[other : other + size],
                data[start : start + size],
            )
