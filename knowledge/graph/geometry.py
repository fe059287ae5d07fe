"""The sizes and places of the boxes and arrows of a picture, in pixels; labels never lie on a box or on each other.

An arrow leaves and enters a box at a port of its own. Its label lies along a straight piece at the end where fewer
arrows meet, above its own port, so two labels are always a port apart; the room between two columns fits both.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

MARGIN = 24.0
LINE = 16.0

_LETTER, _SMALL_LETTER = 7.7, 6.4
_PORT, _BARE_PORT, _BARE_SIDE = 19.0, 6.0, 110.0
_GAP, _PADDING, _BEND = 14.0, 12.0, 70.0
_WRAP, _LINES = 24, 3

Side = Literal["left", "right"]


class End(NamedTuple):
    """Where an arrow meets a box: at a height on one of its sides."""

    key: str
    side: Side


@dataclass(slots=True)
class Box:
    """A concept's box with its lines of text."""

    lines: list[str]
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0

    @property
    def middle(self) -> float:
        """The height of its centre."""
        return self.y + self.height / 2


@dataclass(slots=True)
class Route:
    """An arrow between two boxes: its ends, the heights of its ports, and at which end its label lies."""

    label: str
    head: End
    tail: End
    labelled: Literal["head", "tail"] = "tail"
    ports: dict[str, float] = field(default_factory=dict)

    def end(self, name: str) -> End:
        """The end at the "head" or the "tail"."""
        return self.head if name == "head" else self.tail

    @property
    def label_width(self) -> float:
        """The room its label needs."""
        return text_width(self.label, _SMALL_LETTER) + _PADDING


def box_of(name: str) -> Box:
    """A box that holds a name of any length in at most three lines."""
    lines = textwrap.wrap(name, _WRAP, max_lines=_LINES, placeholder=" …") or [" "]
    return Box(lines, max(text_width(line, _LETTER) for line in lines) + 2 * _PADDING, len(lines) * LINE + _PADDING)


def route(label: str, head: str, tail: str, column: Mapping[str, int]) -> Route:
    """An arrow that leaves and enters at the sides that face each other, or right where both stand in one column."""
    ahead, behind = column[head] < column[tail], column[head] > column[tail]
    return Route(label, End(head, "left" if behind else "right"), End(tail, "left" if ahead else "right"))


def place(boxes: Mapping[str, Box], rows: Mapping[int, Sequence[str]], routes: Sequence[Route]) -> tuple[float, float]:
    """Give every box its place and every arrow its ports; returns the width and height of the picture."""
    meeting: dict[End, list[tuple[Route, str]]] = defaultdict(list)
    for arrow in routes:
        for name in ("head", "tail"):
            meeting[arrow.end(name)].append((arrow, name))
    for arrow in routes:
        arrow.labelled = "tail" if len(meeting[arrow.tail]) <= len(meeting[arrow.head]) else "head"
    spaces = {end: [_space(arrow, name, len(ends)) for arrow, name in ends] for end, ends in meeting.items()}
    for end, sizes in spaces.items():
        boxes[end.key].height = max(boxes[end.key].height, sum(sizes) + _PADDING)
    width = _columns(boxes, rows, meeting)
    height = _rows(boxes, rows)
    for end, ends in meeting.items():
        _ports(boxes, end, ends)
    return width, height


def text_width(text: str, letter: float) -> float:
    """An upper estimate of the width of a text; East Asian letters are twice as wide."""
    return letter * sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def _space(arrow: Route, name: str, arrows: int) -> float:
    return _PORT if arrow.labelled == name else min(_BARE_PORT, _BARE_SIDE / arrows)


def _columns(
    boxes: Mapping[str, Box], rows: Mapping[int, Sequence[str]], meeting: Mapping[End, list[tuple[Route, str]]]
) -> float:
    """Columns from left to right; between two of them is room for the labels on both sides and for the bends."""

    def room(number: int, side: Side) -> float:
        ends = [pair for key in rows.get(number, ()) for pair in meeting.get(End(key, side), ())]
        return max((arrow.label_width for arrow, name in ends if arrow.labelled == name), default=0.0)

    x = MARGIN
    for number, keys in rows.items():
        widest = max(boxes[key].width for key in keys)
        x += room(number, "left")
        for key in keys:
            boxes[key].x, boxes[key].width = x, widest
        x += widest + room(number, "right") + _BEND
    last = [End(key, "right") for key in rows[max(rows)]] if rows else []
    return x + MARGIN if any(end in meeting for end in last) else x - _BEND + MARGIN


def _rows(boxes: Mapping[str, Box], rows: Mapping[int, Sequence[str]]) -> float:
    """Boxes below each other, every column in the middle of the picture's height."""
    heights = {number: sum(boxes[key].height + _GAP for key in keys) - _GAP for number, keys in rows.items()}
    tallest = max(heights.values(), default=0.0)
    for number, keys in rows.items():
        y = MARGIN + (tallest - heights[number]) / 2
        for key in keys:
            boxes[key].y = y
            y += boxes[key].height + _GAP
    return tallest + 2 * MARGIN


def _ports(boxes: Mapping[str, Box], end: End, ends: list[tuple[Route, str]]) -> None:
    """Ports in the order of the boxes at the other ends, so that arrows from one side do not cross."""

    def other(pair: tuple[Route, str]) -> float:
        arrow, name = pair
        return boxes[arrow.end("tail" if name == "head" else "head").key].middle

    sizes = [_space(arrow, name, len(ends)) for arrow, name in sorted(ends, key=other)]
    y = boxes[end.key].middle - sum(sizes) / 2
    for (arrow, name), size in zip(sorted(ends, key=other), sizes, strict=True):
        arrow.ports[name] = y + size * (0.75 if arrow.labelled == name else 0.5)  # a label lies above its line
        y += size
