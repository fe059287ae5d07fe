"""Images of a prompt: files of this machine, decoded, cropped, scaled, and encoded anew as data URIs.

Nothing else is ever sent: a server that is given an address fetches it (CVE-2025-6242), and metadata of the file, such
as a name in EXIF, stay here.
"""

from __future__ import annotations

import base64
import io
import math
import re
import stat
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from rag.chat import ImagePart
from rag.errors import QueryError

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
"""What is opened. Other decoders of Pillow had decompression bombs that pass its own guard."""
MOST_PIXELS = 50_000_000
"""As everywhere in Vesalius; read from the header before a pixel is decoded."""
MOST_BYTES = 200 << 20
SHORTEST, LONGEST = 32, 4096
"""Sides of what is sent: a patch and its neighbours must fit in, and some processors refuse ratios above 200."""
JPEG_QUALITY = 92
_FEW_COLOURS = 256

_ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]{1,20}:(/|data|[^\\]*[,;])|^data:", re.IGNORECASE)


def data_uri(part: ImagePart, pixels: int) -> str:
    """The image as a data URI of at most so many pixels. The same file gives the same bytes, so prefixes are reused.

    Raises:
        QueryError: it is an address, no file, empty, too large, animated, damaged, or no image; or the crop is no box.
    """
    path = _file(part.path)
    with _reporting(path):
        image = _decoded(path, pixels if part.crop is None else 0)
        image = _eight_bit(image.crop(_box(part, image.width, image.height)))
        image = image.resize(fitted(image.width, image.height, pixels), Image.Resampling.LANCZOS)
        return _encoded(image)


def fitted(width: int, height: int, pixels: int) -> tuple[int, int]:
    """Width and height within a number of pixels, shape kept as far as the limits of each side allow."""
    scale = min(1.0, math.sqrt(pixels / (width * height)), LONGEST / max(width, height))
    # Rounded down: a pixel above the budget would be scaled a second time by the server.
    return max(SHORTEST, int(width * scale)), max(SHORTEST, int(height * scale))


def _file(path: Path) -> Path:
    text = str(path)
    if _ADDRESS.match(text):
        raise QueryError(f"image {text[:60]!r} is an address, which is never fetched; give a file of this machine")
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise QueryError(f"there is no image {text[:200]!r}") from error
    if not stat.S_ISREG(found.st_mode):
        raise QueryError(f"image {path.name} is not a file")
    if not 0 < found.st_size <= MOST_BYTES:
        raise QueryError(f"image {path.name} has {found.st_size} bytes; give one with 1 to {MOST_BYTES >> 20} MiB")
    return path


class _reporting:  # noqa: N801 - reads as a statement: with _reporting(path)
    """Turns what Pillow raises into one clear QueryError."""

    def __init__(self, path: Path) -> None:
        self._name = path.name

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, QueryError):
            return
        if isinstance(error, UnidentifiedImageError):
            raise QueryError(f"image {self._name} is none of {', '.join(FORMATS)}") from error
        if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
            raise QueryError(f"image {self._name} has over {MOST_PIXELS // 10**6} million pixels") from error
        # Any of these come from Pillow's decoders on damaged data; warnings where the caller made errors of them.
        damaged = (
            OSError,
            ValueError,
            SyntaxError,
            EOFError,
            ArithmeticError,
            LookupError,
            TypeError,
            MemoryError,
            Warning,
            struct.error,
            zlib.error,
        )
        if isinstance(error, damaged):
            raise QueryError(f"image {self._name} is damaged: {error}") from error


def _decoded(path: Path, pixels: int) -> Image.Image:
    """The image upright. With `pixels`, a JPEG may be decoded at a fraction of its size that still has as many."""
    with Image.open(path, formats=FORMATS) as image:
        size = image.width * image.height
        if not 0 < size <= MOST_PIXELS:
            limit = MOST_PIXELS // 10**6
            raise QueryError(
                f"image {path.name} has {image.width} x {image.height} pixels; 1 to {limit} million are read"
            )
        # A photograph of a phone may carry a preview as a second frame; anything else with frames moves.
        if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
            raise QueryError(f"image {path.name} has several frames; save the one that is meant as PNG")
        if pixels and size > 4 * pixels:
            scale = math.sqrt(pixels / size)
            image.draft(None, (math.ceil(image.width * scale), math.ceil(image.height * scale)))
        return ImageOps.exif_transpose(image)


def _box(part: ImagePart, width: int, height: int) -> tuple[int, int, int, int]:
    """The crop in pixels, at least one each way."""
    x0, y0, x1, y1 = part.crop or (0.0, 0.0, 1.0, 1.0)
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise QueryError(f"crop {part.crop} of image {part.path.name}: give x0 < x1 and y0 < y1 within [0, 1]")
    left, top = min(int(x0 * width), width - 1), min(int(y0 * height), height - 1)
    return left, top, max(left + 1, math.ceil(x1 * width)), max(top + 1, math.ceil(y1 * height))


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey or RGB of 8 bits, transparent parts white; deep grey has the central 99 % of its values spread out."""
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image, np.float64)
        finite = values[np.isfinite(values)]
        low, high = np.percentile(finite, (0.5, 99.5)) if finite.size else (0.0, 0.0)
        scaled = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / max(high - low, 1e-12)
        return Image.fromarray((np.clip(scaled, 0, 1) * 255).astype(np.uint8), "L")
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "L" else image.convert("RGB")


def _encoded(image: Image.Image) -> str:
    """PNG for drawings and text, where few colours make it the smaller one; else JPEG with full colour resolution."""
    image.info.clear()  # a comment of the file would be written again: it may hold a name
    stream = io.BytesIO()
    if image.mode == "RGB" and image.getcolors(_FEW_COLOURS) is not None:
        image.save(stream, format="PNG", compress_level=6)
        kind = "png"
    else:
        image.save(stream, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
