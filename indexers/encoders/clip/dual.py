"""Images and captions to single vectors of one space, on this machine's devices.

Radford et al., 2021, https://arxiv.org/abs/2103.00020; Zhai et al., 2023, https://arxiv.org/abs/2303.15343
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from indexers.devices import DeviceLost, Prepared, encode_in_turn
from indexers.encoders.clip.libraries import DualLibrary
from indexers.encoders.clip.options import CHANNEL, ClipOptions
from indexers.encoders.clip.shape import DualShape
from indexers.encoders.inputs import text_of
from indexers.encoders.pictures import open_picture
from indexers.encoders.visual.collating import collate, fp_inputs
from indexers.encoders.visual.copies import ModelCopies
from indexers.encoders.visual.rows import NOT_FINITE, RefusedPassages, placed
from indexers.encoders.visual.torch_library import (
    Model,
    device_errors,
    device_names,
    dtype_name,
    free_bytes,
    to_device,
    torch_dtype,
)
from rag.errors import QueryError, SourceError
from rag.fingerprint import digest
from rag.types import Matrix, Passage, Query, Vector, VectorSpec

_TOGETHER = 16
"""Items of one forward pass outside the encode pipeline, which chooses its own."""

_ITEM_BYTES = 64 << 20
"""Device memory of one item at the most: activations of a ViT-L at 336 pixels in 32 bits, with room."""

Sort = Literal["image", "text"]


@dataclass(frozen=True, slots=True)
class _Item:
    """One image or text as the model reads it, a batch of one."""

    sort: Sort
    inputs: Mapping[str, Any]


class DualEncoder:
    """One vector per item (channel "clip") in which images and texts meet.

    Of a passage the first image is read, else its text: a figure's caption, a case's report; of a text longer than the
    model's window, the first window. Of a query its first image, else its text.
    """

    def __init__(self, library: DualLibrary, shape: DualShape, content: str, options: ClipOptions) -> None:
        """`content` identifies weights and configuration, and so the revision: the hash of every file that is read."""
        self._library = library
        self.shape = shape
        self._content = content
        self._options = options
        self._spec = VectorSpec(CHANNEL, "dense", shape.dim)
        self._copies = ModelCopies(self._load)

    @property
    def spec(self) -> VectorSpec:
        return self._spec

    @property
    def specs(self) -> tuple[VectorSpec, ...]:
        return (self._spec,)

    @cached_property
    def devices(self) -> tuple[str, ...]:
        """Names of the devices it runs on."""
        return device_names(self._options.devices)

    @property
    def fingerprint(self) -> str:
        """Weights and configuration of this revision, how images and texts are scaled and cut, and the number type."""
        named = {"encoder": CHANNEL, "library": self._library.name, "weights": self._content}
        return digest({**named, "shape": asdict(self.shape), "dtype": self._options.dtype})

    def prepare(self, passage: Passage) -> Prepared | None:
        """The image's or text's tensors. Raises SourceError when an image cannot be read."""
        item = self._item(passage.images, text_of(passage))
        return None if item is None else Prepared(passage.id, 1, item)

    def _item(self, images: Sequence[Path], text: str) -> _Item | None:
        if images:
            return _Item("image", self._library.image_inputs(open_picture(images[0])))
        return _Item("text", self._library.text_inputs(text)) if text.strip() else None

    def free_bytes(self, device: str) -> int | None:
        return free_bytes(device)

    def patch_bytes(self) -> int:
        return _ITEM_BYTES

    def forward(self, device: str, batch: Sequence[Prepared]) -> list[Mapping[str, Matrix]]:
        """The row of each item.

        Raises:
            OutOfDeviceMemory: the batch does not fit.
            DeviceLost: the device failed; its copy of the model is dropped.
            RefusedPassages: some items gave rows that are no numbers. It names them; run the others again.
        """
        rows = self._run(device, [_own(item) for item in batch])
        bad = tuple(item.passage_id for item, row in zip(batch, rows, strict=True) if not np.isfinite(row).all())
        if bad:
            raise RefusedPassages(bad, NOT_FINITE)
        return [{CHANNEL: row} for row in rows]

    def _run(self, device: str, items: Sequence[_Item]) -> list[Matrix]:
        out: dict[int, Matrix] = {}
        for sort in ("image", "text"):
            places = [place for place, item in enumerate(items) if item.sort == sort]
            if places:
                rows = self._batch(device, sort, [items[place].inputs for place in places])
                out |= {place: rows[index : index + 1] for index, place in enumerate(places)}
        return [out[place] for place in range(len(items))]

    def _batch(self, device: str, sort: Sort, items: Sequence[Mapping[str, Any]]) -> Matrix:
        model = self._copies.on(device)
        try:
            with device_errors(device):
                batch = fp_inputs(collate(items, pad=0, left=False), torch_dtype(self._dtype_name))
                inputs = to_device(batch, device)
                run = self._library.images if sort == "image" else self._library.texts
                return placed(run(model, inputs).float())
        except DeviceLost:
            self._copies.drop(device)
            raise

    @property
    def _dtype_name(self) -> Literal["bf16", "f32"]:
        return dtype_name(self._options.dtype, self.devices)

    def _load(self, device: str) -> Model:
        return self._library.load(device, torch_dtype(self._dtype_name))

    def encode_passages(self, passages: Sequence[Passage]) -> list[Vector | None]:
        """Raises SourceError naming the file when an image cannot be read."""
        return encode_in_turn(self, passages, CHANNEL, _TOGETHER)

    def encode_queries(self, queries: Sequence[Query]) -> list[Vector | None]:
        """Raises QueryError naming the file when an image cannot be read."""
        return [self._query(query) for query in queries]

    def _query(self, query: Query) -> Matrix | None:
        try:
            item = self._item(query.images, query.text)
        except SourceError as error:
            raise QueryError(f"{error}; give a whole image file of a common format") from error
        if item is None:
            return None
        [row] = self._run(self.devices[0], [item])
        if not np.isfinite(row).all():
            raise QueryError(f"query {query.id}: {NOT_FINITE}")
        return row


def _own(item: Prepared) -> _Item:
    if not isinstance(item.tensors, _Item):
        raise TypeError(f"{item.passage_id} was prepared by another encoder")
    return item.tensors
