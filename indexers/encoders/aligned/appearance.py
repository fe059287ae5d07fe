"""Colour, brightness and sharpness of an image as plain numbers, beside what a network sees in it.

A vision transformer trained to ignore lighting and blur keeps little of them; reports speak of haze, stain and
exposure. Everything is computed on the image scaled to one size, so files of any resolution compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from indexers.encoders.pictures import Pixels, open_picture
from indexers.encoders.unit_rows import unit_rows
from rag.errors import QueryError, SourceError
from rag.fingerprint import digest
from rag.protocols import Encoder
from rag.types import Matrix, Passage, Query, Vector, VectorSpec

_SIDE = 224
_CELLS = 4
_PERCENTILES = (5, 25, 50, 75, 95)
_SCALES = 4
_VERSION = 1
# Added to every row before it is scaled to length 1, so that brightness is not divided away.
_CONSTANT = 8.0


class AppearanceEncoder:
    """Rows of an image encoder with the image's appearance beside them, each part of length 1; one row per image.

    `image` gives one row per image; it is the encoder of whole images, without cut-outs.
    """

    def __init__(self, image: Encoder) -> None:
        self._image = image
        spec = image.spec
        self._spec = VectorSpec(spec.name, spec.form, spec.dim + APPEARANCE_DIM)

    @property
    def spec(self) -> VectorSpec:
        return self._spec

    @property
    def fingerprint(self) -> str:
        return digest({"encoder": "appearance", "version": _VERSION, "image": self._image.fingerprint})

    def encode_passages(self, passages: Sequence[Passage]) -> list[Vector | None]:
        """Raises SourceError naming the file when an image cannot be read."""
        rows = self._image.encode_passages(passages)
        return [_beside(row, passage.images) for row, passage in zip(rows, passages, strict=True)]

    def encode_queries(self, queries: Sequence[Query]) -> list[Vector | None]:
        """Raises QueryError naming the file when an image cannot be read."""
        rows = self._image.encode_queries(queries)
        try:
            return [_beside(row, query.images) for row, query in zip(rows, queries, strict=True)]
        except SourceError as error:
            raise QueryError(f"{error}; give a whole image file of a common format") from error


def _beside(rows: Vector | None, images: Sequence[Path]) -> Matrix | None:
    if not isinstance(rows, np.ndarray):
        return None
    looks = np.concatenate([appearance(_pixels(image)) for image in images])
    return unit_rows(np.concatenate([unit_rows(rows), looks], axis=1))


def _pixels(path: Path) -> Pixels:
    picture = open_picture(path).resize((_SIDE, _SIDE))
    pixels: Pixels = np.asarray(picture, np.float32) / np.float32(255)
    return pixels


def appearance(pixels: Pixels) -> Matrix:
    """The numbers of one image, length 1, shape (1, APPEARANCE_DIM), from colours in [0, 1], (224, 224, 3).

    Mean and deviation of brightness and two colour differences in 4 x 4 cells, their percentiles over the image, and
    the logarithm of the contrast at four scales.
    """
    channels = _opponent(pixels)
    cell = _SIDE // _CELLS
    cells = channels.reshape(_CELLS, cell, _CELLS, cell, 3)
    parts = [
        cells.mean(axis=(1, 3)).ravel(),
        cells.std(axis=(1, 3)).ravel(),
        np.percentile(channels, _PERCENTILES, axis=(0, 1)).ravel(),
        _contrast(channels[:, :, 0]),
    ]
    return unit_rows(np.concatenate([*parts, [_CONSTANT]]))


def _opponent(pixels: Pixels) -> Pixels:
    """Brightness, red against green, and blue against yellow, shape (h, w, 3)."""
    red, green, blue = pixels[:, :, 0], pixels[:, :, 1], pixels[:, :, 2]
    brightness = (red + green + blue) / 3
    opponent: Pixels = np.stack([brightness, red - green, blue - (red + green) / 2], axis=2)
    return opponent


def _contrast(brightness: Pixels) -> Pixels:
    """Logarithm of the mean step between neighbours, over the image and its middle, at four scales; 8 numbers."""
    found = []
    level = brightness
    for _ in range(_SCALES):
        across, down = np.abs(np.diff(level, axis=1))[:-1], np.abs(np.diff(level, axis=0))[:, :-1]
        steps = across + down
        quarter = len(steps) // 4
        middle = steps[quarter:-quarter, quarter:-quarter]
        found += [np.log(steps.mean() + 1e-3), np.log(middle.mean() + 1e-3)]
        height, width = level.shape
        level = level.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
    contrast: Pixels = np.array(found, np.float32) / np.float32(4)
    return contrast


APPEARANCE_DIM = 2 * 3 * _CELLS**2 + 3 * len(_PERCENTILES) + 2 * _SCALES + 1
"""Length of a row of `appearance`."""
