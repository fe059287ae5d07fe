"""Setting a table: columns as wide as their text asks for, rules above and below the head."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.sample.lines import CELL, break_lines
from pipelines.sample.page import COLUMN, LEFT, RIGHT, Mark, Measure, Rule

GUTTER = 12.0


def set_table(rows: Sequence[Sequence[str]], top: float, measure: Measure) -> tuple[list[Mark], float]:
    """The marks of the rows from `top` downwards, and where the last row ends."""
    widths = column_widths(rows, measure)
    marks: list[Mark] = [Rule(LEFT, RIGHT, top, 0.9)]
    y = top + 3.0
    for number, row in enumerate(rows):
        deepest, x = y, LEFT
        for cell, width in zip(row, widths, strict=True):
            text = f"**{cell}**" if number == 0 else cell
            bottom = y
            for line in break_lines(text, CELL, width - GUTTER, measure):
                bottom += CELL.leading
                marks += line.at(x + 2.0, bottom - 3.2)
            deepest, x = max(deepest, bottom), x + width
        y = deepest + 4.0
        if number == 0:
            marks.append(Rule(LEFT, RIGHT, y - 1.0, 0.6))
            y += 2.0
    return marks, y


def column_widths(rows: Sequence[Sequence[str]], measure: Measure) -> list[float]:
    """Widths that share the column by the longest cell, damped; no word is ever broken."""
    needed, surplus = [], []
    for column in zip(*rows, strict=True):
        words = [part for cell in column for part in cell.split()]
        needed.append(max(measure(word, "sans-bold", CELL.size) for word in words) + GUTTER + 2.0)
        surplus.append(max(max(measure(cell, "sans", CELL.size) for cell in column) + GUTTER - needed[-1], 1.0) ** 0.75)
    room = COLUMN - sum(needed)
    return [need + room * share / sum(surplus) for need, share in zip(needed, surplus, strict=True)]
