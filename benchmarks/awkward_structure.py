"""Files whose structure is wrong, hostile or unusual: the container rather than what a page shows."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable

import pikepdf
from PIL import Image

from benchmarks.awkward_bytes import FONT, TEXT, page_pdf, raw_pdf, stream, valid_pages

CATALOGUE = b"<</Type/Catalog/Pages 2 0 R>>"
BOX = b"/MediaBox[0 0 595 842]"
END = b"\nstartxref\n0\n%%EOF\n"


def saved(pdf: pikepdf.Pdf, **options: object) -> bytes:
    """Bytes of a document."""
    out = io.BytesIO()
    pdf.save(out, **options)
    return out.getvalue()


def reopened() -> pikepdf.Pdf:
    """The valid two pages."""
    return pikepdf.open(io.BytesIO(valid_pages()[0]))


def picture_named_pdf() -> bytes:
    """A PNG file with a wrong extension."""
    out = io.BytesIO()
    Image.new("RGB", (60, 40), "navy").save(out, "PNG")
    return out.getvalue()


def cut_off(part: float) -> bytes:
    """The first part of a file, as an interrupted copy leaves it."""
    data = valid_pages()[1]
    return data[: int(part * len(data))]


def cut_with_end(part: float) -> bytes:
    """The first part of a file with an end that belongs to none of it."""
    return cut_off(part) + END


def xref_loop() -> bytes:
    """A cross-reference table that names itself as its predecessor."""
    data = page_pdf()
    start = data.rindex(b"xref\n0 ")
    return data.replace(b"/Root 1 0 R", b"/Root 1 0 R/Prev %d" % start)


def xref_astray() -> bytes:
    """Every place in the cross-reference table is wrong."""
    head, table = page_pdf().split(b"xref\n0 ", 1)
    return head + b"xref\n0 " + table.replace(b"00 n", b"07 n").replace(b"0000000", b"0000009")


def object_stream_recursion() -> bytes:
    """An object stream that holds itself and extends itself."""
    inner = b"6 0 1 20 " + CATALOGUE
    packed = stream(inner, b"/Type/ObjStm/N 2/First 9/Extends 6 0 R")
    data = bytearray(b"%PDF-1.7\n")
    places = {}
    pages = b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
    page = b"<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>/MediaBox[0 0 595 842]>>"
    for number, body in ((2, pages), (3, page), (4, stream(TEXT)), (5, FONT), (6, packed)):
        places[number] = len(data)
        data += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    rows = [b"\0\0\0\xff\xff", b"\2\0\6\0\1"]
    rows += [b"\1" + places[number].to_bytes(2, "big") + b"\0\0" for number in (2, 3, 4, 5)]
    rows += [b"\2\0\6\0\0", b"\1" + len(data).to_bytes(2, "big") + b"\0\0"]
    start = len(data)
    table = stream(b"".join(rows), b"/Type/XRef/W[1 2 2]/Size 8/Root 1 0 R")
    data += b"7 0 obj\n%b\nendobj\nstartxref\n%d\n%%%%EOF\n" % (table, start)
    return bytes(data)


def zero_pages() -> bytes:
    """A page tree without a page."""
    return raw_pdf([CATALOGUE, b"<</Type/Pages/Kids[]/Count 0>>"])


def encrypted(user: str) -> bytes:
    """A file with an owner's password and this user's password, which may be empty."""
    return saved(reopened(), encryption=pikepdf.Encryption(owner="owner", user=user))


def page_tree_cycle() -> bytes:
    """A page tree whose branch is its own root."""
    page = b"<</Type/Page/Parent 2 0 R" + BOX + b">>"
    return raw_pdf([CATALOGUE, b"<</Type/Pages/Kids[2 0 R 3 0 R]/Count 2/Parent 2 0 R>>", page])


def page_tree_depth(depth: int) -> bytes:
    """One page at the end of a chain of branches."""
    branches = [
        b"<</Type/Pages/Kids[%d 0 R]/Count 1%b>>" % (n + 1, b"/Parent %d 0 R" % (n - 1) if n > 2 else b"")
        for n in range(2, depth + 2)
    ]
    return raw_pdf([CATALOGUE, *branches, b"<</Type/Page/Parent %d 0 R%b>>" % (depth + 1, BOX)])


def page_count(count: int) -> bytes:
    """One page that claims to be so many."""
    return page_pdf().replace(b"/Count 1", b"/Count %d" % count)


def page_count_of_objects(count: int) -> bytes:
    """One page that claims to be so many, in a file that claims as many objects."""
    data = page_count(count)
    return data.replace(b"trailer", b"%d 1\n0000000009 00000 n \ntrailer" % (count + 5)).replace(
        b"/Size 6", b"/Size %d" % (count + 6)
    )


def many_pages(count: int) -> bytes:
    """So many pages of a stamp's size, each with a word."""
    kids = b" ".join(b"%d 0 R" % (n + 5) for n in range(count))
    page = b"<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<</Font<</F1 3 0 R>>>>/MediaBox[0 0 60 40]>>"
    tree = b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, count)
    return raw_pdf([CATALOGUE, tree, FONT, stream(b"BT /F1 9 Tf 5 20 Td (cell) Tj ET"), *[page] * count])


