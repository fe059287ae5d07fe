"""Running heads, footers and page numbers: lines that stand at one place of the page and repeat from page to page.

They are found by structure, from a sample of pages, never by their wording. Pure.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from indexers.sources.page_lines import Line

MARGIN = 0.12
"""Share of the page's height, at the top and at the bottom, in which running lines may stand."""
_STEP = 3.0
_SHARE_OF_PAGES = 0.3
_LEAST_PAGES = 3
_REPEATED = 0.5
_DIGITS = re.compile(r"\d+")
_NUMERAL = re.compile(r"[\W_]*(?:\d{1,5}|[ivxlcdm]{1,7})[\W_]*", re.IGNORECASE)


class Slot(NamedTuple):
    """A place in the margin.

    `place` is the distance from the top (positive) or the bottom (negative) in steps of 3 points, `size` the font size
    in half points.
    """

    place: int
    size: int


def slot_of(line: Line, height: float) -> Slot | None:
    """The margin slot of a line, or None when it stands in the body of the page."""
    size = round(line.size * 2)
    if line.box[3] < MARGIN * height:
        return Slot(1 + int(max(line.box[1], 0.0) / _STEP), size)
    if line.box[1] > (1 - MARGIN) * height:
        return Slot(-1 - int(max(height - line.box[3], 0.0) / _STEP), size)
    return None


def sample_pages(n_pages: int, runs: int = 16, length: int = 4) -> list[int]:
    """Page numbers to look at: runs of consecutive pages spread evenly, because left and right heads alternate."""
    if n_pages <= runs * length:
        return list(range(1, n_pages + 1))
    starts = (1 + i * (n_pages - length) // (runs - 1) for i in range(runs))
    return sorted({page for start in starts for page in range(start, start + length)})


def find_furniture(pages: Iterable[tuple[Sequence[Line], float]]) -> frozenset[Slot]:
    """Slots taken on at least three pages and 30 % of them, mostly by words that repeat (digits count as equal).

    pages: lines and height of each sampled page.
    """
    texts: dict[Slot, list[str]] = defaultdict(list)
    n_pages = 0
    for lines, height in pages:
        n_pages += 1
        for slot, text in {(slot_of(line, height), _masked(line)) for line in lines}:
            if slot is not None:
                texts[slot].append(text)
    least = max(_LEAST_PAGES, _SHARE_OF_PAGES * n_pages)
    return frozenset(slot for slot, found in texts.items() if len(found) >= least and _repeats(found) >= _REPEATED)


def drop_furniture(lines: Sequence[Line], height: float, furniture: frozenset[Slot]) -> list[Line]:
    """The lines of the body.."""
    slots = [slot_of(line, height) for line in lines]
    return [line for line, slot in zip(lines, slots, strict=True) if slot is None or slot not in furniture]


def _masked(line: Line) -> str:
    text = line.text.strip().lower()
    return "#" if _NUMERAL.fullmatch(text) else _DIGITS.sub("#", text)


def _repeats(texts: list[str]) -> float:
    counts = Counter(texts)
    return sum(n for n in counts.values() if n > 1) / len(texts)
