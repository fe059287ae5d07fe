"""Figures and tables of a page: the box of the picture, paired with its printed caption. Pure.

A caption is found by its form ("Figure 4.3 ...", "Table 2") and its setting (bold, or smaller than the body text), a
picture by what is drawn (`page_regions`), and the two are paired by nearness, with a caption expected under a figure
and above a table.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from indexers.sources.page_lines import Line, PageText, Rect, page_text, union
from indexers.sources.page_regions import Region, within

_LABEL = re.compile(
    r"(?P<kind>figure|fig\.?|table|plate|chart|scheme)\s*(?P<number>[A-Z]?\d+(?:[.\-–]\d+)*[a-z]?)(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_REACH = 150.0
_UNUSUAL_SIDE = 15.0
_SIDEWAYS = 30.0
_PER_WORD_BETWEEN = 4.0
_PER_POINT_ASIDE = 0.2
_LEAST_UNCAPTIONED = 100.0
_LEAST_UNCAPTIONED_PATHS = 24
_LABEL_GAP = 10.0


class Caption(NamedTuple):
    """A printed caption: its label ("Figure 4.3"), its lines and their box."""

    label: str
    lines: tuple[Line, ...]
    box: Rect

    @property
    def is_table(self) -> bool:
        """Whether it names a table."""
        return self.label.startswith("Table")


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure or table of a page.

    `content` is empty for a picture without a caption. `is_picture` says that the box holds something drawn, so that
    a crop of it is worth an image.
    """

    label: str
    box: Rect
    content: PageText
    is_picture: bool


def find_figures(lines: Sequence[Line], regions: Sequence[Region]) -> list[Figure]:
    """Figures and tables from top to bottom. lines: the body lines of the page."""
    body = body_size(lines)
    captions = find_captions(lines, body)
    owned: dict[int, list[Region]] = {i: [] for i in range(len(captions))}
    free: list[Region] = []
    taken = {id(line) for caption in captions for line in caption.lines}
    others = [line for line in lines if id(line) not in taken]
    for region in regions:
        costs = [(_distance(caption, region, others), i) for i, caption in enumerate(captions)]
        cost, best = min(costs, default=(_REACH, -1))
        if cost < _REACH:
            owned[best].append(region)
        else:
            free.append(region)
    found = [_captioned(caption, owned[i], others, body) for i, caption in enumerate(captions)]
    found += [Figure("", region.box, PageText("", ()), True) for region in free if _stands_alone(region)]
    return sorted(found, key=lambda figure: (figure.box[1], figure.box[0]))


def body_size(lines: Sequence[Line]) -> float:
    """The font size, in half points, in which most of the page's characters are set; 0 without text."""
    weights: Counter[float] = Counter()
    for line in lines:
        weights[round(line.size * 2) / 2] += len(line.text)
    return max(weights, key=lambda size: (weights[size], -size)) if weights else 0.0


def find_captions(lines: Sequence[Line], body: float) -> list[Caption]:
    """Captions in the order of the text. One label counts once: the first that is set bold, else the first."""
    starts = {i: label for i, line in enumerate(lines) if (label := _label_of(lines, i, body))}
    found: dict[str, Caption] = {}
    for i, label in starts.items():
        members = [lines[i]]
        for j in range(i + 1, len(lines)):
            if j in starts or not _continues(lines[j], members[-1]):
                break
            members.append(lines[j])
        caption = Caption(label, tuple(members), union(line.box for line in members))
        if label not in found or (lines[i].bold and not found[label].lines[0].bold):
            found[label] = caption
    return list(found.values())


def _label_of(lines: Sequence[Line], i: int, body: float) -> str | None:
    line = lines[i]
    match = _LABEL.match(line.text)
    if match is None or match["number"][-1:].isspace():
        return None
    opens_block = i == 0 or lines[i - 1].block != line.block
    rest = match["rest"].lstrip(" .:–—-|")
    refers = rest[:1].islower() or match["rest"][:1] in {",", ";", ")"}
    smaller = 0 < line.size <= body - 0.5
    if not (line.bold or (opens_block and (smaller or not refers))) or (refers and not line.bold):
        return None
    if not line.bold and not smaller and match["rest"][:1] not in {"", ".", ":", " "}:
        return None
    kind = match["kind"].lower().rstrip(".")
    return f"{'Figure' if kind == 'fig' else kind.capitalize()} {match['number']}"


