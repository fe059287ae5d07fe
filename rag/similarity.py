"""Where on a page a query was matched: similarity of rows, painted over the page. Pure numpy.

MaxSim (Khattab and Zaharia, 2020, https://arxiv.org/abs/2004.12832) scores a page by the best row for each row of the
query. `Localizer.row_boxes` says where the page's rows were read from, so the same numbers show where the score came
from. ColPali draws such maps too, each stretched between its own extremes (https://arxiv.org/abs/2407.01449); here the
scale is fixed by the page's noise instead, so that a word that matches nothing gives an empty map.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from rag.types import Matrix, Passage, Query

LEAST_NOISE = 0.02
"""Spread that similarities are taken to have at least: below it lie the rounding of 8-bit storage and the differences
between the patches of an empty page."""

SOFTNESS = 2.0
"""Spreads above the noise limit at which a value reaches 1 - 1/e = 0.63. Matching words of the sample handbook stand 1
to 5 spreads above the limit; a judgement that keeps such differences visible."""


@runtime_checkable
class TokenNames(Protocol):
    """An encoder that can say what the rows of a query's vector were read from."""

    def query_tokens(self, query: Query) -> list[str]:
        """One name per row of the query's vector.

        Neighbouring rows of the same name are pieces of one word. An empty name is a row that stands for no word (a
        prompt, a buffer): it counts in the whole but has no map of its own.
        """
        ...


def similarities(query: Matrix, page: Matrix) -> Matrix:
    """Dot product of every row of a query with every row of a page: shape (n_query, n_page), cosines for unit rows."""
    product: Matrix = np.asarray(query, np.float32) @ np.asarray(page, np.float32).T
    return product


def contributions(similarity: Matrix) -> npt.NDArray[np.float32]:
    """What each row of the query adds to the page's MaxSim score, shape (n_query,); they sum to the score.

    Raises ValueError for a page without rows.
    """
    best: npt.NDArray[np.float32] = similarity.max(axis=1)
    return best


def standing_out(similarity: Matrix) -> Matrix:
    """How far each similarity stands out of its query row's noise over the page: shape as given, values in [0, 1).

    z = (s - median) / spread, with spread = 1.4826 * median|s - median| (the standard deviation if it were Gaussian)
    but at least LEAST_NOISE, and value = 1 - exp(-max(0, z - sqrt(2 ln n)) / SOFTNESS) for the n rows of the page.

    sqrt(2 ln n) is the universal threshold of Donoho and Johnstone (1994, https://doi.org/10.1093/biomet/81.3.425): n
    values of pure noise stay below it with high probability, so noise is shown as 0 whatever its size, and the value of
    one row does not depend on how well another one matches. A word that matches more than half of the page is nowhere
    in particular, and shows as 0 as well.
    """
    if not similarity.shape[1]:
        return np.zeros_like(similarity)
    values = similarity.astype(np.float64)
    centre = np.median(values, axis=1, keepdims=True)
    spread = np.maximum(1.4826 * np.median(np.abs(values - centre), axis=1, keepdims=True), LEAST_NOISE)
    above = (values - centre) / spread - np.sqrt(2 * np.log(values.shape[1]))
    shown: Matrix = (1 - np.exp(-np.maximum(above, 0) / SOFTNESS)).astype(np.float32)
    return np.minimum(shown, np.float32(1 - 1e-6))


def words_of(names: Sequence[str]) -> list[tuple[str, list[int]]]:
    """The words of a query with the rows that are their pieces; unnamed rows are words of one row."""
    found: list[tuple[str, list[int]]] = []
    for name, group in groupby(range(len(names)), key=lambda row: names[row]):
        rows = list(group)
        found += [(name, rows)] if name else [(name, [row]) for row in rows]
    return found


def places_of(boxes: Matrix) -> tuple[Matrix, npt.NDArray[np.intp]]:
    """The distinct boxes of a page's rows, shape (n_places, 4), and for each row its place.

    The place of a row whose box is NaN, which stands nowhere, is -1.
    """
    placed = np.isfinite(boxes).all(axis=1)
    which = np.full(len(boxes), -1, np.intp)
    if not placed.any():
        return np.empty((0, 4), np.float32), which
    places, inverse = np.unique(boxes[placed], axis=0, return_inverse=True)
    which[placed] = inverse.reshape(-1)
    return places.astype(np.float32), which


