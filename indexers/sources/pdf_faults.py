"""The classes of what can be wrong with a PDF, as the first words of the reason that a build reports."""

from __future__ import annotations

import re
from enum import StrEnum


class PdfFault(StrEnum):
    """Why a PDF, or a page of one, was not read. The value is how every reason of this class begins.

    The first seven are known without reading a page, and refuse the file.
    """

    UNREADABLE = "the file cannot be read"
    EMPTY = "the file is empty"
    NOT_PDF = "it is not a PDF"
    CUT_OFF = "the PDF is cut off"
    ENCRYPTED = "the PDF is encrypted"
    NO_PAGES = "the PDF has no pages"
    DAMAGED = "the PDF is damaged"
    BAD_SIZE = "the page has no usable size"
    TOO_LARGE = "it holds more than is read"
    NO_MEMORY = "it needs more memory than is allowed"
    TIMED_OUT = "it takes too long"
    CRASHED = "it ended the PDF reader"
    BAD_REPLY = "the PDF reader's reply does not fit"
    NOT_STARTED = "the PDF reader could not be started"
    GIVEN_UP = "the rest of the PDF is given up"

    def because(self, detail: str) -> str:
        """A reason of this class with what is known about the single case."""
        return f"{self.value}: {detail}" if detail else self.value


_MEMORY = re.compile(
    r"MemoryError|bad_alloc|(?:m|c|re)alloc[^a-z].*failed|out of memory|cannot allocate", re.IGNORECASE
)
_PATH = re.compile(r" '[^']*/[^']*'")
_TOO_LARGE = re.compile(r"overly|too large|too many|too wide|too high|limit|overflow", re.IGNORECASE)


def fault_of(reason: str) -> PdfFault | None:
    """The class of a reason that a PDF parser gave; None for the reasons of other parts (recognition of scans)."""
    return next((fault for fault in PdfFault if reason.startswith(fault.value)), None)


def library_reason(error: Exception) -> str:
    """What an exception of MuPDF or its binding means; its types are many and its message one line or more."""
    # PyMuPDF's only message of a file that MuPDF cannot open repeats its path.
    first = _PATH.sub("", (str(error).splitlines() or [""])[0])[:200]
    detail = f"{type(error).__name__}: {first}" if first else type(error).__name__
    if isinstance(error, MemoryError) or _MEMORY.search(detail):
        return PdfFault.NO_MEMORY.because(detail)
    return (PdfFault.TOO_LARGE if _TOO_LARGE.search(first) else PdfFault.DAMAGED).because(detail)
