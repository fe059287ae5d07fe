"""The charts of an ablation report, as SVG for inside the page: no plotting library, no script.

A figure that is not significant is hollow and grey in every chart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eval.ablation.costs import CostPoint
from eval.ablation.rendering.drawing import Scale, area, axes, colour, dot, label, line, padded, path, plot, svg, ticks
from eval.ablation.rendering.markup import shortened, text
from eval.ablation.rendering.wording import estimate, number
from eval.statistics import Estimate

_ROW = 24
_LABEL = 290
_WIDTH = 1040


@dataclass(frozen=True, slots=True)
class ForestRow:
    """A difference with interval. `kind` is better, worse or quiet (not significant)."""

    name: str
    difference: Estimate
    kind: str
    remark: str
    control: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """A named line: x values and estimates; a line without intervals has no band."""

    name: str
    points: tuple[tuple[float, Estimate], ...]


@dataclass(frozen=True, slots=True)
class HeatCell:
    """A field of a heat map: its text, its shade from -1 (worse) to 1 (better), and what it says when pointed at."""

    words: str
    shade: float
    quiet: bool
    hint: str


def forest_chart(rows: Sequence[ForestRow], title: str) -> str:
    """One row per cell: the difference to the baseline with its interval, beside the line of no difference."""
    known = [
        bound
        for row in rows
        for bound in (row.difference.value, row.difference.low, row.difference.high, 0.0)
        if bound is not None
    ]
    bottom = 12 + _ROW * len(rows)
    scale = Scale(*padded(known), _LABEL, _WIDTH - 200)
    parts = []
    for value in ticks(scale.low, scale.high, 6):
        parts.append(line((scale(value), 8), (scale(value), bottom), "grid"))
        parts.append(label((scale(value), bottom + 16), f"{value:+g}" if value else "0", "middle", "tick"))
    parts.append(line((scale(0), 4), (scale(0), bottom + 2), "zero"))
    for place, row in enumerate(rows):
        if row.control and place and not rows[place - 1].control:
            parts.append(line((0, 12 + _ROW * place), (_WIDTH, 12 + _ROW * place), "grid"))
        parts += _forest_row(row, 12 + _ROW * place + _ROW / 2, scale)
    parts.append(label(((_LABEL + _WIDTH - 200) / 2, bottom + 36), title, "middle", "name"))
    return svg(_WIDTH, bottom + 46, title, parts)


def _forest_row(row: ForestRow, y: float, scale: Scale) -> list[str]:
    figure = row.difference
    named = f"<g><title>{text(row.name)}</title>{label((_LABEL - 12, y + 4), shortened(row.name, 44), 'end')}</g>"
    if figure.value is None:
        return [named, label((_WIDTH - 190, y + 4), row.remark, kind="tick")]
    low = scale.low if figure.low is None else figure.low
    high = scale.high if figure.high is None else figure.high
    hint = f"{row.name}: {estimate(figure, sign='+')}, {row.remark}"
    return [
        named,
        line((scale(low), y), (scale(high), y), f"bar {row.kind}"),
        dot((scale(figure.value), y), row.kind, hint),
        label((_WIDTH - 190, y + 4), f"{number(figure.value, sign='+')}  {row.remark}", kind=f"figure {row.kind}"),
    ]


def line_chart(series: Sequence[Series], names: tuple[str, str], *, diagonal: bool = False, size: float = 520) -> str:
    """Lines over a number, the first one with its interval as a band. `names` are those of the axes."""
    xs = [x for one in series for x, _ in one.points]
    bounds = [
        bound
        for place, one in enumerate(series)
        for _, figure in one.points
        for bound in ((figure.value, figure.low, figure.high) if place == 0 else (figure.value,))
        if bound is not None
    ]
    unit = (0.0, 1.0)
    field = plot(size, 300, unit if diagonal else padded(xs, 0.04), unit if diagonal else padded(bounds, 0.08))
    wide = len(set(xs)) > 12 or diagonal
    parts = axes(field, names, None if wide else sorted(set(xs)))
    if diagonal:
        parts.append(line((field.x(0), field.y(0)), (field.x(1), field.y(1)), "zero"))
    for place, one in reversed(list(enumerate(series))):
        banded = [(x, figure) for x, figure in one.points if figure.low is not None and figure.high is not None]
        if place == 0 and len(banded) > 1:
            upper = [(field.x(x), field.y(figure.high or 0.0)) for x, figure in banded]
            lower = [(field.x(x), field.y(figure.low or 0.0)) for x, figure in reversed(banded)]
            parts.append(area([*upper, *lower], f"band {colour(place)}"))
        drawn = [(x, figure) for x, figure in one.points if figure.value is not None]
        parts.append(path([(field.x(x), field.y(figure.value or 0.0)) for x, figure in drawn], f"line {colour(place)}"))
        if len(drawn) <= 25:
            parts += [
                dot((field.x(x), field.y(figure.value or 0.0)), f"point {colour(place)}",
                    f"{one.name}: {names[0]} {x:g}, {estimate(figure)}", 3.5)
                for x, figure in drawn
            ]  # fmt: skip
    return svg(size, 300, f"{names[1]} by {names[0]}", parts)


def legend(names: Sequence[str]) -> str:
    """The names of series beside their colours."""
    items = "".join(
        f'<li><i class="{colour(place)}"></i>{text(shortened(name, 60))}</li>' for place, name in enumerate(names)
    )
    return f'<ul class="legend">{items}</ul>'


def pareto_chart(points: Sequence[CostPoint], labels: Sequence[str], names: tuple[str, str]) -> str:
    """Quality against cost. Cells on the front are numbered, joined and listed; the others name themselves on hover."""
    field = plot(
        520, 300, padded([point.cost for point in points], 0.08), padded([point.quality for point in points], 0.12)
    )
    front = [point for point in points if point.on_front]
    parts = axes(field, names)
    parts.append(path([(field.x(point.cost), field.y(point.quality)) for point in front], "front"))
    listed = []
    for point, name in sorted(zip(points, labels, strict=True), key=lambda pair: pair[0].on_front):
        x, y = field.x(point.cost), field.y(point.quality)
        hint = f"{name}: {names[1]} {point.quality:.3f}, {names[0]} {point.cost:.4g}"
        parts.append(dot((x, y), "better" if point.on_front else "quiet", hint, 8 if point.on_front else 4))
        if point.on_front:
            listed.append(f"<li>{text(name)} <small>{point.quality:.3f}, {point.cost:.4g}</small></li>")
            parts.append(label((x, y + 3.5), len(listed), "middle", "number"))
    chart = svg(520, 300, f"{names[1]} against {names[0]}", parts)
    return f'{chart}<ol class="legend">{"".join(listed)}</ol>'


def heat_map(rows: Sequence[str], columns: Sequence[str], cells: Sequence[Sequence[HeatCell]]) -> str:
    """Fields in the colours of better and worse, as an HTML table so that its figures can be copied."""
    head = "".join(f'<th scope="col">{text(shortened(column, 30))}</th>' for column in columns)
    body = "".join(
        f'<tr><th scope="row">{text(shortened(row, 60))}</th>{"".join(_heat(cell) for cell in line)}</tr>'
        for row, line in zip(rows, cells, strict=True)
    )
    return f'<table class="heat"><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>'


def _heat(cell: HeatCell) -> str:
    side = "better" if cell.shade >= 0 else "worse"
    share = round(100 * min(1.0, abs(cell.shade)) * 0.75)
    style = f"background:color-mix(in srgb, var(--{side}) {share}%, transparent)"
    quiet = ' class="quiet"' if cell.quiet else ""
    return f'<td{quiet} style="{style}" title="{text(cell.hint)}">{text(cell.words)}</td>'
