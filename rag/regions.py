"""The best regions of a page: the printed lines and figures that a similarity map points at. Pure.

Candidates are what the page itself consists of: runs of lines within a paragraph, and figure boxes. The map only ranks
them, so a region is never a rectangle that a model made up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rag.similarity import cells, page_size
from rag.types import Box, Matrix, Passage

MOST_LINES = 40
"""Lines of a text region at the most: more is a page, not a place."""

LEAST_SCORE = 0.2
"""Regions below this share of the best one's score are left out: a page has few places worth a look."""

MOST_OVERLAP = 0.2
"""Share of the smaller of two regions that both may cover; of two that cover more, the better one is kept."""

LEAST_CAPTION = 12
"""Characters of a paragraph that may be taken for a caption: shorter ones may be a word that the caption repeats."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a page: its box in points, its score in [0, 1), and its text (a figure's is its caption)."""

    box: Box
    score: float
    kind: Literal["figure", "text"]
    text: str

    def row(self) -> dict[str, Any]:
        """The region as the interface prints it."""
        box = [round(side, 1) for side in (self.box.x0, self.box.y0, self.box.x1, self.box.y1)]
        return {"box": box, "score": round(self.score, 4), "kind": self.kind, "text": self.text}


@dataclass(frozen=True, slots=True)
class PrintedLine:
    """One printed line of a page: its words, and the box around them in points."""

    text: str
    box: Box


def best_regions(grid: Matrix, page: Passage, figures: Sequence[Passage] = (), most: int = 3) -> tuple[Region, ...]:
    """The regions of a page that a map of it points at, best first, at most `most`; none for an empty map.

    `grid` holds values in [0, 1] over the whole page; `page` is whole, with its layout; `figures` are those that stand
    on it. A region's score is peak * (1 - exp(-gain)): the map's greatest value inside, times how far its mass gathers
    there. With p the share of the map's mass and q the share of the page's area inside,
    gain = p ln(p / q) + (1 - p) ln((1 - p) / (1 - q)) where p > q, else 0: the logarithm of Kulldorff's spatial scan
    statistic per unit of mass (1997, https://doi.org/10.1080/03610929708831995). It weighs inside against outside, so
    neither the one hottest word nor the whole page wins. A figure has the score of its box or of its printed caption,
    whichever is greater: what reads only text finds a figure by the caption, which then is no region of its own.
    """
    size = page_size(page)
    if size is None or not grid.any():
        return ()
    mass = _Mass(grid, size)
    paragraphs = printed_lines(page)
    found = []
    for figure in figures:
        if figure.box is not None:
            caption = [paragraph for paragraph in paragraphs if _is_caption(paragraph, figure.text)]
            paragraphs = [paragraph for paragraph in paragraphs if paragraph not in caption]
            score = max(mass.score(box) for box in (figure.box, *map(_around, caption)))
            found.append(Region(figure.box, score, "figure", figure.text))
    for paragraph in paragraphs:
        found += _runs(paragraph, mass)
    found.sort(key=lambda region: (-region.score, region.box.y0, region.box.x0, region.box.y1, region.kind))
    return tuple(_apart(found, most))


def printed_lines(page: Passage) -> list[list[PrintedLine]]:
    """The lines of a page with a layout, by paragraph, as its text is broken."""
    boxes = [] if page.layout is None else page.layout.boxes().tolist()
    paragraphs: list[list[PrintedLine]] = [[]]
    first = 0
    for line in page.text.split("\n"):
        words = line.split()
        own = [Box(*box) for box in boxes[first : first + len(words)]]
        first += len(words)
        if own:
            paragraphs[-1].append(PrintedLine(" ".join(words), reduce(Box.union, own)))
        elif paragraphs[-1]:
            paragraphs.append([])
    return [paragraph for paragraph in paragraphs if paragraph]


def _is_caption(paragraph: Sequence[PrintedLine], caption: str) -> bool:
    """Whether a paragraph is a figure's caption, or a part of one that is broken by a blank line."""
    text = " ".join(line.text for line in paragraph)
    return len(text) >= LEAST_CAPTION and text in " ".join(caption.split())


def _around(lines: Sequence[PrintedLine]) -> Box:
    return reduce(Box.union, (line.box for line in lines))


def _runs(paragraph: Sequence[PrintedLine], mass: _Mass) -> Iterator[Region]:
    """Every run of consecutive lines of a paragraph that begins and ends with a line the map touches."""
    peaks = [mass.peak(line.box) for line in paragraph]
    for start in range(len(paragraph)):
        box, peak = paragraph[start].box, 0.0
        for end in range(start, min(start + MOST_LINES, len(paragraph)) if peaks[start] else start):
            box, peak = box.union(paragraph[end].box), max(peak, peaks[end])
            if peaks[end]:
                text = " ".join(line.text for line in paragraph[start : end + 1])
                yield Region(box, peak * mass.gathered(box), "text", text)


def _apart(ranked: Sequence[Region], most: int) -> list[Region]:
    kept: list[Region] = []
    for region in ranked:
        if len(kept) == most or region.score <= LEAST_SCORE * (kept[0].score if kept else 0.0):
            break
        if all(_overlap(region.box, other.box) <= MOST_OVERLAP for other in kept):
            kept.append(region)
    return kept


def _overlap(first: Box, second: Box) -> float:
    """The area that both cover, as a share of the smaller one's."""
    width = min(first.x1, second.x1) - max(first.x0, second.x0)
    height = min(first.y1, second.y1) - max(first.y0, second.y0)
    smaller = min((box.x1 - box.x0) * (box.y1 - box.y0) for box in (first, second))
    return max(width, 0.0) * max(height, 0.0) / smaller if smaller > 0 else 0.0


class _Mass:
    """Sums of a map over boxes, by a summed-area table."""

    def __init__(self, grid: Matrix, size: tuple[float, float]) -> None:
        self._grid, self._size = grid, size
        table: npt.NDArray[np.float64] = np.zeros((grid.shape[0] + 1, grid.shape[1] + 1))
        table[1:, 1:] = grid.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
        self._table = table

    def peak(self, box: Box) -> float:
        """The greatest value inside a box."""
        top, bottom, left, right = self._cells(box)
        return float(self._grid[top:bottom, left:right].max())

    def score(self, box: Box) -> float:
        """The score of a box, as `best_regions` says."""
        return self.peak(box) * self.gathered(box)

    def gathered(self, box: Box) -> float:
        """How far the map's mass gathers in a box: 1 - exp(-gain), in [0, 1)."""
        top, bottom, left, right = self._cells(box)
        table = self._table
        inside = table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
        share = float(min(max(inside / table[-1, -1], 0.0), 1.0))
        area = (bottom - top) * (right - left) / self._grid.size
        return 1 - float(np.exp(-_gain(share, area)))

    def _cells(self, box: Box) -> tuple[int, int, int, int]:
        rows, columns = self._grid.shape
        width, height = self._size
        return (*cells(box.y0 / height, box.y1 / height, rows), *cells(box.x0 / width, box.x1 / width, columns))


def _gain(inside: float, area: float) -> float:
    if inside <= area:
        return 0.0
    outside = 0.0 if inside >= 1 else (1 - inside) * float(np.log((1 - inside) / (1 - area)))
    return inside * float(np.log(inside / area)) + outside
