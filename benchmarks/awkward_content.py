"""Files whose pages are awkward: sizes, fonts, pictures, drawing, hidden and unusual text, forms and attachments."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable

import pikepdf
import pymupdf

from benchmarks.awkward_bytes import TEXT, page_pdf, stream
from benchmarks.awkward_structure import BOX, reopened, saved

_DRAW = b"q 300 0 0 200 100 300 cm /X Do Q "
_USE = b"/XObject<</X 6 0 R>>"


def media_box(box: str) -> bytes:
    """A page of this MediaBox, written as it stands in the file."""
    return page_pdf(page=b"/MediaBox[%b]" % box.encode())


def without_box() -> bytes:
    """A page that does not say how large it is."""
    return page_pdf(page=b"")


def page_entry(entry: str) -> bytes:
    """A page with a further entry: a rotation, a unit, a crop."""
    return page_pdf(page=BOX + entry.encode())


def written(write: Callable[[pymupdf.Page], object], pages: int = 1) -> bytes:
    """Pages that PyMuPDF writes."""
    document = pymupdf.open()
    for _ in range(pages):
        write(document.new_page())
    out = io.BytesIO()
    document.save(out, deflate=True, no_new_id=True)
    return out.getvalue()


def missing_font() -> bytes:
    """Text in fonts that are named and nowhere to be found, one of them not even declared."""
    font = b"<</Type/Font/Subtype/TrueType/BaseFont/ABCDEF+Nowhere/FirstChar 0/LastChar 3/Widths[1 -1 9e9 0]>>"
    content = b"BT /F9 12 Tf 72 600 Td (undeclared) Tj /F2 12 Tf 0 -50 Td (not embedded) Tj ET " + TEXT
    return page_pdf(content, resources=b"/Font<</F1 5 0 R/F2 6 0 R>>", more=[font]).replace(
        b"/Font<</F1 5 0 R>>/Font", b"/Font"
    )


def font_bomb(size: int) -> bytes:
    """An embedded font file that unpacks to so many zero bytes."""
    font = b"<</Type/Font/Subtype/TrueType/BaseFont/A+Bomb/FontDescriptor 7 0 R>>"
    descriptor = b"<</Type/FontDescriptor/FontName/A+Bomb/Flags 4/FontFile2 8 0 R>>"
    packed = stream(zlib.compress(bytes(size), 9), b"/Filter/FlateDecode/Length1 %d" % size)
    return page_pdf(more=[font, descriptor, packed]).replace(b"/F1 5 0 R", b"/F1 6 0 R")


def glyph_that_draws_itself() -> bytes:
    """A Type 3 font whose only glyph is text in that font."""
    font = (
        b"<</Type/Font/Subtype/Type3/FontBBox[0 0 9 9]/FontMatrix[.001 0 0 .001 0 0]/FirstChar 66/LastChar 66"
        b"/Widths[600]/Encoding<</Differences[66/B]>>/CharProcs<</B 7 0 R>>/Resources<</Font<</F1 6 0 R>>>>>>"
    )
    glyph = stream(b"600 0 d0 BT /F1 500 Tf (BBBBBBBBBB) Tj ET")
    return page_pdf(more=[font, glyph]).replace(b"/F1 5 0 R", b"/F1 6 0 R")


def picture(data: bytes, entries: str, more: tuple[bytes, ...] = ()) -> bytes:
    """A page with text and one picture of these bytes and dictionary entries."""
    image = stream(data, b"/Type/XObject/Subtype/Image" + entries.encode())
    return page_pdf(_DRAW + TEXT, resources=_USE, more=[image, *more])


def image_bomb(side: int) -> bytes:
    """A grey picture of `side` x `side` pixels, packed to a thousandth."""
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(side)) for _ in range(side)) + packer.flush()
    entries = f"/Width {side}/Height {side}/ColorSpace/DeviceGray/BitsPerComponent 8/Filter/FlateDecode"
    return picture(data, entries)


def picture_junk(codec: str) -> bytes:
    """A picture whose data a decoder refuses."""
    return picture(
        b"\x97JB2\x00\xff" * 300, f"/Width 64/Height 64/ColorSpace/DeviceGray/BitsPerComponent 8/Filter/{codec}"
    )


def picture_claims() -> bytes:
    """Ten bytes that claim to be two thousand million pixels of 32 components."""
    return picture(b"0123456789", "/Width 46340/Height 46340/BitsPerComponent 16/ColorSpace/DeviceCMYK")


def colours() -> bytes:
    """A CMYK picture, and one whose palette of one colour is too short."""
    size = b"/Type/XObject/Subtype/Image/Width 8/Height 8/BitsPerComponent 8"
    cmyk = stream(bytes(range(64)) * 4, size + b"/ColorSpace/DeviceCMYK")
    palette = stream(b"\0\1\2\3" * 16, size + b"/ColorSpace[/Indexed/DeviceRGB 255 <00ff00>]")
    content = _DRAW + b"q 300 0 0 200 100 50 cm /Y Do Q " + TEXT
    return page_pdf(content, resources=b"/XObject<</X 6 0 R/Y 7 0 R>>", more=[cmyk, palette])


def paths(count: int) -> bytes:
    """So many short lines."""
    lines = b"".join(b"%d %d m %d %d l S\n" % (n % 595, n % 842, n * 7 % 595, n * 3 % 842) for n in range(count))
    content = stream(zlib.compress(lines + TEXT), b"/Filter/FlateDecode")
    return page_pdf(more=[content]).replace(b"/Contents 4 0 R", b"/Contents 6 0 R")


def form_bomb(depth: int, fan: int = 10) -> bytes:
    """A form that draws a form `fan` times, and so on; `depth` 12 never ends."""
    forms = [
        stream(
            b"/X Do " * fan, b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X %d 0 R>>>>" % (7 + n)
        )
        for n in range(depth)
    ]
    last = stream(b"0 0 9 9 re f", b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]")
    return page_pdf(b"/X Do " + TEXT, resources=_USE, more=[*forms, last])


def shading_junk() -> bytes:
    """A mesh shading whose data ends early, and a function that divides by nothing."""
    mesh = stream(b"\0\1\2" * 7, b"/ShadingType 4/ColorSpace/DeviceRGB/BitsPerCoordinate 32/BitsPerComponent 16"
                  b"/BitsPerFlag 8/Decode[0 1 0 1 0 1 0 1 0 1]")  # fmt: skip
    return page_pdf(b"/S sh " + TEXT, resources=b"/Shading<</S 6 0 R>>", more=[mesh])


def pattern_in_itself() -> bytes:
    """A tiling pattern that is filled with itself, in steps of nothing."""
    tile = stream(
        b"/Pattern cs /P scn 0 0 5 5 re f",
        b"/Type/Pattern/PatternType 1/PaintType 1/TilingType 1/BBox[0 0 5 5]/XStep 0.0001/YStep 0.0001"
        b"/Resources<</Pattern<</P 6 0 R>>>>",
    )
    return page_pdf(b"/Pattern cs /P scn 0 0 500 500 re f " + TEXT, resources=b"/Pattern<</P 6 0 R>>", more=[tile])


def broken_content() -> bytes:
    """Operators without operands, unbalanced states, an endless string."""
    return page_pdf(b"Q Q Q re f BT Tj 1e999 nan Td [1 2 << /A ( TJ ET q q q " + TEXT + b" (never closed")


def many_words(count: int) -> bytes:
    """A page with so many words in lines of a point."""
    lines = b"".join(b"(%b) ' " % (b"word " * 200) for _ in range(count // 200))
    return page_pdf(b"BT /F1 1 Tf 2 TL 20 800 Td " + lines + b"ET")


def far_numbers() -> bytes:
    """Text and lines at places that no computer's numbers reach."""
    far = b"9" * 60
    return page_pdf(b"%b 0 0 1 0 0 cm %b %b m 0 0 l S BT /F1 %b Tf (far) Tj ET " % (far, far, far, far) + TEXT)