def outline(depth: int, link: Callable[[int], bytes]) -> bytes:
    """An outline of `depth` entries from object 6; `link` gives what entry n adds (its child, or its successor)."""
    entries = [b"<</Title(Level %d)/Dest[3 0 R/Fit]%b>>" % (n, link(n)) for n in range(6, 6 + depth)]
    return page_pdf(catalogue=b"/Outlines<</First 6 0 R/Last 6 0 R/Count %d>>" % depth, more=entries)


def outline_depth(depth: int) -> bytes:
    """Every heading is the only child of the one before."""
    return outline(depth, lambda n: b"/First %d 0 R/Last %d 0 R/Count 1" % (n + 1, n + 1) if n < 5 + depth else b"")


def outline_cycle() -> bytes:
    """Three headings of which the last is followed by the first."""
    return outline(3, lambda n: b"/Next %d 0 R" % (6 + (n - 5) % 3))


def polyglot(junk: int) -> bytes:
    """A valid file after so many bytes of something else."""
    return (b"<html><body>not yet</body></html>" * (junk // 33 + 1))[:junk] + page_pdf()


def two_in_one() -> bytes:
    """Two whole files, one behind the other."""
    return page_pdf() + page_pdf(TEXT.replace(b"Blood", b"Urine"))


def trailing_junk(junk: int) -> bytes:
    """A valid file and so many zero bytes, as a bad disk or a download manager leaves them."""
    return page_pdf() + b"\0" * junk


def line_ends_damaged() -> bytes:
    """Sent by FTP as text: every line feed became two bytes, also within compressed data."""
    return valid_pages()[1].replace(b"\n", b"\r\n")


def high_bits_lost() -> bytes:
    """Sent by a mail programme of seven bits."""
    return bytes(byte & 0x7F for byte in valid_pages()[1])


def linearised_with_wrong_hints() -> bytes:
    """A file made for the web whose first dictionary lies about lengths and places."""
    data = saved(reopened(), linearize=True)
    head, tail = data[:400], data[400:]
    for name in (b"/L ", b"/E ", b"/T ", b"/O ", b"/H [ "):
        place = head.find(name)
        head = head if place < 0 else head[: place + len(name)] + b"9" + head[place + len(name) + 1 :]
    return head + tail


def odd_names() -> bytes:
    """Names with escaped, empty, long and non-ASCII parts, of fonts, forms and keys."""
    resources = b"/XObject<</#41#00b#20 6 0 R/" + b"x" * 300 + b" 6 0 R>>/#ff#fe 1"
    content = TEXT + b" /#41#00b#20 Do / Do /\xe9\xff Do"
    form = stream(b"0 0 9 9 re f", b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]")
    return page_pdf(content, resources=resources, more=[form])


def wrong_lengths() -> bytes:
    """Streams that are shorter and longer than they say."""
    return page_pdf().replace(b"/Length %d" % len(TEXT), b"/Length 999999")


def nested_arrays(depth: int) -> bytes:
    """An array in an array, and so on."""
    return page_pdf(page=BOX + b"/Odd " + b"[" * depth + b"]" * depth)


def reference_loop() -> bytes:
    """The page's content is an object that stands for itself."""
    return page_pdf(more=[b"6 0 R"]).replace(b"/Contents 4 0 R", b"/Contents 6 0 R")


def content_bomb(size: int) -> bytes:
    """A content stream that unpacks to so many bytes, packed twice."""
    packed = zlib.compress(zlib.compress(b"q 1 0 0 1 0 0 cm Q " * (size // 19), 9), 9)
    content = stream(packed, b"/Filter[/FlateDecode/FlateDecode]")
    return page_pdf(more=[content]).replace(b"/Contents 4 0 R", b"/Contents 6 0 R")
