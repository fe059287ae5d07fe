"""Opening an image file safely, and making it what a vision transformer reads."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from rag.errors import SourceError

# Formats of medical collections. Pillow knows over forty, some of which run other programs or are rarely tested.
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM")
MOST_PIXELS = 50_000_000
# ImageNet statistics, as DINOv2 was trained with: https://github.com/facebookresearch/dinov2
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)

Aspect = Literal["stretch", "letterbox", "crop"]
Pixels = npt.NDArray[np.float32]


def open_picture(path: Path) -> Image.Image:
    """The image as 8-bit RGB, upright, transparent parts white; the first frame if there are several.

    Raises:
        SourceError: the file is absent, damaged, of another format, or has more than 50 million pixels.
    """
    try:
        with warnings.catch_warnings():
            # Pillow's own limit only warns, and later than ours.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise _unreadable(path, f"it has {image.width} x {image.height} pixels, over 50 million")
                return _upright_rgb(image)
    except FileNotFoundError as error:
        raise _unreadable(path, "there is no such file") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _unreadable(path, "it has over 50 million pixels") from error
    except UnidentifiedImageError as error:
        raise _unreadable(path, f"it is none of {', '.join(FORMATS)}") from error
    # Pillow's decoders raise any of these on damaged data.
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, OverflowError, MemoryError) as error:
        raise _unreadable(path, f"it is damaged ({error})") from error


def model_input(image: Image.Image, size: int, aspect: Aspect) -> Pixels:
    """Normalised pixels, shape (3, size, size).

    stretch: both sides to `size`, so nothing is cut off and shapes change. letterbox: the longer side to `size`, the
    rest grey. crop: the shorter side to `size`, the middle kept.
    """
    square = (size, size)
    match aspect:
        case "stretch":
            image = image.resize(square, Image.Resampling.BICUBIC)
        case "letterbox":
            grey = tuple(round(float(value) * 255) for value in MEAN)
            image = ImageOps.pad(image, square, Image.Resampling.BICUBIC, color=grey)
        case "crop":
            image = ImageOps.fit(image, square, Image.Resampling.BICUBIC)
    pixels = (np.asarray(image, np.float32) / 255 - MEAN) / STD
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)


def crops(image: Image.Image, share: float = 0.8) -> list[Image.Image]:
    """The four corners and the centre of an image, each with `share` of both sides."""
    width, height = max(1, round(image.width * share)), max(1, round(image.height * share))
    right, low = image.width - width, image.height - height
    corners = ((0, 0), (right, 0), (0, low), (right, low), (right // 2, low // 2))
    return [image.crop((x, y, x + width, y + height)) for x, y in corners]


def _upright_rgb(image: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "F" or upright.mode.startswith("I"):
        return _from_deep_grey(np.asarray(upright, np.float64))
    if upright.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in upright.info:
        upright = upright.convert("RGBA")
        white = Image.new("RGBA", upright.size, "white")
        return Image.alpha_composite(white, upright).convert("RGB")
    return upright.convert("RGB")


def _from_deep_grey(values: npt.NDArray[np.float64]) -> Image.Image:
    """Greyscale of more than 8 bits: the central 99 % of its values spread over the 8-bit range.

    Detectors use 10 to 16 bits and rarely the whole of them; plain conversion would clip everything above 255.
    """
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, (0.5, 99.5)) if finite.size else (0.0, 0.0)
    scaled = (np.nan_to_num(values, nan=low) - low) / max(high - low, 1e-12)
    return Image.fromarray((np.clip(scaled, 0, 1) * 255).astype(np.uint8), "L").convert("RGB")


def _unreadable(path: Path, reason: str) -> SourceError:
    return SourceError(f"image {path.name} cannot be read: {reason}", stage="image", locator=path.name)
