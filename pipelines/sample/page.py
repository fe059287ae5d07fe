"""What is printed on a page: words, rules and pictures at their places (points, y down from the top)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Face = Literal["roman", "bold", "italic", "sans", "sans-bold"]
Tint = Literal["ink", "accent", "grey"]
Measure = Callable[[str, Face, float], float]

WIDTH, HEIGHT = 595.0, 842.0
LEFT, RIGHT = 97.0, 498.0
TOP, BOTTOM = 92.0, 770.0
COLUMN = RIGHT - LEFT


@dataclass(frozen=True, slots=True)
class Word:
    """Text set from a baseline point in one face and size."""

    x: float
    y: float
    text: str
    face: Face
    size: float
    tint: Tint = "ink"


@dataclass(frozen=True, slots=True)
class Rule:
    """A horizontal line."""

    x0: float
    x1: float
    y: float
    weight: float = 0.6
    tint: Tint = "ink"


@dataclass(frozen=True, slots=True)
class Plate:
    """A picture by its name, in a box (left, top, right, bottom)."""

    name: str
    box: tuple[float, float, float, float]


Mark = Word | Rule | Plate


@dataclass(slots=True)
class Page:
    """A page being filled; `number` counts from 1 and is the number of the PDF page."""

    number: int
    marks: list[Mark] = field(default_factory=list)

    def text(self) -> str:
        """The running text in reading order, single spaces; words of one line already carry their own."""
        parts: list[str] = []
        baseline = None
        for mark in self.marks:
            if isinstance(mark, Word):
                parts.append(mark.text if mark.y == baseline else " " + mark.text)
                baseline = mark.y
        return " ".join("".join(parts).split())


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the outline: depth 1 to 3, title as printed, page, height on the page."""

    depth: int
    title: str
    page: int
    y: float


@dataclass(frozen=True, slots=True)
class Book:
    """The laid-out handbook: its pages, its outline and the page of every figure and table label."""

    pages: tuple[Page, ...]
    outline: tuple[Entry, ...]
    labels: dict[str, int]
    sections: dict[str, int]
