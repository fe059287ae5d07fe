"""Page images to multivectors through a vLLM server's pooling endpoint (`POST /pooling`, task token_embed).

Start the server with `vllm serve MODEL --runner pooling`. Pictures travel inside the request as data URIs; the server
is never given an address to fetch from. https://docs.vllm.ai/en/latest/models/pooling_models/
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from indexers.devices import Prepared, encode_in_turn
from indexers.encoders.pictures import open_picture
from indexers.encoders.visual.checkpoint import open_checkpoint
from indexers.encoders.visual.grids import DynamicLayout, PageGrid, PageLayout
from indexers.encoders.visual.http_json import RequestRefused, post_json
from indexers.encoders.visual.models import detect, dimensions
from indexers.encoders.visual.options import CHANNEL, VisualOptions
from indexers.encoders.visual.pooling import group_boxes
from indexers.encoders.visual.rows import NOT_FINITE, RefusedPassages, finished, placed, row_labels
from rag.errors import ConfigError, EnvironmentProblem, QueryError, SourceError
from rag.fingerprint import digest
from rag.types import Matrix, Passage, Query, Vector, VectorSpec

_PROMPT = "Describe the image."
_AT_ONCE = 32
"""Requests under way at a time; the server makes its own batches of them."""

_MERGED_PIXELS = 28
"""Pixels along a patch when the model's processor is not known here: Qwen2-VL's."""

_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class _ServedPage:
    """A page as a data URI, and its patches where the model's layout is known."""

    uri: str
    grid: PageGrid | None
    patches: int


