"""Image files from outside: checked before anything decodes them."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from indexers.sources.dicom_files import SUFFIXES as SUFFIXES_DICOM
from indexers.sources.dicom_files import has_magic
from rag.errors import SourceError

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
"""Formats that are opened. Others (FITS, GD, EPS, JPEG 2000) had decompression bombs that pass Pillow's own guard."""
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"})
MAX_PIXELS = 50_000_000
"""Below Pillow's own warning at 89 million; a whole X-ray has about 10 million."""

DICOM_ADVICE = "it is a DICOM file, not a picture; save the picture as PNG or JPEG (a DICOM viewer can) and give that"
"""What to do with a DICOM file where a picture is wanted: named by a record."""


def looks_dicom(path: Path) -> bool:
    """Whether a file that is no picture is a DICOM file, by its suffix or its magic: then `DICOM_ADVICE` helps."""
    return path.suffix.lower() in SUFFIXES_DICOM or has_magic(path)


def resolve_inside(folder: Path, name: str) -> Path:
    """The file that a relative name means within a folder. Raises SourceError when it would lie outside, or is none."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not name.strip() or "\x00" in name:
        raise SourceError("the image path is empty or has a NUL character", stage="image")
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or PureWindowsPath(name).root:
        raise SourceError(f"image path {name!r} is absolute; give it relative to the records file", stage="image")
    if ".." in parts:
        raise SourceError(f"image path {name!r} leaves the folder of the records file", stage="image")
    try:
        found = (folder / name).resolve(strict=True)
        is_file = found.is_file()
    except (OSError, RuntimeError) as error:
        raise SourceError(f"image {name!r} does not exist", stage="image") from error
    if not found.is_relative_to(folder.resolve()):
        raise SourceError(f"image path {name!r} leads out of the folder of the records file", stage="image")
    if not is_file:
        raise SourceError(f"image {name!r} is not a file", stage="image")
    return found


def check_image(path: Path) -> tuple[int, int]:
    """Width and height in pixels of an image that decodes whole. Raises SourceError for any other."""
    from PIL import Image, UnidentifiedImageError

    if looks_dicom(path):
        raise SourceError(f"{DICOM_ADVICE}; or index the DICOM file itself with --cases", stage="image")
    try:
        with warnings.catch_warnings():
            # Pillow warns, and goes on, where an image is suspiciously large or damaged.
            warnings.simplefilter("error")
            with Image.open(path, formats=FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS or width * height == 0:
                    raise SourceError(
                        f"the image measures {width} x {height} pixels; {MAX_PIXELS // 1_000_000} million is the limit",
                        stage="image",
                    )
                image.load()
    except UnidentifiedImageError as error:
        raise SourceError(f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image", stage="image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise SourceError(f"the image is too large: {error}", stage="image") from error
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, OverflowError) as error:
        raise SourceError(f"the image is corrupt: {error}", stage="image") from error
    except (Warning, struct.error, zlib.error, TypeError, IndexError, KeyError) as error:
        # What the decoders of Pillow raise on damaged files.
        raise SourceError(f"the image is corrupt: {error}", stage="image") from error
    return width, height
