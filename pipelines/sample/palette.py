"""Colour pictures as arrays, and how one colour is laid over another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.sample.masks import Mask

Picture = NDArray[np.float32]
Colour = tuple[float, float, float]


def blend(picture: Picture, colour: Colour | Picture, cover: Mask) -> Picture:
    """The picture with a colour (or another picture) laid over it where `cover` is above 0.

    picture (size, size, 3) and cover (size, size) in 0..1.
    """
    veil = np.clip(cover, 0, 1)[:, :, None]
    return np.asarray(picture + (np.asarray(colour, dtype=np.float32) - picture) * veil, dtype=np.float32)
