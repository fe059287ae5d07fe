"""One heat map as a picture: the page under colour, its best regions outlined, the question above, the key below."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from rag.regions import Region
from rag.similarity import paint
from rag.types import Matrix

LONGEST_SIDE = 1400
"""Pixels of the drawn page's longer side at the most."""

RAMP = ((0.0, (255, 255, 178)), (0.35, (254, 204, 92)), (0.65, (253, 141, 60)), (1.0, (240, 59, 32)))
"""Colours of values from 0 to 1: the YlOrRd scheme of ColorBrewer (https://colorbrewer2.org), which darkens steadily
and is marked there as safe for colour-blind readers. Its darkest class is left out: print must stay readable."""

OUTLINE = (0, 60, 136)
"""Blue, which no kind of colour blindness takes for orange or red."""

OPACITY = 0.75
"""Of the strongest value; weaker ones let more of the page through, as the power 0.6 of their value."""

INK, FAINT = (26, 26, 26), (110, 110, 110)

OTHER_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "arial.ttf",
    "NotoSansCJK-Regular.ttc",
    "msyh.ttc",
    "PingFang.ttc",
)
"""Fonts looked for by name when a text has letters that Pillow's own lacks: Greek, Cyrillic, Chinese."""

RGB = tuple[int, int, int]
Font = ImageFont.FreeTypeFont


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a picture shows.

    `places` are boxes as fractions of the page, shape (n, 4), with `values` in [0, 1], shape (n,). `words` are those of
    the question with the strength that each is shown with, None for a word that this map is not about.
    """

    title: str
    words: tuple[tuple[str, float | None], ...]
    places: Matrix
    values: npt.NDArray[np.float32]
    regions: tuple[Region, ...]
    size: tuple[float, float]


def draw(path: Path, drawing: Drawing) -> bytes:
    """The picture as a PNG file. `path` is the page's image. Raises OSError when it cannot be read."""
    with Image.open(path) as opened:
        page = opened.convert("RGB")
    page.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    marked = _outlined(_heated(page, drawing), drawing)
    size = max(13, round(page.width / 56))
    shown = _plain(" ".join((drawing.title, *(word for word, _ in drawing.words), *(r.text for r in drawing.regions))))
    header = _header(drawing, page.width, _font(size, shown))
    footer = _footer(drawing, page.width, _font(max(11, round(size * 0.85)), shown))
    sheet = Image.new("RGB", (page.width, header.height + page.height + footer.height), "white")
    top = 0
    for part in (header, marked, footer):
        sheet.paste(part, (0, top))
        top += part.height
    stream = io.BytesIO()
    sheet.save(stream, "PNG")
    return stream.getvalue()


