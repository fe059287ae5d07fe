"""Small SVG charts, drawn by hand: no plotting library, no script, readable inside any page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from eval.statistics import Estimate

_LABEL, _PLOT, _ROW, _TOP, _RIGHT = 190, 380, 22, 12, 60
"""Widths of labels, plot area and right margin, height of a row, and top margin, in pixels."""


def interval_chart(rows: Sequence[tuple[str, Estimate]], title: str) -> str:
    """One line per named figure in [0, 1]: a dot at the value, a bar from low to high; undefined figures are blank.

    The first row is emphasised; it is the system that the others are compared with.
    """
    height = _TOP + _ROW * len(rows) + 24
    width = _LABEL + _PLOT + _RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'font-family="sans-serif" font-size="12"><title>{escape(title)}</title>',
        *_axis(len(rows)),
        *(part for number, (name, figure) in enumerate(rows) for part in _row(number, name, figure)),
        "</svg>",
    ]
    return "\n".join(parts)


def _axis(n_rows: int) -> list[str]:
    bottom = _TOP + _ROW * n_rows
    lines = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _x(tick)
        lines.append(f'<line x1="{x}" y1="{_TOP}" x2="{x}" y2="{bottom}" stroke="#ddd"/>')
        lines.append(f'<text x="{x}" y="{bottom + 15}" text-anchor="middle" fill="#666">{tick:g}</text>')
    return lines


def _row(number: int, name: str, figure: Estimate) -> list[str]:
    y = _TOP + _ROW * number + _ROW / 2
    colour, weight = ("#0b5394", "bold") if number == 0 else ("#666666", "normal")
    label = f'<text x="{_LABEL - 10}" y="{y + 4}" text-anchor="end" font-weight="{weight}">{escape(name)}</text>'
    if figure.value is None or figure.low is None or figure.high is None:
        return [label]
    low, value, high = _x(figure.low), _x(figure.value), _x(figure.high)
    return [
        label,
        f'<line x1="{low}" y1="{y}" x2="{high}" y2="{y}" stroke="{colour}" stroke-width="2"/>',
        f'<circle cx="{value}" cy="{y}" r="4" fill="{colour}"/>',
        f'<text x="{_LABEL + _PLOT + 10}" y="{y + 4}" fill="{colour}">{figure.value:.3f}</text>',
    ]


def _x(value: float) -> float:
    return round(_LABEL + _PLOT * min(1.0, max(0.0, value)), 1)
