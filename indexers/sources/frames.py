"""Messages between a parser and its child process: a length-prefixed JSON header, then blobs of declared sizes.

The reader trusts nothing: every size is checked before a byte of it is read.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

MAX_HEADER = 32 << 20
MAX_BLOB = 64 << 20
MAX_BLOBS = 256
_LENGTH = struct.Struct(">I")


class Frame(NamedTuple):
    """One message: a JSON object and the bytes that follow it."""

    header: dict[str, Any]
    blobs: tuple[bytes, ...] = ()


class BadFrame(Exception):
    """The other side broke the protocol."""


def pack(header: dict[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """Bytes of a message."""
    text = json.dumps({**header, "blobs": [len(blob) for blob in blobs]}, separators=(",", ":")).encode()
    return b"".join((_LENGTH.pack(len(text)), text, *blobs))


def read(read_exactly: Callable[[int], bytes]) -> Frame:
    """Read one message. `read_exactly(n)` returns n bytes or raises. Raises BadFrame for sizes out of bounds."""
    (length,) = _LENGTH.unpack(read_exactly(_LENGTH.size))
    if length > MAX_HEADER:
        raise BadFrame(f"a header of {length} bytes")
    try:
        header = json.loads(read_exactly(length))
    except (ValueError, RecursionError) as error:
        raise BadFrame("a header that is not JSON") from error
    sizes = header.pop("blobs", None) if isinstance(header, dict) else None
    if not isinstance(sizes, list) or len(sizes) > MAX_BLOBS:
        raise BadFrame("a header without a list of sizes")
    if any(not isinstance(size, int) or not 0 <= size <= MAX_BLOB for size in sizes):
        raise BadFrame("a blob size out of bounds")
    return Frame(header, tuple(read_exactly(size) for size in sizes))