def _continues(line: Line, last: Line) -> bool:
    gap = line.box[1] - last.box[3]
    height = last.box[3] - last.box[1]
    aligned = abs(line.box[0] - last.box[0]) < 1.5 * height or line.box[0] >= last.box[0] > line.box[0] - 4 * height
    return (
        line.block == last.block and abs(line.size - last.size) < 0.6 and -0.6 * height < gap < 0.8 * height and aligned
    )


def _distance(caption: Caption, region: Region, others: Sequence[Line]) -> float:
    """Points between a picture and a caption, with penalties for an unusual side, kind, or text in between."""
    distance = _geometry(caption, region.box, others)
    if caption.is_table and region.kind == "drawing":
        return _REACH
    return distance if caption.is_table == (region.kind == "grid") else distance + _SIDEWAYS


def _geometry(caption: Caption, box: Rect, others: Sequence[Line]) -> float:
    place = caption.box
    across = min(box[2], place[2]) - max(box[0], place[0])
    down = min(box[3], place[3]) - max(box[1], place[1])
    if down > 0.5 * (place[3] - place[1]) and across <= 0:
        return -across + _SIDEWAYS
    above = place[1] >= (box[1] + box[3]) / 2
    gap = max(place[1] - box[3] if above else box[1] - place[3], 0.0)
    between = (min(box[3], place[3]) - 1, max(box[1], place[1]) + 1)
    words = sum(
        len(line.words)
        for line in others
        if between[0] <= line.box[1] and line.box[3] <= between[1] and _shares_column(line.box, box)
    )
    # A short caption may stand at the left margin under a centred picture, so a sideways offset costs only a little.
    side = 0.0 if above != caption.is_table else _UNUSUAL_SIDE
    return gap + side + _PER_WORD_BETWEEN * words + _PER_POINT_ASIDE * max(-across, 0.0)


def _shares_column(a: Rect, b: Rect) -> bool:
    return min(a[2], b[2]) - max(a[0], b[0]) > 0.3 * min(a[2] - a[0], b[2] - b[0])


def _captioned(caption: Caption, regions: Sequence[Region], others: Sequence[Line], body: float) -> Figure:
    if caption.is_table:
        return _table(caption, regions, others, body)
    if not regions:
        return Figure(caption.label, caption.box, page_text(caption.lines), False)
    box = union(region.box for region in regions)
    if all(region.kind != "image" for region in regions):
        # Axis labels and legends of a drawing stand around it: short lines that nearly touch the drawn part.
        near = (box[0] - _LABEL_GAP, box[1] - _LABEL_GAP, box[2] + _LABEL_GAP, box[3] + _LABEL_GAP)
        labels = [line.box for line in others if within(line.box, near, 0.0) and len(line.words) <= 6]
        box = union([box, *labels])
    return Figure(caption.label, box, page_text(caption.lines), True)


def _table(caption: Caption, regions: Sequence[Region], others: Sequence[Line], body: float) -> Figure:
    """A table's text is its caption, its cells in reading order, and a title set under it like the caption."""
    box = union(region.box for region in regions) if regions else _cells_below(caption, others, body)
    if box is None:
        return Figure(caption.label, caption.box, page_text(caption.lines), False)
    first = caption.lines[0]
    members = [
        line
        for line in others
        if within(line.box, box, 0.5)
        or (_is_title_under(line, box) and abs(line.size - first.size) < 0.3 and line.bold)
    ]
    return Figure(caption.label, union((box, caption.box)), page_text([*caption.lines, *members]), True)


def _is_title_under(line: Line, box: Rect) -> bool:
    return -3.0 <= line.box[1] - box[3] < 10.0 and _shares_column(line.box, box)


def _cells_below(caption: Caption, others: Sequence[Line], body: float) -> Rect | None:
    """The lines under a table's caption that are set smaller than the body text or in several columns."""
    bottom, cells = caption.box[3], []
    for line in sorted(others, key=lambda line: line.box[1]):
        if line.box[1] < caption.box[3] - 1:
            continue
        prose = len(line.words) > 9 and line.size > body - 0.3
        if line.box[1] - bottom > 20.0 or prose:
            break
        cells.append(line.box)
        bottom = max(bottom, line.box[3])
    return union(cells) if len(cells) > 1 else None


def _stands_alone(region: Region) -> bool:
    """A picture without a caption is kept when it is large; grids without a caption are plain layout."""
    if min(region.box[2] - region.box[0], region.box[3] - region.box[1]) < _LEAST_UNCAPTIONED:
        return False
    return region.kind == "image" or (region.kind == "drawing" and region.marks >= _LEAST_UNCAPTIONED_PATHS)
