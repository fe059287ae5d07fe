"""The perceptual hash of an image: a short key that copies share though their files differ.

A DCT hash in the family of pHash (Zauner, 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions",
https://www.phash.org/docs/pubs/thesis_zauner.pdf), with 256 bits where pHash has 64: radiographs and fundus photographs
of different people differ in few coarse features, so 64 bits do not tell them apart (docs/cases-and-time.md).
"""

from __future__ import annotations

import struct
import warnings
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from indexers.sources.images import FORMATS, MAX_PIXELS
from rag.errors import SourceError
from rag.fingerprint import sha256_file
from rag.leakage import PHASH, stored_keys
from rag.types import Passage

SIDE = 64
"""Pixels per side of the grey thumbnail that is transformed."""
FREQUENCIES = 16
"""Frequencies kept per direction: 1 to 16 half-waves over the image; 0, the mean along a side, says little."""
_DECODED = 256
"""A JPEG is decoded at the least size that is no smaller: a third of the time, and under 2 % of the bits differ."""
_FLAT = 0.5
"""Grey levels: a picture whose coefficients are all smaller shows nothing that could be recognised."""

Grey = npt.NDArray[np.float64]


def perceptual_hash(path: Path) -> str | None:
    """256 bits as 64 hexadecimal digits: which of 16 x 16 low DCT coefficients lie above their median.

    Copies that were resized, compressed again or made brighter differ in few bits; other images in about half of them.
    None for a picture of one even tone. Takes about 1 ms for an X-ray of 512 pixels.

    Raises:
        SourceError: the file is absent, damaged, of an unknown format or too large.
    """
    waves = _waves()
    kept = (waves @ _thumbnail(path) @ waves.T).ravel()
    if np.abs(kept).max() < _FLAT:
        return None
    bits = np.packbits(kept > np.median(kept))
    return bits.tobytes().hex()


def image_key(path: Path) -> str | None:
    """What an image is recognised by: its perceptual hash; its file's SHA-256 where it has none; None without a file.

    Never raises for a bad image: a guard must go on.
    """
    try:
        found = perceptual_hash(path)
    except SourceError:
        found = None
    if found is not None:
        return found
    try:
        return f"sha256:{sha256_file(path)}"
    except OSError:
        return None


def with_image_keys(passage: Passage) -> Passage:
    """The passage with the keys of its images in its meta, one per image: for the leakage guard and caps per image.

    Unchanged when it has no images, or one of them cannot be read.
    """
    keys = [key for image in passage.images if (key := image_key(image)) is not None]
    if not keys or len(keys) != len(passage.images):
        return passage
    return replace(passage, meta={**passage.meta, PHASH: " ".join(keys)})


class ImageKeys:
    """The image keys of passages and files: those stored with a passage, else computed once and remembered."""

    def __init__(self) -> None:
        self._known: dict[Path, str | None] = {}

    def of_passage(self, passage: Passage) -> tuple[str, ...]:
        """The keys of a passage's images; files that are gone have none."""
        stored = stored_keys(passage)
        return stored if len(stored) == len(passage.images) else self.of_files(passage.images)

    def of_files(self, paths: tuple[Path, ...]) -> tuple[str, ...]:
        """The keys of image files; files that are gone have none."""
        return tuple(key for path in paths if (key := self._key(path)) is not None)

    def _key(self, path: Path) -> str | None:
        if path not in self._known:
            self._known[path] = image_key(path)
        return self._known[path]


def _waves() -> Grey:
    """Rows of the DCT-II of `SIDE` values for the frequencies kept, scaled to mean grey levels: shape (16, 64)."""
    frequency = np.arange(1, FREQUENCIES + 1)[:, None]
    waves: Grey = np.cos(np.pi * (2 * np.arange(SIDE) + 1) * frequency / (2 * SIDE)) / SIDE
    return waves


def _thumbnail(path: Path) -> Grey:
    """The image in grey, upright, each of 64 x 64 pixels the mean of what it covers; the sides are stretched."""
    try:
        with warnings.catch_warnings():
            # Pillow warns, and goes on, where an image is suspiciously large or damaged.
            warnings.simplefilter("error")
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise SourceError(
                        f"image {path.name} has over {MAX_PIXELS // 1_000_000} million pixels", stage="image"
                    )
                image.draft("L", (_DECODED, _DECODED))
                grey = _grey(ImageOps.exif_transpose(image))
                return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64)
    except FileNotFoundError as error:
        raise SourceError(f"image {path.name} does not exist", stage="image") from error
    except (
        OSError, ValueError, SyntaxError, EOFError, MemoryError, OverflowError, Warning, struct.error, zlib.error,
        TypeError, IndexError, KeyError, Image.DecompressionBombError,
    ) as error:  # fmt: skip
        # What Pillow and its decoders raise on files that are none of the formats, too large or damaged.
        raise SourceError(f"image {path.name} cannot be read: {error}", stage="image") from error


def _grey(image: Image.Image) -> Image.Image:
    """Grey levels from 0 to 255; transparent parts are white, and deep pixels keep their whole range."""
    if image.mode.startswith(("I", "F")):
        levels = np.asarray(image, np.float64)
        low, high = float(levels.min()), float(levels.max())
        return Image.fromarray(((levels - low) / max(high - low, 1e-9) * 255).astype(np.uint8))
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
    return image.convert("L")