class VllmVisualEncoder:
    """Multivectors of page images from a server. The rows are those the server returns, the prompt's included.

    `layout` says how the served model cuts a page: known when `visual.model` is the checkpoint's folder, readable here.
    Without it there are no means over rows or columns and no boxes, and the fingerprint knows the model's name and
    revision, not its weights: a server that serves others under the same name is not noticed. Questions are sent as
    they are, without the augmentation tokens that colpali-engine appends: a local model may rank a little differently.

    Raises:
        ConfigError: an option needs the checkpoint's folder.
    """

    def __init__(self, options: VisualOptions, layout: PageLayout | None) -> None:
        if layout is None and options.coarse not in ("hierarchical", "none"):
            raise ConfigError(
                f"visual.coarse = {options.coarse} needs the place of each row on the page: with visual.library = vllm "
                f"give the checkpoint's folder as visual.model (no tiled model), or set visual.coarse to hierarchical"
            )
        self._options = options
        self._layout = layout
        self._url = options.url.rstrip("/")

    @cached_property
    def specs(self) -> tuple[VectorSpec, ...]:
        """The channels it fills. Without the checkpoint's folder the server is asked for the dimensions."""
        return self._options.specs(self._dim())

    @property
    def spec(self) -> VectorSpec:
        return self.specs[0]

    def _dim(self) -> int:
        if not self._has_folder:
            try:
                return int(self._text("dimensions").shape[1])
            except RequestRefused as error:
                raise EnvironmentProblem(f"the server {self._url} refuses to encode: {error}") from error
        checkpoint = open_checkpoint(self._options.model)
        return dimensions(detect(checkpoint.config, checkpoint.name, "vllm"), checkpoint.config)

    @property
    def _has_folder(self) -> bool:
        return Path(self._options.model).expanduser().is_dir()

    @property
    def devices(self) -> tuple[str, ...]:
        return (self._url,)

    @cached_property
    def fingerprint(self) -> str:
        """The checkpoint's content where its folder can be read, else the model's name; revision and options."""
        weights = open_checkpoint(self._options.model).content_hash() if self._has_folder else self._options.model
        named = {"encoder": CHANNEL, "library": "vllm", "weights": weights, "revision": self._options.revision}
        return digest({**named, **self._options.identity()})

    def prepare(self, passage: Passage) -> Prepared | None:
        """The page as a data URI, scaled to what the model will read where that is known. Raises SourceError."""
        if not passage.images:
            return None
        page = self._page(passage.images[0])
        return Prepared(passage.id, page.patches, page)

    def _page(self, path: Path) -> _ServedPage:
        image = open_picture(path)
        grid = None
        if self._layout is not None:
            try:
                grid = self._layout.grid(image.width, image.height)
            except ConfigError as error:
                raise SourceError(f"image {path.name}: {error}", stage="image", locator=path.name) from error
            image = _scaled(image, self._layout, grid)
        patches = len(grid) if grid else image.width * image.height // _MERGED_PIXELS**2 + 1
        return _ServedPage(_uri(image), grid, patches)

    def free_bytes(self, device: str) -> int | None:  # noqa: ARG002 - the server minds its own memory
        return None

    def patch_bytes(self) -> int:
        """Zero: the server makes its own batches."""
        return 0

    def forward(self, device: str, batch: Sequence[Prepared]) -> list[Mapping[str, Matrix]]:  # noqa: ARG002
        """The rows of each page by channel.

        Raises:
            DeviceLost: the server does not answer or failed.
            RefusedPassages: it refused some pages (too long for it, for example), or gave rows that are no numbers.
        """
        pages = [_served(item) for item in batch]
        refused: dict[str, str] = {}
        vectors: list[Mapping[str, Matrix]] = []
        with ThreadPoolExecutor(max_workers=min(_AT_ONCE, max(1, len(pages)))) as pool:
            waiting = [pool.submit(self._image, page) for page in pages]
            for item, page, future in zip(batch, pages, waiting, strict=True):
                try:
                    rows = future.result()
                    vectors.append(finished(rows, self._is_patch(len(rows), page), page.grid, self._options))
                except RequestRefused as error:
                    refused[item.passage_id] = str(error)
                    continue
                if not all(np.isfinite(value).all() for value in vectors[-1].values()):
                    refused[item.passage_id] = NOT_FINITE
        if refused:
            raise RefusedPassages(tuple(refused), next(iter(refused.values())))
        return vectors

    def _image(self, page: _ServedPage) -> Matrix:
        return self._pooled({"messages": _messages(page.uri)})

    def _text(self, text: str) -> Matrix:
        return self._pooled({"input": text})

    def _pooled(self, what: Mapping[str, Any]) -> Matrix:
        body = {"model": self._options.model, "task": "token_embed", "encoding_format": "float", **what}
        found = post_json(f"{self._url}/pooling", body, _TIMEOUT_SECONDS)
        try:
            rows = np.asarray(found["data"][0]["data"], dtype=np.float32)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise RequestRefused(f"the answer of {self._url}/pooling holds no rows ({error})") from error
        if rows.ndim != 2 or not len(rows):
            raise RequestRefused(f"{self._url} gave one vector, not one per token: serve a late-interaction model")
        return rows

    def _is_patch(self, n: int, page: _ServedPage) -> npt.NDArray[np.bool_]:
        """Which of the n rows are patches: all without a layout, else those from where the prompt shows the image."""
        if page.grid is None or n == len(page.grid):
            return np.ones(n, dtype=bool)
        start = self._patches_start
        if n < start + len(page.grid):
            raise RequestRefused(f"the server gave {n} rows for {len(page.grid)} patches; is its processor limited?")
        place = np.arange(n)
        return (place >= start) & (place < start + len(page.grid))

    @cached_property
    def _patches_start(self) -> int:
        """How many tokens the server's chat template puts before the image: the same for every page."""
        config = open_checkpoint(self._options.model).config
        token = config.get("image_token_id", config.get("image_token_index"))
        white = _uri(Image.new("RGB", (56, 56), "white"))
        body = {"model": self._options.model, "messages": _messages(white), "add_generation_prompt": True}
        tokens = post_json(f"{self._url}/tokenize", body, _TIMEOUT_SECONDS).get("tokens", [])
        if token not in tokens:
            raise RequestRefused(f"{self._url}/tokenize shows no image token {token}; use visual.coarse = hierarchical")
        return int(tokens.index(token))

    def encode_passages(self, passages: Sequence[Passage]) -> list[Vector | None]:
        """Raises SourceError for an image that cannot be read or is refused."""
        return encode_in_turn(self, passages, CHANNEL)

    def encode_queries(self, queries: Sequence[Query]) -> list[Vector | None]:
        """Raises QueryError for a question or image that cannot be read or is refused."""
        return [self._query(query) for query in queries]

    def _query(self, query: Query) -> Matrix | None:
        try:
            if query.text.strip():
                rows = placed(self._text(query.text))
            elif query.images:
                rows = placed(self._image(self._page(query.images[0])))
            else:
                return None
        except (RequestRefused, SourceError) as error:
            raise QueryError(f"query {query.id}: {error}") from error
        if not np.isfinite(rows).all():
            raise QueryError(f"query {query.id}: {NOT_FINITE}")
        return rows

    def row_boxes(self, passage: Passage) -> Matrix:
        """Boxes of the stored rows. The page is encoded again, because only the server knows its prompt's length.

        Raises:
            ConfigError: the place of rows is not known without the checkpoint's folder.
            SourceError: the passage has no image, or it cannot be read or is refused.
        """
        if self._layout is None:
            raise ConfigError("where rows lie on a page is known only when visual.model is the checkpoint's folder")
        if not passage.images:
            raise SourceError(f"passage {passage.id} has no image to show rows on", stage="image")
        page = self._page(passage.images[0])
        try:
            rows = self._image(page)
            is_patch = self._is_patch(len(rows), page)
        except RequestRefused as error:
            raise RefusedPassages((passage.id,), str(error)) from error
        boxes = np.full((len(rows), 4), np.nan, dtype=np.float32)
        boxes[is_patch] = page.grid.boxes if page.grid else np.nan
        if self._options.pool_factor == 1:
            return boxes
        return group_boxes(boxes, row_labels(rows, self._options.pool_factor))


def _messages(uri: str) -> list[dict[str, Any]]:
    image = {"type": "image_url", "image_url": {"url": uri}}
    return [{"role": "user", "content": [image, {"type": "text", "text": _PROMPT}]}]


def _uri(image: Image.Image) -> str:
    stream = io.BytesIO()
    image.save(stream, format="PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _scaled(image: Image.Image, layout: PageLayout, grid: PageGrid) -> Image.Image:
    """The image in the size the model will make of it, so that its own limit leaves it alone and less is sent."""
    if not isinstance(layout, DynamicLayout):
        return image
    size = ((int(grid.column.max()) + 1) * layout.factor, (int(grid.row.max()) + 1) * layout.factor)
    return image.resize(size, Image.Resampling.BICUBIC)


def _served(item: Prepared) -> _ServedPage:
    if not isinstance(item.tensors, _ServedPage):
        raise TypeError(f"{item.passage_id} was prepared by another encoder")
    return item.tensors
