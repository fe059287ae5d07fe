"""Looking again: a region of an image, cut out and shown beside the whole, before the question is asked once more.

The act is ViTAR's (think, act, think again: a model names a box and gets the region back); here the region is a crop at
full resolution, which a marked box is not.
"""

from __future__ import annotations

from dataclasses import replace
from math import isfinite

from rag.chat import ImagePart, Prompt
from rag.errors import QueryError

MARGIN = 0.1
"""Share of the box's sides that is added around it: what surrounds a lesion tells as much as the lesion."""
LEAST_SIDE = 0.05
"""Share of the image that a region is wide and high at the least; smaller boxes grow about their centre."""

Fractions = tuple[float, float, float, float]


def region(box: Fractions, *, margin: float = MARGIN) -> Fractions:
    """A box (x0, y0, x1, y1) in fractions of the image, put in order, widened, and kept inside the image.

    Raises:
        QueryError: a side is no finite number, or the box lies outside the image.
    """
    if not all(isfinite(side) for side in box):
        raise QueryError(f"the box {box} is not made of numbers")
    x0, x1 = _span(box[0], box[2], margin)
    y0, y1 = _span(box[1], box[3], margin)
    return (x0, y0, x1, y1)


def _span(a: float, b: float, margin: float) -> tuple[float, float]:
    low, high = min(a, b), max(a, b)
    if high <= 0 or low >= 1:
        raise QueryError(f"the box from {low:g} to {high:g} lies outside the image; give fractions in [0, 1]")
    low, high = max(0.0, low), min(1.0, high)
    middle, half = (low + high) / 2, max((high - low) * (0.5 + margin), LEAST_SIDE / 2)
    start = max(0.0, min(middle - half, 1 - 2 * half))
    return start, min(1.0, max(middle + half, 2 * half))


def look_closer(prompt: Prompt, image: int, box: Fractions, *, margin: float = MARGIN) -> Prompt:
    """The prompt with a region of its image (counted from 0) shown before the last part, which is the question.

    The box refers to the image as the prompt shows it: a crop of a crop is a crop of the file.

    Raises:
        QueryError: the prompt has no such image, or the box is none.
    """
    if not 0 <= image < len(prompt.images):
        raise QueryError(f"there is no image {image + 1} to look at; the prompt has {len(prompt.images)}")
    shown = prompt.images[image]
    cut = _within(shown.crop, region(box, margin=margin))
    words = f"The region from {cut[0]:.2f}, {cut[1]:.2f} to {cut[2]:.2f}, {cut[3]:.2f} of image {image + 1}, enlarged:"
    return replace(prompt, parts=(*prompt.parts[:-1], words, ImagePart(shown.path, cut), prompt.parts[-1]))


def _within(outer: Fractions | None, inner: Fractions) -> Fractions:
    if outer is None:
        return inner
    width, height = outer[2] - outer[0], outer[3] - outer[1]
    x0, y0, x1, y1 = inner
    return (outer[0] + x0 * width, outer[1] + y0 * height, outer[0] + x1 * width, outer[1] + y1 * height)
