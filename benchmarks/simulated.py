"""A visual encoder whose device is a clock: it prepares pages for real, and its forward pass sleeps for each page.

Sizes are those of ColQwen2.5: pages are resized to multiples of 28 pixels with at most 768 patches
(https://huggingface.co/vidore/colqwen2.5-v0.2). Vectors are random rows of unit length, the same for the same page.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from indexers.devices import Prepared, encode_in_turn
from rag.errors import SourceError
from rag.retrievers import Channel
from rag.types import Kind, Matrix, Passage, Query, Vector, VectorSpec

PATCH_PX = 28
MOST_PATCHES = 768
COARSE_ROWS = 14
DIM = 128

Before = Callable[[str, Sequence[Prepared]], None]


def no_fault(device: str, batch: Sequence[Prepared]) -> None:
    """The device works."""
    del device, batch


class SimulatedEncoder:
    """Plays `indexers.devices.DeviceEncoder`.

    seconds: service time of one page. before: called before every forward pass; it may raise OutOfDeviceMemory or
    DeviceLost. A passage without an image has as many patches as its meta says under "patches".
    """

    fingerprint = "simulated"

    def __init__(
        self,
        seconds: float = 0.0,
        devices: Sequence[str] = ("simulated:0",),
        before: Before = no_fault,
        dim: int = DIM,
        free: int | None = None,
    ) -> None:
        """`free`: patches that fit into the device's memory; None when it cannot be known."""
        self.devices = tuple(devices)
        self.specs = (VectorSpec("visual", "multi", dim, "f16"), VectorSpec("visual-coarse", "multi", dim, graph=True))
        self.spec = self.specs[0]
        self.served: list[str] = []
        self._seconds, self._before, self._free = seconds, before, free
        self._rows = _made_rows(dim)

    def channel(self, kind: Kind = "page") -> Channel:
        """The channel that it fills."""
        return Channel(kind, self.spec, self, self.specs[1:])

    def prepare(self, passage: Passage) -> Prepared | None:
        """Open and resize the page image, and cut it into patches; a device scales the numbers itself."""
        if not passage.images:
            patches = passage.meta.get("patches")
            return Prepared(passage.id, int(patches), None) if patches else None
        from PIL import Image

        try:
            with Image.open(passage.images[0]) as image:
                width, height = patch_grid(image.width, image.height)
                resized = image.convert("RGB").resize((width * PATCH_PX, height * PATCH_PX), Image.Resampling.BICUBIC)
        except OSError as error:
            raise SourceError(f"the image {passage.images[0]} cannot be read ({error})", stage="encode") from error
        return Prepared(passage.id, width * height, cut(np.asarray(resized)))

    def free_bytes(self, device: str) -> int | None:
        """As given."""
        del device
        return self._free

    def patch_bytes(self) -> int:
        """One byte, so that `free` counts patches."""
        return 1

    def forward(self, device: str, batch: Sequence[Prepared]) -> list[Mapping[str, Matrix]]:
        """Sleep as long as a device would work, then hand out vectors that were made beforehand."""
        self._before(device, batch)
        if self._seconds:
            time.sleep(self._seconds * len(batch))
        self.served += [item.passage_id for item in batch]
        return [self._vectors(item) for item in batch]

    def encode_passages(self, passages: Sequence[Passage]) -> list[Vector | None]:
        """One after the other on the first device."""
        return encode_in_turn(self, passages, self.spec.name, 1)

    def encode_queries(self, queries: Sequence[Query]) -> list[Vector | None]:
        """Twenty rows for each query."""
        return [self._rows[zlib.crc32(query.text.encode()) % 8000 :][:20] for query in queries]

    def _vectors(self, item: Prepared) -> Mapping[str, Matrix]:
        start = zlib.crc32(item.passage_id.encode()) % (len(self._rows) - item.patches)
        full = self._rows[start : start + item.patches]
        return {"visual": full, "visual-coarse": full[:COARSE_ROWS]}


@cache
def _made_rows(dim: int) -> Matrix:
    rows = np.random.default_rng(0).standard_normal((8192, dim), dtype=np.float32)
    unit: Matrix = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    unit.flags.writeable = False  # all encoders hand out parts of the same rows
    return unit


def cut(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Pixels of shape (height, width, 3) as patches of shape (patches, PATCH_PX, PATCH_PX, 3)."""
    down, across = pixels.shape[0] // PATCH_PX, pixels.shape[1] // PATCH_PX
    rows = pixels.reshape(down, PATCH_PX, across, PATCH_PX, 3).swapaxes(1, 2)
    return np.ascontiguousarray(rows.reshape(down * across, PATCH_PX, PATCH_PX, 3))


def patch_grid(width: int, height: int) -> tuple[int, int]:
    """Patches across and down: the image's shape kept as far as whole patches allow, MOST_PATCHES at the most."""
    scale = min(math.sqrt(MOST_PATCHES * PATCH_PX**2 / (width * height)), 1.0)
    across, down = (max(int(side * scale / PATCH_PX), 1) for side in (width, height))
    return across, down