def surrogate_text() -> bytes:
    """A font that maps its letters to half characters, to nothing and to the end of Unicode."""
    rows = b"<41> <D800> <42> <DFFF> <43> <0000> <44> <FFFF> <45> <DBFFDFFF>"
    table = stream(b"/CIDInit /ProcSet findresource begin begincmap 1 begincodespacerange <00> <FF> "
                   b"endcodespacerange 5 beginbfchar " + rows + b" endbfchar endcmap end")  # fmt: skip
    font = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/ToUnicode 7 0 R>>"
    content = b"BT /F1 12 Tf 72 700 Td (ABCDE AB CD) Tj ET BT /F2 12 Tf 72 600 Td (Plain words.) Tj ET"
    data = page_pdf(content, more=[font, table])
    return data.replace(b"/F1 5 0 R", b"/F1 6 0 R/F2 5 0 R")


def odd_characters() -> bytes:
    """Zero-width, bidirectional, combining, private and non-Latin characters."""
    text = "ki\u200bdney \u202etiredrever\u202c \u2066iso\u2069 a\u0301\u0302\u0303 \ue000 \ufeffbom so\u00adft"
    return written(lambda page: page.insert_htmlbox((72, 72, 500, 300), f"<p>{text}</p><p>العربية כליה 腎臓</p>"))


