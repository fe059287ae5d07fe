"""The kinds of awkward files, and what may become of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from benchmarks import awkward_content as content
from benchmarks import awkward_structure as structure
from benchmarks.awkward_bytes import page_pdf
from indexers.sources.pdf_faults import PdfFault

WHOLE, PARTLY = "indexed", "indexed in part"


def _either(*faults: PdfFault) -> tuple[str, ...]:
    return tuple(fault.name for fault in faults)


_ANY = (WHOLE, PARTLY, *_either(PdfFault.DAMAGED, PdfFault.NO_PAGES))
"""Damage that a reader may or may not repair."""
_COSTLY = (WHOLE, PARTLY, *_either(PdfFault.TOO_LARGE, PdfFault.NO_MEMORY, PdfFault.TIMED_OUT))
_SIZED = (WHOLE, PARTLY, *_either(PdfFault.TOO_LARGE, PdfFault.BAD_SIZE))
MUTANT = tuple(
    dict.fromkeys((*_ANY, *_COSTLY, *_SIZED, *_either(PdfFault.NOT_PDF, PdfFault.CUT_OFF, PdfFault.ENCRYPTED)))
)
"""Whatever bytes can say, but not that the reader died."""


@dataclass(frozen=True, slots=True)
class AwkwardFile:
    """One file: its kind, how to make it, and the outcomes that are right for it.

    An outcome is WHOLE, PARTLY or the name of the PdfFault for which the file was refused. `heavy` marks files that
    take a second or more to make or to read.
    """

    kind: str
    make: Callable[[], bytes]
    right: tuple[str, ...] = (WHOLE,)
    heavy: bool = False


def awkward_files() -> Iterator[AwkwardFile]:
    """All of them."""
    yield from _forms()
    yield from _references()
    yield from _trees()
    yield from _sizes()
    yield from _bombs()
    yield from _pictures()
    yield from _texts()


def _forms() -> Iterator[AwkwardFile]:
    yield AwkwardFile("empty", bytes, _either(PdfFault.EMPTY))
    yield AwkwardFile("text named .pdf", lambda: b"no pdf at all\n" * 200, _either(PdfFault.NOT_PDF))
    yield AwkwardFile("picture named .pdf", structure.picture_named_pdf, _either(PdfFault.NOT_PDF))
    yield AwkwardFile("head without body", lambda: b"%PDF-1.7\n" + bytes(5000) + structure.END, _ANY[2:])
    for part in (0.02, 0.25, 0.5, 0.75, 0.95):
        yield AwkwardFile("cut off", partial(structure.cut_off, part), _either(PdfFault.CUT_OFF))
        yield AwkwardFile("cut off, with an end", partial(structure.cut_with_end, part), _ANY)
    yield AwkwardFile("junk before", partial(structure.polyglot, 900))
    yield AwkwardFile("much junk before", partial(structure.polyglot, 5000), _either(PdfFault.NOT_PDF))
    yield AwkwardFile("two in one", structure.two_in_one)
    yield AwkwardFile("zeros after", partial(structure.trailing_junk, 600))
    yield AwkwardFile("many zeros after", partial(structure.trailing_junk, 5000), _either(PdfFault.CUT_OFF))
    yield AwkwardFile("line ends damaged", structure.line_ends_damaged, _ANY)
    yield AwkwardFile("high bits lost", structure.high_bits_lost, _ANY)
    yield AwkwardFile("linearised, hints wrong", structure.linearised_with_wrong_hints)
    yield AwkwardFile("encrypted", partial(structure.encrypted, "user"), _either(PdfFault.ENCRYPTED))
    yield AwkwardFile("encrypted, empty password", partial(structure.encrypted, ""))


def _references() -> Iterator[AwkwardFile]:
    yield AwkwardFile("xref loop", structure.xref_loop)
    yield AwkwardFile("xref astray", structure.xref_astray, _ANY)
    yield AwkwardFile("object stream recursion", structure.object_stream_recursion, _ANY)
    yield AwkwardFile("reference loop", structure.reference_loop, _ANY)
    yield AwkwardFile("wrong stream lengths", structure.wrong_lengths)
    yield AwkwardFile("odd names", structure.odd_names)
    yield AwkwardFile("nested arrays", partial(structure.nested_arrays, 100_000), _ANY)


def _trees() -> Iterator[AwkwardFile]:
    yield AwkwardFile("zero pages", structure.zero_pages, _either(PdfFault.NO_PAGES))
    yield AwkwardFile("page tree cycle", structure.page_tree_cycle, _ANY)
    yield AwkwardFile("deep page tree", partial(structure.page_tree_depth, 10_000), _ANY)
    for count in (5, 0, -1, 100_000, 2**31 - 1):
        yield AwkwardFile("wrong page count", partial(structure.page_count, count), _ANY + _either(PdfFault.TOO_LARGE))
    for count in (90_000, 8_000_000):
        right = (PARTLY, *_either(PdfFault.TOO_LARGE, PdfFault.DAMAGED))
        yield AwkwardFile("page count of objects", partial(structure.page_count_of_objects, count), right, heavy=True)
    yield AwkwardFile("3,000 stamps", partial(structure.many_pages, 3000), heavy=True)
    yield AwkwardFile("outline 100,000 deep", partial(structure.outline_depth, 100_000), heavy=True)
    yield AwkwardFile("outline cycle", structure.outline_cycle)


def _sizes() -> Iterator[AwkwardFile]:
    for box in ("0 0 14400 14400", "0 0 200000 200000", "0 0 1e9 1e9", "-1e9 -1e9 1e9 1e9", "0 0 14400 2"):
        yield AwkwardFile("huge page", partial(content.media_box, box), _SIZED)
    for box in ("0 0 0.1 0.1", "0 0 1 1", "0 0 0 0", "5 5 5 900", "595 842 0 0", "-595 -842 0 0"):
        yield AwkwardFile("tiny, empty or negative page", partial(content.media_box, box), _SIZED)
    for box in ("nan nan inf -inf", "(a) /b null [1]", "0 0", ""):
        yield AwkwardFile("page size of no numbers", partial(content.media_box, box), _SIZED)
    yield AwkwardFile("page without size", content.without_box)
    for turn in (90, 180, 270, 45, -90, 99999990):
        yield AwkwardFile("turned", partial(content.page_entry, f"/Rotate {turn}"))
    for unit in ("0", "10", "-3", "1e9"):
        yield AwkwardFile("user unit", partial(content.page_entry, f"/UserUnit {unit}"), _SIZED)
    for crop in ("1000 1000 2000 2000", "-50 -50 5000 5000", "10 10 10 10", "500 500 100 100"):
        yield AwkwardFile("crop beside the page", partial(content.page_entry, f"/CropBox[{crop}]"), _SIZED)


def _bombs() -> Iterator[AwkwardFile]:
    yield AwkwardFile("content bomb", partial(structure.content_bomb, 200 << 20), _COSTLY, heavy=True)
    yield AwkwardFile("form bomb", partial(content.form_bomb, 12), _COSTLY, heavy=True)
    yield AwkwardFile("font bomb", partial(content.font_bomb, 400 << 20), _COSTLY, heavy=True)
    yield AwkwardFile("glyph in itself", content.glyph_that_draws_itself, _COSTLY)
    yield AwkwardFile("image bomb", partial(content.image_bomb, 30_000), _COSTLY, heavy=True)
    yield AwkwardFile("picture that claims too much", content.picture_claims, _COSTLY)
    yield AwkwardFile("pattern in itself", content.pattern_in_itself, _COSTLY, heavy=True)
    yield AwkwardFile("shading junk", content.shading_junk, _COSTLY)
    yield AwkwardFile("a million paths", partial(content.paths, 1_000_000), _COSTLY, heavy=True)
    yield AwkwardFile("60,000 words", partial(content.many_words, 60_000), _either(PdfFault.TOO_LARGE))


def _pictures() -> Iterator[AwkwardFile]:
    for codec in ("JBIG2Decode", "JPXDecode", "DCTDecode", "CCITTFaxDecode", "LZWDecode", "NoSuchDecode"):
        yield AwkwardFile("picture junk", partial(content.picture_junk, codec), (WHOLE, PARTLY))
    yield AwkwardFile("CMYK and palette", content.colours)
    yield AwkwardFile("scan", content.scan)
    yield AwkwardFile("annotations and fields", content.annotations)
    yield AwkwardFile("XFA form", content.xfa_form)
    yield AwkwardFile("attachments and scripts", content.attachments)


def _texts() -> Iterator[AwkwardFile]:
    yield AwkwardFile("blank page", lambda: page_pdf(b""))
    yield AwkwardFile("missing font", content.missing_font)
    yield AwkwardFile("broken content", content.broken_content, (WHOLE, PARTLY))
    yield AwkwardFile("numbers out of reach", content.far_numbers, (WHOLE, PARTLY))
    yield AwkwardFile("half characters", content.surrogate_text)
    yield AwkwardFile("odd characters", content.odd_characters)
    yield AwkwardFile("vertical and right to left", content.vertical_and_right_to_left)
    yield AwkwardFile("hidden text", content.hidden_text)
    yield AwkwardFile("hidden layer", content.hidden_layer)
