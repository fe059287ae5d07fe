"""Soft shapes as arrays: the one drawing vocabulary of films and fundi.

Coordinates are fractions of the image side, x to the right and y down; a mask is float32 (size, size) in 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Mask = NDArray[np.float32]
Point = tuple[float, float]
Line = tuple[Sequence[Point], float]

OVERSAMPLING = 2
# A blur of less than this many pixels is not seen after reduction.
SHARPEST = 0.4


def smooth(points: Sequence[Point] | NDArray[np.float64], *, closed: bool = True, steps: int = 8) -> list[Point]:
    """A Catmull-Rom curve through the points, so that a few anchors make an anatomical outline."""
    curve = _spline(len(points), closed, steps) @ np.asarray(points, dtype=np.float64)
    return [(x, y) for x, y in curve.tolist()]


@lru_cache(maxsize=256)
def _spline(count: int, closed: bool, steps: int) -> NDArray[np.float64]:
    """The matrix that turns `count` anchors into points of their curve."""
    identity = np.eye(count)
    ring = [identity[-1:], identity, identity[:2]] if closed else [identity[:1], identity, identity[-1:]]
    anchors = np.vstack(ring)
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[:, None]
    pieces = [
        (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3) / 2
        for p0, p1, p2, p3 in zip(anchors, anchors[1:], anchors[2:], anchors[3:], strict=False)
    ]
    return np.vstack(pieces if closed else [*pieces, identity[-1:]])


def filled(outlines: Sequence[Sequence[Point]], size: int, softness: float = 0.0) -> Mask:
    """The inside of the outlines; `softness` is the blur of the edge as a fraction of the side."""
    side = size * OVERSAMPLING
    sheet = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(sheet)
    for outline in outlines:
        pen.polygon([(x * side, y * side) for x, y in outline], fill=255)
    return _develop(sheet, size, softness)


def stroked(lines: Sequence[Line], size: int, softness: float = 0.0, *, taper: float = 1.0) -> Mask:
    """Lines of the given widths; `taper` is the width at the far end relative to the start."""
    side = size * OVERSAMPLING
    sheet = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(sheet)
    for points, width in lines:
        count = max(len(points) - 1, 1)
        for index, (start, end) in enumerate(pairwise(points)):
            local = width * side * (1 + (taper - 1) * index / count)
            (x0, y0), (x1, y1) = (start[0] * side, start[1] * side), (end[0] * side, end[1] * side)
            pen.line((x0, y0, x1, y1), fill=255, width=max(round(local), 1))
            if local > 3:
                pen.ellipse((x1 - local / 2, y1 - local / 2, x1 + local / 2, y1 + local / 2), fill=255)
    return _develop(sheet, size, softness)


def spots(places: Sequence[tuple[float, float, float]], size: int, softness: float = 0.0) -> Mask:
    """Round spots given as (x, y, radius)."""
    side = size * OVERSAMPLING
    sheet = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(sheet)
    for x, y, radius in places:
        box = ((x - radius) * side, (y - radius) * side, (x + radius) * side, (y + radius) * side)
        pen.ellipse(box, fill=255)
    return _develop(sheet, size, softness)


def ellipse(centre: Point, radii: Point, turn: float = 0.0) -> list[Point]:
    """The outline of an ellipse turned by `turn` radians."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x, y = radii[0] * np.cos(angle), radii[1] * np.sin(angle)
    cos, sin = np.cos(turn), np.sin(turn)
    return [
        (float(centre[0] + a * cos - b * sin), float(centre[1] + a * sin + b * cos)) for a, b in zip(x, y, strict=True)
    ]


def glow(centre: Point, radii: Point, size: int) -> Mask:
    """A Gaussian hill of height 1 around the centre."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    across = np.exp(-(((axis - centre[0]) / radii[0]) ** 2) / 2)
    down = np.exp(-(((axis - centre[1]) / radii[1]) ** 2) / 2)
    return np.asarray(down[:, None] * across[None, :], dtype=np.float32)


def clouds(rng: np.random.Generator, size: int, grain: float) -> Mask:
    """Smooth random texture in 0..1; `grain` is the size of a lump as a fraction of the side."""
    # Summed at half size: the lumps are far larger than a pixel, and this is four times faster.
    half = max(size // 2, 1)
    total = np.zeros((half, half), dtype=np.float32)
    for octave in range(3):
        cells = min(max(round(2**octave / grain), 2), half)
        coarse = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
        total += np.asarray(coarse.resize((half, half), Image.Resampling.BICUBIC)) * 0.5**octave
    full = Image.fromarray(np.clip(total / 1.75, 0, 1)).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(full, dtype=np.float32)


def step(field: Mask, edge: float, width: float) -> Mask:
    """0 well below the edge, 1 well above it, smooth over `width`."""
    t = np.clip((field - edge) / width + 0.5, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def _develop(sheet: Image.Image, size: int, softness: float) -> Mask:
    small = sheet.reduce(OVERSAMPLING)
    if softness * size > SHARPEST:
        small = small.filter(ImageFilter.GaussianBlur(softness * size))
    return np.asarray(np.asarray(small, dtype=np.float32) / 255, dtype=np.float32)
