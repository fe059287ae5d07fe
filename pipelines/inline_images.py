"""Image files as data URIs: decoded within limits and encoded anew, so a page carries pixels and no metadata."""

from __future__ import annotations

import base64
import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
_MAX_PIXELS = 50_000_000
"""Read from the header before any pixel is decoded; a 12,000 x 12,000 image of 17 KiB is a known bomb."""


def data_uri(path: Path, longest_side: int = 1400) -> str | None:
    """The image scaled down to `longest_side` pixels as a data URI; None when it cannot be read safely.

    Pages stay sharp as PNG when they have few colours, photographs become JPEG.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as image:
                if image.width * image.height > _MAX_PIXELS:
                    return None
                image.draft("RGB", (longest_side, longest_side))
                shown = _eight_bit(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        # Pillow reports broken files with all of these, SyntaxError among them for bad PNG chunks.
        return None
    shown.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    return _encode(shown)


def _eight_bit(image: Image.Image) -> Image.Image:
    """RGB over white; 16-bit and float radiographs are stretched between their extremes."""
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float64)
        low, high = float(values.min()), float(values.max())
        grey = (values - low) / (high - low) * 255 if high > low else np.zeros_like(values)
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _encode(image: Image.Image) -> str:
    few_colours = image.getcolors(maxcolors=4096) is not None
    buffer = io.BytesIO()
    if few_colours:
        image.save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "JPEG", quality=85)
    kind = "png" if few_colours else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
