"""Page images to multivectors on this machine's devices, with one copy of the model on each."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from PIL.Image import Image

from indexers.devices import DeviceLost, Prepared, encode_in_turn
from indexers.encoders.pictures import open_picture
from indexers.encoders.visual.checkpoint import Checkpoint
from indexers.encoders.visual.collating import collate, fp_inputs
from indexers.encoders.visual.copies import ModelCopies
from indexers.encoders.visual.grids import PageGrid, PageLayout
from indexers.encoders.visual.memory import patch_bytes
from indexers.encoders.visual.options import CHANNEL, VisualOptions
from indexers.encoders.visual.pooling import group_boxes
from indexers.encoders.visual.rows import NOT_FINITE, RefusedPassages, finished, placed, row_labels
from indexers.encoders.visual.torch_library import (
    Model,
    Processor,
    Tensor,
    TorchDtype,
    device_errors,
    device_names,
    dtype_name,
    free_bytes,
    to_device,
    torch_dtype,
)
from rag.errors import ConfigError, QueryError, SourceError
from rag.fingerprint import digest
from rag.types import Matrix, Passage, Query, Vector, VectorSpec

_TOGETHER = 4
"""Pages of one forward pass outside the encode pipeline, which chooses its own."""


class MultiVectorLibrary(Protocol):
    """A library that loads a processor and a model, and runs it."""

    @property
    def name(self) -> str: ...

    def processor(self, layout: PageLayout) -> Processor: ...

    def image_inputs(self, processor: Processor, image: Image) -> dict[str, Any]: ...

    def text_inputs(self, processor: Processor, text: str) -> dict[str, Any]: ...

    def load(self, device: str, dtype: TorchDtype) -> Model: ...

    def embed(self, model: Model, inputs: Mapping[str, Any]) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True, slots=True)
class PageTensors:
    """A page as a model reads it: its inputs as a batch of one, which of its rows are patches, and where those lie."""

    inputs: Mapping[str, Any]
    is_patch: npt.NDArray[np.bool_]
    grid: PageGrid


class LocalVisualEncoder:
    """Multivectors of page images (channel "visual") and their pooled first stage ("visual_coarse").

    Of a passage the first image is read. A page's rows are its patches and the few tokens of the model's prompt; the
    coarse rows are made of patches alone. A query's text is read, or its first image, as a page, when it has no text.
    Constructing it reads configuration files only; torch and the weights are loaded when they are first needed.

    Raises:
        ConfigError: a file of the checkpoint is missing, or an option does not fit the model.
    """

    def __init__(
        self, library: MultiVectorLibrary, checkpoint: Checkpoint, layout: PageLayout, dim: int, options: VisualOptions
    ) -> None:
        self._library = library
        self._checkpoint = checkpoint
        self._layout = layout
        self._options = options
        self._specs = options.specs(dim)
        self._copies = ModelCopies(self._load)
        self._own = threading.local()

    @property
    def spec(self) -> VectorSpec:
        return self._specs[0]

    @property
    def specs(self) -> tuple[VectorSpec, ...]:
        return self._specs

    @cached_property
    def devices(self) -> tuple[str, ...]:
        """Names of the devices it runs on."""
        return device_names(self._options.devices)

    @cached_property
    def fingerprint(self) -> str:
        """Weights, configuration and every option that changes a row; see `VisualOptions.identity`."""
        weights = self._checkpoint.content_hash()
        return digest(
            {"encoder": CHANNEL, "library": self._library.name, "weights": weights, **self._options.identity()}
        )

    def prepare(self, passage: Passage) -> Prepared | None:
        """The page's tensors. Threads may call it together: each has its own copy of the processor.

        Raises:
            SourceError: the image cannot be read.
        """
        if not passage.images:
            return None
        tensors = self._page(passage.images[0])
        return Prepared(passage.id, len(tensors.is_patch), tensors)

    def _page(self, path: Path) -> PageTensors:
        image = open_picture(path)
        try:
            grid = self._layout.grid(image.width, image.height)
        except ConfigError as error:
            raise SourceError(f"image {path.name}: {error}", stage="image", locator=path.name) from error
        processor = self._processor()
        # Pixels wait in the model's own number type: 768 patches of Qwen2.5-VL are 14 MB in 32 bits, 7 MB in 16.
        inputs = fp_inputs(self._library.image_inputs(processor, image), torch_dtype(self._dtype_name))
        is_patch = (inputs["input_ids"][0] == processor.image_token_id).numpy()
        if int(is_patch.sum()) != len(grid):
            raise ConfigError(
                f"visual.model {self._checkpoint.name}: its processor cut {path.name} into {int(is_patch.sum())} "
                f"patches where its configuration says {len(grid)}; is the folder's processor_config.json its own?"
            )
        return PageTensors(inputs, is_patch, grid)

    def _processor(self) -> Processor:
        # A tokenizer keeps its padding in itself, so two threads must not share one.
        if not hasattr(self._own, "processor"):
            self._own.processor = copy.deepcopy(self._first_processor)
        return self._own.processor

    @cached_property
    def _first_processor(self) -> Processor:
        return self._library.processor(self._layout)

    def free_bytes(self, device: str) -> int | None:
        return free_bytes(device)

    def patch_bytes(self) -> int:
        return patch_bytes(self._checkpoint.config, self._dtype_name)

    @property
    def _dtype_name(self) -> Literal["bf16", "f32"]:
        return dtype_name(self._options.dtype, self.devices)

    def forward(self, device: str, batch: Sequence[Prepared]) -> list[Mapping[str, Matrix]]:
        """The rows of each page by channel.

        Raises:
            OutOfDeviceMemory: the batch does not fit.
            DeviceLost: the device failed; its copy of the model is dropped.
            RefusedPassages: some pages gave rows that are no numbers. It names them; run the others again without them.
        """
        pages = [_tensors(item) for item in batch]
        rows = self._run(device, [page.inputs for page in pages])
        bad: list[str] = []
        out: list[Mapping[str, Matrix]] = []
        with device_errors(device):
            for item, page, (kept, found) in zip(batch, pages, rows, strict=True):
                vectors = finished(found, page.is_patch[kept], page.grid, self._options)
                if not all(np.isfinite(value).all() for value in vectors.values()):
                    bad.append(item.passage_id)
                out.append(vectors)
        if bad:
            raise RefusedPassages(tuple(bad), NOT_FINITE)
        return out

    def _run(self, device: str, items: Sequence[Mapping[str, Any]]) -> list[tuple[npt.NDArray[np.bool_], Any]]:
        """Of each item, which of its tokens gave a row, and those rows: on the device, float32, padding dropped."""
        model = self._copies.on(device)
        tokenizer = self._first_processor.tokenizer
        left = tokenizer.padding_side == "left"
        batch = collate(items, pad=tokenizer.pad_token_id or 0, left=left)
        out = []
        try:
            with device_errors(device):
                inputs = to_device(fp_inputs(batch, torch_dtype(self._dtype_name)), device)
                rows, mask = self._library.embed(model, inputs)
                for place, item in enumerate(items):
                    length = item["input_ids"].shape[1]
                    own = slice(rows.shape[1] - length, None) if left else slice(0, length)
                    kept = mask[place, own]
                    # Padded rows go first: a model may leave zeros or NaN in them.
                    out.append((kept.cpu().numpy(), rows[place, own][kept].float()))
        except DeviceLost:
            self._copies.drop(device)
            raise
        return out

    def _load(self, device: str) -> Model:
        model = self._library.load(device, torch_dtype(self._dtype_name))
        found = int(getattr(model, "dim", self.spec.dim))
        if found != self.spec.dim:
            raise ConfigError(f"visual.model {self._checkpoint.name}: {found} dimensions, not {self.spec.dim}")
        return model

    def encode_passages(self, passages: Sequence[Passage]) -> list[Vector | None]:
        """Raises SourceError naming the file when an image cannot be read."""
        return encode_in_turn(self, passages, CHANNEL, _TOGETHER)

    def encode_queries(self, queries: Sequence[Query]) -> list[Vector | None]:
        """Raises QueryError naming the file when an image cannot be read."""
        return [self._query(query) for query in queries]

    def _query(self, query: Query) -> Matrix | None:
        if query.text.strip():
            return self._text(query)
        if not query.images:
            return None
        try:
            page = self._page(query.images[0])
        except SourceError as error:
            raise QueryError(f"{error}; give a whole image file of a common format") from error
        whole = replace(self._options, pool_factor=1, coarse="none")
        [(kept, rows)] = self._run(self.devices[0], [page.inputs])
        return self._checked(finished(rows, page.is_patch[kept], page.grid, whole)[CHANNEL], query)

    def _text(self, query: Query) -> Matrix:
        inputs = self._library.text_inputs(self._processor(), query.text)
        [(_, rows)] = self._run(self.devices[0], [inputs])
        return self._checked(placed(rows), query)

    def _checked(self, rows: Matrix, query: Query) -> Matrix:
        if not np.isfinite(rows).all():
            raise QueryError(f"query {query.id}: {NOT_FINITE}")
        return rows

    def row_boxes(self, passage: Passage) -> Matrix:
        """Boxes of the stored rows; the small view of the whole page has its own boxes over the others.

        With token pooling a row stands for the rows of a cluster, and its box is the one around them all. Clusters
        follow the vectors, so the page is encoded again to find them.

        Raises:
            SourceError: the passage has no image, or it cannot be read.
        """
        if not passage.images:
            raise SourceError(f"passage {passage.id} has no image to show rows on", stage="image")
        page = self._page(passage.images[0])
        boxes = np.full((len(page.is_patch), 4), np.nan, dtype=np.float32)
        boxes[page.is_patch] = page.grid.boxes
        if self._options.pool_factor == 1:
            return boxes
        [(kept, rows)] = self._run(self.devices[0], [page.inputs])
        return group_boxes(boxes[kept], row_labels(rows, self._options.pool_factor))


def _tensors(item: Prepared) -> PageTensors:
    if not isinstance(item.tensors, PageTensors):
        raise TypeError(f"{item.passage_id} was prepared by another encoder")
    return item.tensors