def vertical_and_right_to_left() -> bytes:
    """Text that runs upwards, downwards and from the right."""

    def write(page: pymupdf.Page) -> None:
        page.insert_text((100, 500), "upwards along the margin", rotate=90)
        page.insert_text((300, 100), "downwards along the margin", rotate=270)
        page.insert_text((400, 700), "on its head", rotate=180)
        page.insert_htmlbox((72, 72, 250, 200), "<p dir='rtl'>الكلية تنقي الدم</p>")

    return written(write)


def hidden_text() -> bytes:
    """Text that is invisible, white, off the page, and of no height, beside text that is shown."""

    def write(page: pymupdf.Page) -> None:
        page.insert_text((72, 72), "Shown to the reader.")
        page.insert_text((72, 100), "invisible", render_mode=3)
        page.insert_text((72, 130), "white", color=(1, 1, 1))
        page.insert_text((-900, 200), "beside the page")
        page.insert_text((72, 160), "tiny", fontsize=0.01)

    return written(write)


def hidden_layer() -> bytes:
    """A layer that is switched off."""
    document = pymupdf.open()
    page, layer = document.new_page(), document.add_ocg("Answers", on=False)
    page.insert_text((72, 72), "Shown to the reader.")
    page.insert_text((72, 100), "Hidden in a layer.", oc=layer)
    return bytes(document.tobytes(no_new_id=True))


def scan() -> bytes:
    """A page that is one picture, without text."""

    def write(page: pymupdf.Page) -> None:
        pixels = pymupdf.Pixmap(pymupdf.csGRAY, pymupdf.IRect(0, 0, 600, 840), False)
        pixels.clear_with(220)
        page.insert_image(page.rect, pixmap=pixels)

    return written(write)


def annotations() -> bytes:
    """Notes, a drawing, form fields, an appearance that is missing, and a popup without a parent."""

    def write(page: pymupdf.Page) -> None:
        page.insert_text((72, 72), "Shown to the reader.")
        page.add_text_annot((200, 200), "a note")
        page.add_ink_annot([[(100, 100), (200, 300), (5, 5)]])
        field = pymupdf.Widget()
        field.field_type, field.field_name = pymupdf.PDF_WIDGET_TYPE_TEXT, "dose"
        field.rect, field.field_value = pymupdf.Rect(100, 400, 300, 430), "5 mg"
        page.add_widget(field)

    with pikepdf.open(io.BytesIO(written(write))) as pdf:
        bad = pikepdf.Dictionary(Type=pikepdf.Name.Annot, Subtype=pikepdf.Name.Popup, Rect=[1, 2])
        pdf.pages[0].Annots.append(bad)
        pdf.pages[0].Annots.append(pikepdf.Dictionary())
        return saved(pdf)


def xfa_form() -> bytes:
    """A form whose fields are XML, some of it a bomb of entities."""
    xml = b"<!DOCTYPE a [<!ENTITY b 'x'><!ENTITY c '&b;&b;&b;&b;'>]><xdp:xdp>&c;&c;</xdp:xdp>"
    return page_pdf(catalogue=b"/AcroForm<</XFA[(template) 6 0 R]/Fields[]>>", more=[stream(xml)])


def attachments() -> bytes:
    """A programme that is attached, a script and an action that run on opening."""
    with reopened() as pdf:
        pdf.attachments["run.exe"] = b"MZ" + bytes(1000)
        pdf.Root.OpenAction = pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS="app.alert('hello')")
        pdf.Root.AA = pikepdf.Dictionary(WC=pikepdf.Dictionary(S=pikepdf.Name.Launch, F="/bin/sh"))
        return saved(pdf)
