"""Where a quote stands in its passage: the exact characters, and the boxes they are printed in."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from rag.types import Box, Passage


def locate(quote: str, text: str) -> tuple[int, int] | None:
    """The span of a quote in a text, or None if it does not occur.

    Exact first; else with any run of white space matching any other, since a quote may have lost its line breaks. No
    other difference is forgiven, and a quote never begins or ends inside a word ("tension" is no quote from
    "hypertension"). `text[start:end]` is what may be shown.
    """
    parts = quote.split()
    if not parts:
        return None
    before = r"(?<!\w)" if re.match(r"\w", parts[0]) else ""
    after = r"(?!\w)" if re.search(r"\w$", parts[-1]) else ""
    for body in (re.escape(quote.strip()), r"\s+".join(re.escape(part) for part in parts)):
        found = re.search(before + body + after, text)
        if found:
            return found.span()
    return None


def line_boxes(passage: Passage, start: int, end: int) -> tuple[Box, ...]:
    """One box per printed line of `passage.text[start:end]`, in points, top to bottom in reading order.

    A figure's quote stands under the figure, whose own box is shown. A passage without layout has no boxes.
    """
    if passage.kind == "figure":
        return (passage.box,) if passage.box else ()
    if passage.layout is None:
        return ()
    boxes = passage.layout.boxes()
    spans = [match.span() for match in re.finditer(r"\S+", passage.text)]
    touched = [i for i, (first, last) in enumerate(spans) if first < end and last > start and i < len(boxes)]
    return _by_line(boxes[touched]) if touched else ()


def _by_line(boxes: npt.NDArray[np.float32]) -> tuple[Box, ...]:
    """Union the boxes of consecutive words on one line: they share more than half of the smaller one's height.

    A word further left than the line's start begins a new line even at equal height: the next column.
    """
    lines: list[Box] = []
    for x0, y0, x1, y1 in boxes.tolist():
        box = Box(x0, y0, x1, y1)
        if lines and _same_line(lines[-1], box):
            lines[-1] = lines[-1].union(box)
        else:
            lines.append(box)
    return tuple(lines)


def _same_line(line: Box, word: Box) -> bool:
    if word.x0 < line.x0:
        return False
    overlap = min(line.y1, word.y1) - max(line.y0, word.y0)
    height = min(line.y1 - line.y0, word.y1 - word.y0)
    return overlap > 0.5 * height if height > 0 else line.y0 <= word.y0 <= line.y1


def covering(boxes: tuple[Box, ...]) -> Box | None:
    """The smallest box around all, None for none."""
    if not boxes:
        return None
    whole = boxes[0]
    for box in boxes[1:]:
        whole = whole.union(box)
    return whole