def colours(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The ramp's colour of each value in [0, 1]: shape (..., 3), from 0 to 255."""
    at = [place for place, _ in RAMP]
    parts = [np.interp(values, at, [colour[i] for _, colour in RAMP]) for i in range(3)]
    return np.stack(parts, axis=-1).astype(np.float32)


def laid_over(under: npt.NDArray[np.float32], values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Colour over pixels of shape (h, w, 3): nothing where the value is 0, OPACITY where it is 1.

    Half of it is laid on like a marker pen (multiplied), which keeps print black, half like paint (mixed), which shows
    on a dark radiograph too.
    """
    # Most of a page is cold: only what is hot is worked on.
    hot = values > 0
    cover, colour, below = (OPACITY * np.power(values[hot], 0.6))[:, None], colours(values[hot]), under[hot]
    painted = below * (1 - cover) + colour * cover
    marked = below * (1 - cover + colour / 255 * cover)
    mixed = under.astype(np.uint8)
    mixed[hot] = np.rint((painted + marked) / 2).astype(np.uint8)
    return mixed


def _heated(page: Image.Image, drawing: Drawing) -> Image.Image:
    grid: npt.NDArray[np.float32] = paint(drawing.places, drawing.values, (page.height, page.width))
    hot = drawing.places[drawing.values > 0]
    if len(hot):
        # Edges as soft as a sixth of the boxes' own height: the eye follows a glow more easily than a mosaic.
        radius = float(np.median(hot[:, 3] - hot[:, 1])) * page.height / 6
        levels = Image.fromarray(np.rint(grid * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
        grid = np.asarray(levels, np.float32) / np.float32(255)
    return Image.fromarray(laid_over(np.asarray(page, np.float32), grid))


def _outlined(page: Image.Image, drawing: Drawing) -> Image.Image:
    pen = ImageDraw.Draw(page)
    thick = max(2, page.width // 350)
    across, down = page.width / drawing.size[0], page.height / drawing.size[1]
    for number, region in enumerate(drawing.regions, start=1):
        box = region.box
        left, top = max(box.x0 * across - 2 * thick, 0), max(box.y0 * down - thick, 0)
        right, bottom = min(box.x1 * across + 2 * thick, page.width - 1), min(box.y1 * down + thick, page.height - 1)
        edge = (left, top, max(right, left + 1), max(bottom, top + 1))
        pen.rounded_rectangle(edge, 2 * thick, outline="white", width=2 * thick)
        pen.rounded_rectangle(edge, 2 * thick, outline=OUTLINE, width=thick)
        _badge(pen, str(number), (max(left - 7 * thick, 0), top), 6 * thick)
    return page


def _badge(pen: ImageDraw.ImageDraw, text: str, corner: tuple[float, float], side: int) -> None:
    x, y = corner
    pen.rounded_rectangle((x, y, x + side, y + side), side // 4, fill=OUTLINE, outline="white")
    pen.text((x + side / 2, y + side / 2), text, font=_font(round(side * 0.75)), fill="white", anchor="mm")


def _font(size: int, text: str = "") -> Font:
    """Pillow's own font; where that lacks a letter of the text, the first of this machine's that has them all."""
    own = cast("Font", ImageFont.load_default(size))
    if _covers(own, text):
        return own
    for name in OTHER_FONTS:
        try:
            font = ImageFont.truetype(name, size)
        except OSError:
            continue
        if _covers(font, text):
            return font
    return own


def _size(font: Font) -> int:
    return round(font.size)


def _covers(font: Font, text: str) -> bool:
    missing = bytes(font.getmask("\uffff"))
    return all(letter.isspace() or bytes(font.getmask(letter)) != missing for letter in set(text))


def _plain(text: str) -> str:
    """One line without control characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _header(drawing: Drawing, width: int, font: Font) -> Image.Image:
    """The title, and the question with each word on the colour of its strength."""
    text = margin = _size(font)
    spots: list[tuple[float, float, str, float | None]] = []
    x, y = float(margin), 2.6 * text
    for word, strength in ((_plain(word), strength) for word, strength in drawing.words):
        long = font.getlength(word)
        if x + long > width - margin and x > margin:
            x, y = float(margin), y + 1.8 * text
        spots.append((x, y, word, strength))
        x += long + 0.55 * text
    part = Image.new("RGB", (width, round(y + 2.2 * text)), "white")
    pen = ImageDraw.Draw(part)
    pen.text((margin, 0.9 * text), _fitted(_plain(drawing.title), font, width - 2 * margin), font=font, fill=FAINT)
    for x, y, word, strength in spots:
        if strength:
            around = (x - 0.2 * text, y - 0.15 * text, x + font.getlength(word) + 0.2 * text, y + 1.3 * text)
            pen.rounded_rectangle(around, text // 4, fill=_on_white(strength))
        pen.text((x, y), word, font=font, fill=FAINT if strength is None else INK)
    return part


def _on_white(value: float) -> RGB:
    mixed = laid_over(np.full((1, 1, 3), 255, np.float32), np.full((1, 1), value, np.float32))
    return tuple(mixed[0, 0].tolist())


def _footer(drawing: Drawing, width: int, font: Font) -> Image.Image:
    """The regions with their numbers, and what the colours mean."""
    small = margin = _size(font)
    rows = [(f"{region.score:.2f}  {region.kind}", region.text) for region in drawing.regions]
    line = round(1.7 * small)
    part = Image.new("RGB", (width, (len(rows) or 1) * line + 5 * small), "white")
    pen = ImageDraw.Draw(part)
    indent = margin + 2 * small + font.getlength("0.00  figure   ")
    for number, (score, words) in enumerate(rows, start=1):
        y = small + (number - 1) * line
        _badge(pen, str(number), (margin, y), round(1.3 * small))
        pen.text((margin + 2 * small, y), score, font=font, fill=INK)
        pen.text((indent, y), _fitted(_plain(words), font, width - margin - indent), font=font, fill=FAINT)
    if not rows:
        pen.text((margin, small), "Nothing on this page stands out.", font=font, fill=INK)
    _key(part, (len(rows) or 1) * line + 2 * small, font)
    return part


def _key(part: Image.Image, top: int, font: Font) -> None:
    """The colour scale: the same in every picture, from the page's noise to far above it."""
    pen, small, margin = ImageDraw.Draw(part), _size(font), _size(font)
    start, end = "0: within the noise of the page", "1: far above it"
    left = round(margin + font.getlength(start) + small)
    wide = round(min(16 * small, part.width - left - font.getlength(end) - margin - small))
    pen.text((margin, top), start, font=font, fill=FAINT)
    if wide > 0:
        scale = np.broadcast_to(np.linspace(0, 1, wide, dtype=np.float32), (round(1.2 * small), wide))
        part.paste(Image.fromarray(laid_over(np.full((*scale.shape, 3), 255, np.float32), scale)), (left, top))
        pen.rectangle((left, top, left + wide, top + round(1.2 * small)), outline=FAINT)
    pen.text((left + max(wide, 0) + small, top), end, font=font, fill=FAINT)


def _fitted(text: str, font: Font, width: float) -> str:
    """The text cut at its end such that it is at most `width` pixels long."""
    if font.getlength(text) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(text[:middle] + "...") <= width else (low, middle - 1)
    return text[:low].rstrip() + "..." if low else ""
