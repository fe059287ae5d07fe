"""The parts that charts are made of: scales, ticks, axes. Colours come from the page, so both themes are readable."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eval.ablation.rendering.markup import text

SERIES = 8
"""So many colours a page has; further series begin again."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values from `low` to `high` onto pixels from `start` to `end`; values outside are clipped."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value, rounded to a tenth."""
        low, high, place = self._line(self.low), self._line(self.high), self._line(value)
        share = 0.5 if high <= low else min(1.0, max(0.0, (place - low) / (high - low)))
        return round(self.start + share * (self.end - self.start), 1)

    def _line(self, value: float) -> float:
        return math.log(max(value, 1e-12)) if self.logarithmic else value


@dataclass(frozen=True, slots=True)
class Plot:
    """The area of a chart between its axes, in pixels, with both scales; y grows upwards."""

    left: float
    top: float
    right: float
    bottom: float
    x: Scale
    y: Scale


def plot(width: float, height: float, x_range: tuple[float, float], y_range: tuple[float, float]) -> Plot:
    """A plot with room for the labels of both axes."""
    left, top, right, bottom = 58.0, 14.0, width - 16.0, height - 44.0
    return Plot(left, top, right, bottom, Scale(*x_range, left, right), Scale(*y_range, bottom, top))


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from low to high, about so many."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next((factor * power for factor in (1, 2, 2.5, 5) if factor * power >= raw * 0.999), 10 * power)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 12) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def padded(values: Iterable[float], share: float = 0.06, floor: float = 1e-3) -> tuple[float, float]:
    """The range of some values with a margin; never without extent."""
    known = [value for value in values if math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    margin = max((high - low) * share, floor)
    return low - margin, high + margin


def svg(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    """A chart that scales with the page and reads its title to who cannot see it."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img" aria-label="{text(title)}">'
    )
    return "\n".join([head, *parts, "</svg>"])


def line(start: tuple[float, float], end: tuple[float, float], kind: str) -> str:
    """A line of a class of the page."""
    return f'<line x1="{start[0]:g}" y1="{start[1]:g}" x2="{end[0]:g}" y2="{end[1]:g}" class="{kind}"/>'


def label(place: tuple[float, float], words: object, anchor: str = "start", kind: str = "") -> str:
    """Text at a place; `anchor` is start, middle or end."""
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{place[0]:g}" y="{place[1]:g}" text-anchor="{anchor}"{style}>{text(words)}</text>'


def dot(place: tuple[float, float], kind: str, hint: str, radius: float = 4.5) -> str:
    """A point that says what it is when pointed at."""
    return (
        f'<circle cx="{place[0]:g}" cy="{place[1]:g}" r="{radius:g}" class="{kind}">'
        f"<title>{text(hint)}</title></circle>"
    )


def path(points: Sequence[tuple[float, float]], kind: str) -> str:
    """A line through points."""
    return f'<polyline points="{" ".join(f"{x:g},{y:g}" for x, y in points)}" class="{kind}"/>'


def area(points: Sequence[tuple[float, float]], kind: str) -> str:
    """A filled shape."""
    return f'<polygon points="{" ".join(f"{x:g},{y:g}" for x, y in points)}" class="{kind}"/>'


def axes(field: Plot, names: tuple[str, str], x_ticks: Sequence[float] | None = None) -> list[str]:
    """Grid, ticks and the names of both axes."""
    along = ticks(field.x.low, field.x.high) if x_ticks is None else list(x_ticks)
    parts = []
    for value in ticks(field.y.low, field.y.high):
        height = field.y(value)
        parts.append(line((field.left, height), (field.right, height), "grid"))
        parts.append(label((field.left - 7, height + 4), f"{value:g}", "end", "tick"))
    for value in along:
        parts.append(line((field.x(value), field.bottom), (field.x(value), field.bottom + 4), "axis"))
        parts.append(label((field.x(value), field.bottom + 17), f"{value:g}", "middle", "tick"))
    parts.append(line((field.left, field.bottom), (field.right, field.bottom), "axis"))
    middle = (field.top + field.bottom) / 2
    parts.append(label(((field.left + field.right) / 2, field.bottom + 37), names[0], "middle", "name"))
    parts.append(
        f'<text x="14" y="{middle:g}" text-anchor="middle" class="name" transform="rotate(-90 14 {middle:g})">'
        f"{text(names[1])}</text>"
    )
    return parts


def colour(place: int) -> str:
    """The class of a series' colour."""
    return f"c{place % SERIES}"
