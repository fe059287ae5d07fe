"""Where on a page each row of an encoder was read from, and how many rows a page gives. Pure.

A processor scales a page and cuts it into patches; the model gives one row per patch, or per square of merged patches.
Three layouts exist: a fixed square of patches (ColPali), a grid that follows the page's shape (ColQwen), and tiles that
are read one by one and followed by a small view of the whole page (Idefics3 and ModernVBert).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.errors import ConfigError
from rag.types import Matrix

_LARGEST_SIDE = 4096
"""Pixels to which Idefics3's processor limits a page before it cuts tiles (transformers, image_processing_idefics3)."""


@dataclass(frozen=True, slots=True)
class PageGrid:
    """The patches of one page in the model's order.

    boxes: x0, y0, x1, y1 as fractions of the page, shape (n, 4). row, column: place of each patch in the page's grid,
    from 0, shape (n,); -1 for patches of the small view of the whole page, which lie over others.
    """

    boxes: Matrix
    row: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, slots=True)
class FixedLayout:
    """Every page is stretched to a square of side x side patches."""

    side: int

    def grid(self, width: int, height: int) -> PageGrid:  # noqa: ARG002 - every page has the same grid
        """The grid of a page of this size in pixels."""
        return uniform_grid(self.side, self.side)

    def most_rows(self) -> int:
        """Image rows of any page at the most."""
        return self.side**2

    def tiles(self, width: int, height: int) -> tuple[int, int]:  # noqa: ARG002
        """Rows and columns of tiles; none here."""
        return 0, 0

    def limited(self, patches: int) -> FixedLayout:
        """The layout with fewer patches. Raises ConfigError: this one cannot change."""
        if patches < self.side**2:
            raise ConfigError(
                f"visual.max_patches = {patches}: this model always reads {self.side**2}; use visual.pool_factor"
            )
        return self


@dataclass(frozen=True, slots=True)
class DynamicLayout:
    """A page keeps its shape: both sides become multiples of `factor` pixels, the area stays within bounds.

    The arithmetic is that of Qwen2-VL's `smart_resize` (Wang et al., 2024, https://arxiv.org/abs/2409.12191).
    """

    factor: int
    least_pixels: int
    most_pixels: int

    def grid(self, width: int, height: int) -> PageGrid:
        """The grid of a page of this size in pixels.

        Raises:
            ConfigError: the page is over 200 times as long as wide, which the processors refuse.
        """
        if max(width, height) > 200 * min(width, height):
            raise ConfigError(f"a page of {width} x {height} pixels is over 200 times as long as wide")
        rows, columns = self._sides(width, height)
        return uniform_grid(rows, columns)

    def _sides(self, width: int, height: int) -> tuple[int, int]:
        rows, columns = round(height / self.factor), round(width / self.factor)
        area = rows * columns * self.factor**2
        if area > self.most_pixels:
            shrink = math.sqrt(width * height / self.most_pixels)
            return tuple(max(1, math.floor(side / shrink / self.factor)) for side in (height, width))  # type: ignore[return-value]
        if area < self.least_pixels:
            grow = math.sqrt(self.least_pixels / (width * height))
            return math.ceil(height * grow / self.factor), math.ceil(width * grow / self.factor)
        return rows, columns

    def most_rows(self) -> int:
        """Image rows of any page at the most."""
        return self.most_pixels // self.factor**2

    def tiles(self, width: int, height: int) -> tuple[int, int]:  # noqa: ARG002
        """Rows and columns of tiles; none here."""
        return 0, 0

    def limited(self, patches: int) -> DynamicLayout:
        """The layout with at most so many patches. Raises ConfigError when the model needs more."""
        most = patches * self.factor**2
        if most < self.least_pixels:
            least = math.ceil(self.least_pixels / self.factor**2)
            raise ConfigError(f"visual.max_patches = {patches}: this model needs {least} at the least")
        return DynamicLayout(self.factor, self.least_pixels, min(self.most_pixels, most))


