"""The microscope slide that tissue is drawn on: cells, nuclei and fibres in the colours of a stain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pipelines.sample.masks import OVERSAMPLING, Point, clouds, smooth

Ink = tuple[int, int, int]

NUCLEUS: Ink = (74, 46, 122)
DARK_NUCLEUS: Ink = (52, 30, 98)
PALE_NUCLEUS: Ink = (132, 104, 172)
CYTOPLASM: Ink = (226, 148, 186)
EOSIN: Ink = (222, 108, 158)
STROMA: Ink = (240, 196, 216)
FIBRE: Ink = (225, 150, 186)
LUMEN: Ink = (250, 246, 248)
MUCIN: Ink = (214, 216, 236)
RED_CELL: Ink = (216, 72, 78)


def shade(ink: Ink, amount: float) -> Ink:
    """The ink made lighter (above 0, towards white) or darker (below 0, towards black)."""
    target = 255 if amount > 0 else 0
    red, green, blue = (round(part + (target - part) * abs(amount)) for part in ink)
    return red, green, blue


ROUND = np.array([(math.cos(angle), math.sin(angle)) for angle in np.linspace(0, 2 * np.pi, 9, endpoint=False)])


@dataclass(slots=True)
class Slide:
    """An oversampled sheet of tissue; coordinates and sizes are fractions of the side.

    Mutable by nature: cells are drawn one over another, as on paper.
    """

    size: int
    rng: np.random.Generator
    ground: Ink = STROMA
    sheet: Image.Image = field(init=False)
    pen: ImageDraw.ImageDraw = field(init=False)

    def __post_init__(self) -> None:
        """Prepares the empty sheet."""
        side = self.size * OVERSAMPLING
        self.sheet = Image.new("RGB", (side, side), self.ground)
        self.pen = ImageDraw.Draw(self.sheet)

    def shape(self, outline: Sequence[Point], ink: Ink, edge: Ink | None = None, width: float = 0.0) -> None:
        """A filled outline, with a drawn edge where one is given."""
        side = self.size * OVERSAMPLING
        points = [(x * side, y * side) for x, y in outline]
        self.pen.polygon(points, fill=ink)
        if edge is not None:
            self.pen.line([*points, points[0]], fill=edge, width=max(round(width * side), 1))

    def oval(self, centre: Point, radii: Point, ink: Ink, turn: float = 0.0, wobble: float = 0.06) -> list[Point]:
        """An uneven oval; returns its outline so that an edge can follow it."""
        corners = ROUND * (1 + self.rng.normal(0, wobble, (len(ROUND), 1))) * radii
        cos, sin = math.cos(turn), math.sin(turn)
        outline = smooth(corners @ ((cos, sin), (-sin, cos)) + centre, steps=4)
        self.shape(outline, ink)
        return outline

    def nucleus(self, centre: Point, radii: Point, ink: Ink = NUCLEUS, turn: float = 0.0) -> None:
        """A nucleus with a darker rim and a little chromatin."""
        tone = shade(ink, float(self.rng.uniform(-0.12, 0.14)))
        outline = self.oval(centre, radii, shade(tone, -0.28), turn)
        self.shape([(centre[0] + (x - centre[0]) * 0.8, centre[1] + (y - centre[1]) * 0.8) for x, y in outline], tone)
        grains = self.rng.normal(0, 0.3, (3, 2)).tolist()
        for x, y in grains:
            self.dot((centre[0] + x * radii[0], centre[1] + y * radii[1]), min(radii) * 0.20, shade(tone, -0.30))

    def dot(self, centre: Point, radius: float, ink: Ink) -> None:
        """A small round spot."""
        side = self.size * OVERSAMPLING
        x, y, r = centre[0] * side, centre[1] * side, max(radius * side, 1)
        self.pen.ellipse((x - r, y - r, x + r, y + r), fill=ink)

    def strand(self, points: Sequence[Point], width: float, ink: Ink) -> None:
        """A fibre or a membrane along the points."""
        side = self.size * OVERSAMPLING
        self.pen.line([(x * side, y * side) for x, y in points], fill=ink, width=max(round(width * side), 1))

    def fibres(self, count: int, ink: Ink = FIBRE, box: tuple[float, float, float, float] = (0, 0, 1, 1)) -> None:
        """Wavy collagen inside a box (left, top, right, bottom)."""
        left, top, right, bottom = box
        for _ in range(count):
            x, y = self.rng.uniform(left - 0.1, right), self.rng.uniform(top, bottom)
            tilt, waves = self.rng.normal(0.05, 0.16), self.rng.normal(0, 0.006, 6).tolist()
            knots = [(float(x + 0.05 * k), float(y + tilt * 0.05 * k + wave)) for k, wave in enumerate(waves)]
            curve = smooth(knots, closed=False)
            points = [point for point in curve if left <= point[0] <= right and top <= point[1] <= bottom]
            if len(points) > 1:
                self.strand(
                    points, float(self.rng.uniform(0.002, 0.006)), shade(ink, float(self.rng.uniform(-0.08, 0.35)))
                )

    def scattered(self, count: int, gap: float, box: tuple[float, float, float, float] = (0, 0, 1, 1)) -> list[Point]:
        """Up to `count` random places inside a box that keep a distance from each other."""
        left, top, right, bottom = box
        pitch = gap * 1.22
        rows, columns = np.mgrid[top : bottom + pitch : pitch * 0.87, left : right + pitch : pitch]
        columns = columns + pitch / 2 * (np.arange(len(rows)) % 2)[:, None]
        grid = np.stack([columns.ravel(), rows.ravel()], axis=1)
        grid = grid + self.rng.uniform(-0.24, 0.24, grid.shape) * pitch
        inside = grid[np.all((grid >= (left, top)) & (grid <= (right, bottom)), axis=1)]
        return [(x, y) for x, y in self.rng.permutation(inside)[:count].tolist()]

    def develop(self, tint: Ink = (255, 255, 255)) -> Image.Image:
        """The finished micrograph: reduced, slightly uneven in staining, with camera grain."""
        small = self.sheet.reduce(OVERSAMPLING).filter(ImageFilter.GaussianBlur(self.size * 0.0009))
        staining = 1 - 0.11 * clouds(self.rng, self.size, 0.05) - 0.05 * clouds(self.rng, self.size, 0.4)
        light = np.asarray(tint, dtype=np.float32) * np.float32(1.06 / 255)
        grain = 2.6 * self.rng.standard_normal((self.size, self.size, 1), dtype=np.float32)
        pixels = np.asarray(small, dtype=np.float32) * staining[:, :, None] * light + grain
        return Image.fromarray(np.asarray(np.clip(pixels, 0, 255), dtype=np.uint8))
