"""The handbook's figures: panels of drawings with letters and labelled leader lines, as described in figures.jsonl."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from pipelines.sample.chest import draw_chest
from pipelines.sample.fundus import draw_fundus
from pipelines.sample.manuscript import PACKAGE
from pipelines.sample.masks import OVERSAMPLING
from pipelines.sample.page import COLUMN
from pipelines.sample.scene import Scene
from pipelines.sample.tissue import draw_tissue

PIXELS_PER_POINT = 2.0
LABEL_POINTS = 8.6
GAP_POINTS = 7.0
LABEL_COLUMN_POINTS = 92.0
INK = (32, 48, 66)
DRAWERS = {"chest": draw_chest, "tissue": draw_tissue, "fundus": draw_fundus}


@dataclass(frozen=True, slots=True)
class Label:
    """A name beside a panel, with a line to a place in it (fractions of the panel)."""

    text: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class FigurePlan:
    """How one figure is made: a row of panels, or a vector drawing by its file name."""

    name: str
    width: float
    panels: tuple[tuple[Scene, tuple[Label, ...]], ...] = ()
    vector: str = ""
    lettered: bool = True

    @property
    def points(self) -> float:
        """The printed width."""
        return COLUMN * self.width


def draw(scene: Scene, size: int) -> Image.Image:
    """The image of a scene by its kind."""
    return DRAWERS[scene.kind](scene, size)


def plans() -> dict[str, FigurePlan]:
    """All figures of the handbook by name."""
    text = (resources.files(PACKAGE) / "handbook" / "figures.jsonl").read_text(encoding="utf-8")
    return {plan.name: plan for plan in (_plan(json.loads(line)) for line in text.splitlines() if line.strip())}


def _plan(row: Mapping[str, Any]) -> FigurePlan:
    panels = tuple(
        (
            Scene.from_row({key: value for key, value in panel.items() if key != "labels"}),
            tuple(Label(*label) for label in panel.get("labels", ())),
        )
        for panel in row.get("panels", ())
    )
    return FigurePlan(row["name"], row.get("width", 1.0), panels, row.get("vector", ""), row.get("lettered", True))


def render(plan: FigurePlan) -> Image.Image:
    """The figure as it is printed, in print resolution."""
    scale = PIXELS_PER_POINT
    labelled = len(plan.panels) == 1 and bool(plan.panels[0][1])
    margin = round(LABEL_COLUMN_POINTS * scale) if labelled else 0
    across, gap = round(plan.points * scale), round(GAP_POINTS * scale)
    side = (across - 2 * margin - gap * (len(plan.panels) - 1)) // len(plan.panels)
    sheet = Image.new("RGB", (across, side), (255, 255, 255))
    for index, (scene, labels) in enumerate(plan.panels):
        left = margin + index * (side + gap)
        sheet.paste(draw(scene, side).convert("RGB"), (left, 0))
        if labels:
            sheet = _labelled(sheet, labels, (left, side))
    if len(plan.panels) > 1 and plan.lettered:
        _letters(sheet, [margin + index * (side + gap) for index in range(len(plan.panels))])
    return sheet


def _letters(sheet: Image.Image, lefts: Sequence[int]) -> None:
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(round(9.5 * PIXELS_PER_POINT))
    tab = round(15 * PIXELS_PER_POINT)
    for letter, left in zip("ABCDEF", lefts, strict=False):
        pen.rectangle((left, 0, left + tab, tab), fill=(255, 255, 255))
        pen.text((left + tab / 2, tab / 2), letter, font=font, fill=INK, anchor="mm")


def _labelled(sheet: Image.Image, labels: Sequence[Label], place: tuple[int, int]) -> Image.Image:
    """The sheet with labels in both margins; lines are drawn oversampled so that slanted ones stay clean."""
    left, side = place
    zoom = OVERSAMPLING
    big = sheet.resize((sheet.width * zoom, sheet.height * zoom), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(big)
    font = ImageFont.load_default(round(LABEL_POINTS * PIXELS_PER_POINT * zoom))
    for near_left in (True, False):
        chosen = sorted((label for label in labels if (label.x < 0.5) == near_left), key=lambda label: label.y)
        heights = spread([label.y * side for label in chosen], 13.5 * PIXELS_PER_POINT, float(side))
        for label, height in zip(chosen, heights, strict=True):
            tip = ((left + label.x * side) * zoom, label.y * side * zoom)
            edge = (left - 5 if near_left else left + side + 5) * zoom
            _leader(pen, (edge, height * zoom), tip)
            anchor = "rm" if near_left else "lm"
            shift = -6 * zoom if near_left else 6 * zoom
            pen.text((edge + shift, height * zoom), label.text, font=font, fill=INK, anchor=anchor)
    return big.reduce(zoom)


def _leader(pen: ImageDraw.ImageDraw, start: tuple[float, float], tip: tuple[float, float]) -> None:
    # A pale casing keeps the dark line readable on black film and on white paper alike.
    pen.line((*start, *tip), fill=(255, 255, 255), width=7)
    pen.line((*start, *tip), fill=(24, 90, 140), width=3)
    x, y = tip
    pen.ellipse((x - 9, y - 9, x + 9, y + 9), fill=(255, 255, 255))
    pen.ellipse((x - 6, y - 6, x + 6, y + 6), fill=(24, 90, 140))


def spread(wanted: Sequence[float], gap: float, length: float) -> list[float]:
    """Heights near the wanted ones, at least `gap` apart and inside 0..length (wanted is ascending)."""
    heights: list[float] = []
    for value in wanted:
        heights.append(max(value, heights[-1] + gap if heights else gap / 2))
    limit = length - gap / 2
    for index in range(len(heights) - 1, -1, -1):
        heights[index] = min(heights[index], limit)
        limit = heights[index] - gap
    return heights


def jpeg(image: Image.Image) -> bytes:
    """The image as it goes into the book."""
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=88, subsampling=0)
    return sink.getvalue()


def vector_source(plan: FigurePlan) -> bytes:
    """The SVG source of a vector figure."""
    return (resources.files(PACKAGE) / "handbook" / plan.vector).read_bytes()