@dataclass(frozen=True, slots=True)
class TiledLayout:
    """A page's longer side becomes `longest` pixels; tiles of `tile` pixels give side x side rows each.

    Without `split`, and for pages of one tile, there is the small view of the whole page alone.
    """

    longest: int
    tile: int
    side: int
    split: bool = True

    def grid(self, width: int, height: int) -> PageGrid:
        """The grid of a page of this size in pixels."""
        rows, columns = self.tiles(width, height)
        return tiled_grid(rows, columns, self.side)

    def tiles(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of tiles; (0, 0) when the page is read as one."""
        if not self.split:
            return 0, 0
        width, height = self._scaled(width, height)
        aspect = width / height
        if width >= height:
            columns = math.ceil(width / self.tile)
            rows = math.ceil(int(columns * self.tile / aspect) / self.tile)
        else:
            rows = math.ceil(height / self.tile)
            columns = math.ceil(int(rows * self.tile * aspect) / self.tile)
        return (0, 0) if rows <= 1 and columns <= 1 else (rows, columns)

    def _scaled(self, width: int, height: int) -> tuple[int, int]:
        # The shorter side is rounded down, then up to an even number, as the processor does.
        longest, aspect = self.longest, width / height
        if width >= height:
            width, height = longest, _even(int(longest / aspect))
            if width > _LARGEST_SIDE:
                width, height = _LARGEST_SIDE, max(1, int(_LARGEST_SIDE / (width / height)))
        else:
            width, height = _even(int(longest * aspect)), longest
            if height > _LARGEST_SIDE:
                width, height = max(1, int(_LARGEST_SIDE * (width / height))), _LARGEST_SIDE
        return max(1, width), max(1, height)

    def most_rows(self) -> int:
        """Image rows of any page at the most: a square page has the most tiles."""
        side = math.ceil(min(self.longest, _LARGEST_SIDE) / self.tile)
        tiles = side**2 + 1 if self.split and side > 1 else 1
        return tiles * self.side**2

    def limited(self, patches: int) -> TiledLayout:
        """The layout with at most so many patches, on pages of any shape. Raises ConfigError when one tile has more."""
        if patches >= self.most_rows():
            return self
        tiles = patches // self.side**2
        if tiles < 1:
            raise ConfigError(f"visual.max_patches = {patches}: one tile of this model has {self.side**2}")
        along = max(1, math.isqrt(tiles - 1)) if tiles > 1 else 1
        return TiledLayout(along * self.tile, self.tile, self.side, self.split)


PageLayout = FixedLayout | DynamicLayout | TiledLayout


def _even(size: int) -> int:
    return size + size % 2


def uniform_grid(rows: int, columns: int) -> PageGrid:
    """A grid of equal patches, row by row from the top left."""
    row, column = (index.ravel() for index in np.mgrid[0:rows, 0:columns])
    return PageGrid(_boxes(row, column, rows, columns), row, column)


def tiled_grid(tile_rows: int, tile_columns: int, side: int) -> PageGrid:
    """Tiles row by row, each of side x side patches, then the whole page's view; (0, 0) tiles: the view alone."""
    if tile_rows == 0:
        return uniform_grid(side, side)
    tile_row, tile_column, inner_row, inner_column = (
        index.ravel() for index in np.mgrid[0:tile_rows, 0:tile_columns, 0:side, 0:side]
    )
    row, column = tile_row * side + inner_row, tile_column * side + inner_column
    view = uniform_grid(side, side)
    boxes = np.concatenate([_boxes(row, column, tile_rows * side, tile_columns * side), view.boxes])
    nowhere = np.full(len(view), -1)
    return PageGrid(boxes, np.concatenate([row, nowhere]), np.concatenate([column, nowhere]))


def _boxes(row: npt.NDArray[np.int64], column: npt.NDArray[np.int64], rows: int, columns: int) -> Matrix:
    edges = [column / columns, row / rows, (column + 1) / columns, (row + 1) / rows]
    return np.stack(edges, axis=1).astype(np.float32)


def read_layout(kind: str, config: Mapping[str, Any], processor: Mapping[str, Any], name: str) -> PageLayout:
    """The layout that a checkpoint's `config.json` and image processor settings describe.

    Raises:
        ConfigError: a setting is missing; the message names it.
    """
    try:
        match kind:
            case "fixed":
                vision = config.get("vlm_config", config)["vision_config"]
                return FixedLayout(int(vision["image_size"]) // int(vision["patch_size"]))
            case "dynamic":
                size = processor.get("size") or {}
                factor = int(processor["patch_size"]) * int(processor["merge_size"])
                least = processor.get("min_pixels") or size.get("shortest_edge") or size["min_pixels"]
                most = processor.get("max_pixels") or size.get("longest_edge") or size["max_pixels"]
                return DynamicLayout(factor, int(least), int(most))
            case _:
                tile = int(processor["max_image_size"]["longest_edge"])
                side = math.isqrt(int(processor["image_seq_len"]))
                return TiledLayout(
                    int(processor["size"]["longest_edge"]), tile, side, bool(processor.get("do_image_splitting", True))
                )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"visual.model {name}: the processor's configuration lacks or misstates {error}") from error
