"""Lines of a text file from outside, plain or gzipped, with limits on what a line and the whole may hold."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, NamedTuple, cast

from rag.errors import SourceError

MAX_BYTES = 4 << 30
"""Bytes a file may have when unpacked: a gzip bomb of a few megabytes holds more."""
_BOM = b"\xef\xbb\xbf"


class TextLine(NamedTuple):
    """A line without its end, and its number from 1. `problem` says why it has no text."""

    number: int
    text: str
    problem: str = ""


def read_lines(path: Path, max_line: int, max_bytes: int = MAX_BYTES) -> Iterator[TextLine]:
    """Stream the lines of a UTF-8 file, with or without byte-order mark, with any line ends.

    A line over `max_line` bytes, or not in UTF-8, comes as a problem. Raises SourceError when the file is unreadable.
    """
    number = total = 0
    try:
        with closing(_opened(path)) as stream:
            while raw := stream.readline(max_line + 1):
                number += 1
                total += len(raw)
                too_long = len(raw) > max_line and not raw.endswith(b"\n")
                while len(raw) > max_line and not raw.endswith(b"\n") and total <= max_bytes:
                    raw = stream.readline(max_line + 1)
                    total += len(raw)
                    if not raw:
                        break
                if total > max_bytes:
                    raise SourceError(
                        f"the file unpacks to more than {max_bytes} bytes", stage="read", locator=f"line {number}"
                    )
                yield (
                    TextLine(number, "", f"the line is longer than {max_line} bytes")
                    if too_long
                    else _decoded(number, raw)
                )
    except (OSError, EOFError, zlib.error) as error:
        reason = "the file is damaged or cut off" if total else "the file cannot be read"
        raise SourceError(f"{reason} ({error})", stage="read", locator=f"line {number + 1}") from error


def _opened(path: Path) -> IO[bytes]:
    if path.suffix.lower() == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return path.open("rb")


def _decoded(number: int, raw: bytes) -> TextLine:
    try:
        return TextLine(number, raw.removeprefix(_BOM if number == 1 else b"").decode().rstrip("\r\n"))
    except UnicodeDecodeError:
        return TextLine(number, "", "the line is not in UTF-8")