def word_values(similarity: Matrix, which: npt.NDArray[np.intp], words: Sequence[Sequence[int]]) -> Matrix:
    """How far each place stands out for each word of the query: shape (n_words, n_places), values in [0, 1).

    A place has the value of its best row, as MaxSim asks for the best row; rows that stand nowhere do not count. A word
    has the mean over its pieces, so that "epithelium" does not light up for the "e" it shares with "effusion".
    """
    placed = which >= 0
    values = np.zeros((len(similarity), which.max(initial=-1) + 1), np.float32)
    np.maximum.at(values.T, which[placed], standing_out(similarity[:, placed]).T)
    means: Matrix = np.stack([values[list(rows)].mean(axis=0) for rows in words])
    return means


def whole_query(values: Matrix) -> npt.NDArray[np.float32]:
    """One value per place for all words together, shape (n_places,), in [0, 1): that of the word it matches best.

    A sum, or the probability that any of them is right, would let a dozen weak and much alike rows (prompts, buffers)
    look like one strong match. Words that meet in a place show as the area they light together.
    """
    best: npt.NDArray[np.float32] = values.max(axis=0)
    return best


def telling(values: Matrix) -> npt.NDArray[np.float32]:
    """How much a word's map says about where to look, shape (n_words,), in [0, 1]: its peak less its mean.

    Words that match nothing and words that match everywhere ("the") come last.
    """
    if not values.shape[1]:
        return np.zeros(len(values), np.float32)
    said: npt.NDArray[np.float32] = values.max(axis=1) - values.mean(axis=1)
    return said


def page_size(passage: Passage) -> tuple[float, float] | None:
    """Width and height of a page in points, from its meta "size"; None when it has none."""
    width, _, height = passage.meta.get("size", "").partition("x")
    try:
        size = float(width), float(height)
    except ValueError:
        return None
    return size if all(0 < side < float("inf") for side in size) else None


def word_boxes(passage: Passage) -> Matrix:
    """Where each word of a page stands, as fractions of its width and height: shape (n_words, 4), values in [0, 1].

    Shape (0, 4) for a passage that is no page, or has no layout or no size.
    """
    size = page_size(passage)
    if passage.kind != "page" or passage.layout is None or size is None:
        return np.empty((0, 4), np.float32)
    fractions: Matrix = (passage.layout.boxes() / np.array([*size, *size], np.float32)).clip(0, 1)
    return fractions


def grid_shape(width: float, height: float, longest: int = 512) -> tuple[int, int]:
    """Rows and columns of a grid over a page of this size whose longer side has `longest` cells."""
    unit = longest / max(width, height)
    return max(1, round(height * unit)), max(1, round(width * unit))


def paint(places: Matrix, values: npt.NDArray[np.float32], shape: tuple[int, int]) -> Matrix:
    """A map over the page: each cell has the greatest value of the boxes that cover it, 0 where there is none.

    Boxes overlap where a model reads a page in tiles and as a whole. The maximum is MaxSim's own rule: a place is as
    similar as the best row that saw it, however many others saw it too; a mean would fade what one view found by the
    number of views. A coarse box stays visibly coarse. A box smaller than a cell fills one.
    """
    grid = np.zeros(shape, np.float32)
    rows, columns = shape
    for (x0, y0, x1, y1), value in zip(places.tolist(), values.tolist(), strict=True):
        if value > 0:
            left, right = cells(x0, x1, columns)
            top, bottom = cells(y0, y1, rows)
            area = grid[top:bottom, left:right]
            np.maximum(area, value, out=area)
    return grid


def cells(start: float, end: float, count: int) -> tuple[int, int]:
    """The cells, first and end, of a side of `count` cells that a stretch of it covers, as fractions; at least one."""
    first = min(max(round(start * count), 0), count - 1)
    return first, min(max(round(end * count), first + 1), count)
