"""Regions of a page that are not running text: raster images and clusters of drawn paths. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from indexers.sources.page_lines import Line, Rect, union

RegionKind = Literal["image", "drawing", "grid"]

_CELL = 8.0
_MAX_PATHS = 20_000
_THIN = 3.0
_LEAST_IMAGE = 24.0
_LEAST_CLUSTER = 36.0
_BACKGROUND = 0.85
_PANEL_WORDS = 12
_JOIN_GAP = 10.0


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle with what it holds: an image, a drawing, or a grid of rules and cells (mostly tables).

    `marks` is the number of images or paths in it.
    """

    kind: RegionKind
    box: Rect
    marks: int = 1


def area(box: Rect) -> float:
    """Area in square points; 0 for an empty box."""
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def overlap(a: Rect, b: Rect) -> float:
    """Area that two boxes share."""
    return area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def within(box: Rect, outer: Rect, slack: float = 1.0) -> bool:
    """Whether the middle of a box lies inside another, give or take some points."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return outer[0] - slack <= x <= outer[2] + slack and outer[1] - slack <= y <= outer[3] + slack


def find_regions(images: Sequence[Rect], paths: Sequence[Rect], lines: Sequence[Line], page: Rect) -> list[Region]:
    """Images and path clusters of a page from top to bottom; page backgrounds and small decorations are left out.

    Images that touch are one region (a figure is often stored in strips), and so are drawn marks upon an image.
    """
    shown = [clip(box, page) for box in images]
    kept = [
        Region("image", box)
        for box in shown
        if min(box[2] - box[0], box[3] - box[1]) >= _LEAST_IMAGE and area(box) < _BACKGROUND * area(page)
    ]
    clusters = _clusters([clip(box, page) for box in paths[:_MAX_PATHS]], lines, page)
    return sorted(_merged([*kept, *clusters]), key=lambda region: (region.box[1], region.box[0]))


def clip(box: Rect, page: Rect) -> Rect:
    """The part of a box that lies on the page."""
    return max(box[0], page[0]), max(box[1], page[1]), min(box[2], page[2]), min(box[3], page[3])


def _clusters(paths: Sequence[Rect], lines: Sequence[Line], page: Rect) -> list[Region]:
    usable = [box for box in paths if not _is_backdrop(box, lines, page)]
    found = []
    for members in _connected(usable):
        box = union(members)
        if min(box[2] - box[0], box[3] - box[1]) < _LEAST_CLUSTER or len(members) < 3:
            continue
        rules = sum(1 for member in members if min(member[2] - member[0], member[3] - member[1]) < _THIN)
        kind: RegionKind = "grid" if rules >= 4 and rules >= 0.6 * len(members) else "drawing"
        found.append(Region(kind, box, len(members)))
    return found


def _is_backdrop(box: Rect, lines: Sequence[Line], page: Rect) -> bool:
    """Whether a path is a page background, or the panel or frame of a text box."""
    size = area(box)
    if size > _BACKGROUND * area(page):
        return True
    if size < 0.03 * area(page):
        return False
    return sum(len(line.words) for line in lines if within(line.box, box)) >= _PANEL_WORDS


def _connected(boxes: Sequence[Rect]) -> list[list[Rect]]:
    """Group boxes that share or neighbour a cell of an 8-point raster."""
    parent: dict[tuple[int, int], tuple[int, int]] = {}

    def root(cell: tuple[int, int]) -> tuple[int, int]:
        while parent[cell] != cell:
            parent[cell] = parent[parent[cell]]
            cell = parent[cell]
        return cell

    anchors = []
    for box in boxes:
        cells = _cells(box)
        for cell in cells:
            parent.setdefault(cell, cell)
            parent[root(cell)] = root(cells[0])
        anchors.append(cells[0])
    for column, row in list(parent):
        for neighbour in ((column + 1, row), (column, row + 1), (column + 1, row + 1), (column + 1, row - 1)):
            if neighbour in parent:
                parent[root(neighbour)] = root((column, row))
    groups: dict[tuple[int, int], list[Rect]] = {}
    for box, anchor in zip(boxes, anchors, strict=True):
        groups.setdefault(root(anchor), []).append(box)
    return list(groups.values())


def _cells(box: Rect) -> list[tuple[int, int]]:
    """Raster cells on the outline of a box: what is drawn inside a frame joins it only where it touches."""
    x0, y0, x1, y1 = (int(value // _CELL) for value in box)
    x1, y1 = max(x0, x1), max(y0, y1)
    edge = [(x, y) for x in range(x0, x1 + 1) for y in (y0, y1)]
    return edge + [(x, y) for y in range(y0, y1 + 1) for x in (x0, x1)]


def _merged(regions: list[Region]) -> list[Region]:
    """Join regions that overlap or nearly touch and share most of their width or height."""
    pending, done = list(regions), []
    while pending:
        region = pending.pop()
        partner = next((other for other in pending if _belong(region, other)), None)
        if partner is None:
            done.append(region)
            continue
        pending.remove(partner)
        kind = "image" if "image" in (region.kind, partner.kind) else max(region.kind, partner.kind)
        pending.append(Region(kind, union((region.box, partner.box)), region.marks + partner.marks))
    return done


def _belong(a: Region, b: Region) -> bool:
    shared = overlap(a.box, b.box)
    if "grid" in (a.kind, b.kind):
        return shared > 0.5 * min(area(a.box), area(b.box))
    if shared > 0:
        return True
    across = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    down = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    width = min(a.box[2] - a.box[0], b.box[2] - b.box[0])
    height = min(a.box[3] - a.box[1], b.box[3] - b.box[1])
    beside = -_JOIN_GAP <= across < 0 and down > 0.7 * height
    stacked = -_JOIN_GAP <= down < 0 and across > 0.7 * width
    return beside or stacked
