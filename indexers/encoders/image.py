"""Image vectors: the DINOv2-small backbone on onnxruntime. Image to image only; it reads no text.

Oquab et al., 2023, https://arxiv.org/abs/2304.07193
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from PIL.Image import Image

from indexers.encoders.onnx_session import OnnxSession
from indexers.encoders.pictures import Aspect, crops, model_input, open_picture
from indexers.encoders.projection import fit_whitening, project, projection_hash
from indexers.encoders.unit_rows import unit_rows
from indexers.model_lock import ModelFiles
from rag.errors import QueryError, SourceError
from rag.fingerprint import digest
from rag.types import Matrix, Passage, Query, Vector, VectorSpec

DIM = 384
GRID = 16

# Images opened at a time: enough to keep the cores busy, few enough for memory.
_AT_ONCE = 8

View = Literal["class", "class_mean", "patches"]


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """What of an image becomes rows.

    view: "class" is the class vector (384-d); "class_mean" the class vector beside the mean patch (768-d); "patches"
    is one row per patch of a 16 x 16 grid (384-d), averaged over squares of `pool` x `pool` patches.
    form: "multi" keeps the rows of several images apart, so the best one counts; "dense" averages them to one row.
    crops: views of a passage's image, so that a cut-out finds the image it was cut from: 2 adds the centre, 6 the four
    corners, too, each 80 % of both sides. Each view costs a forward pass. A query's image is read whole.
    """

    view: View = "class"
    form: Literal["dense", "multi"] = "multi"
    aspect: Aspect = "stretch"
    pool: Literal[1, 2, 4] = 1
    crops: Literal[1, 2, 6] = 1
    size: Literal[224] = 224
    storage: Literal["f32", "f16"] = "f32"


_DEFAULT = ImageOptions()


class ImageEncoder:
    """Rows of an item's images; an item without images has none.

    `whitening`, as `fit` returns it from a sample of the library's images, makes images of one kind far easier to
    tell apart; it sets the dimension of the rows.
    """

    def __init__(
        self,
        model: ModelFiles,
        channel: str = "image",
        options: ImageOptions = _DEFAULT,
        whitening: Matrix | None = None,
    ) -> None:
        self._session = OnnxSession(model)
        self._weights = model.weights
        self._options = options
        self._whitening = whitening
        dim = 2 * DIM if options.view == "class_mean" else DIM
        self._spec = VectorSpec(
            channel, options.form, dim if whitening is None else whitening.shape[1], options.storage
        )

    @property
    def spec(self) -> VectorSpec:
        return self._spec

    @property
    def fingerprint(self) -> str:
        fitted = None if self._whitening is None else projection_hash(self._whitening)
        return digest({"encoder": "image", "weights": self._weights, "whitening": fitted, **asdict(self._options)})

    @property
    def forward_seconds(self) -> float:
        """Time spent inside the model so far."""
        return self._session.forward_seconds

    def fit(self, paths: Sequence[Path], dim: int = 320) -> Matrix:
        """A whitening from a sample of images and their crops, at best some hundred of all kinds the library holds.

        Raises:
            SourceError: an image cannot be read.
            ConfigError: there are fewer than three images.
        """
        rows = [np.empty((0, self._spec.dim), np.float32)]
        for path in paths:
            picture = open_picture(path)
            rows += [image_rows(tokens, self._options) for tokens in self._tokens([picture, *crops(picture)])]
        return fit_whitening(np.concatenate(rows), dim)

    def encode_passages(self, passages: Sequence[Passage]) -> list[Vector | None]:
        """Raises SourceError naming the file when an image cannot be read."""
        return self._encode([passage.images for passage in passages], self._options.crops)

    def encode_queries(self, queries: Sequence[Query]) -> list[Vector | None]:
        """Raises QueryError naming the file when an image cannot be read."""
        try:
            return self._encode([query.images for query in queries], 1)
        except SourceError as error:
            raise QueryError(f"{error}; give a whole image file of a common format") from error

    def grid(self, path: Path) -> Matrix:
        """The 16 x 16 patch vectors of one image, unit rows, shape (256, 384), row by row from the top left."""
        return unit_rows(self._tokens([open_picture(path)])[0][1:])

    def _encode(self, items: Sequence[tuple[Path, ...]], n_crops: int) -> list[Vector | None]:
        rows: dict[Path, Matrix] = {}
        waiting = iter(dict.fromkeys(path for paths in items for path in paths))
        while group := list(islice(waiting, _AT_ONCE)):
            rows |= self._images(group, n_crops)
        return [self._join([rows[path] for path in paths]) if paths else None for paths in items]

    def _images(self, paths: Sequence[Path], n_crops: int) -> dict[Path, Matrix]:
        pictures = [open_picture(path) for path in paths]
        views = [_views(picture, n_crops) for picture in pictures]
        tokens = iter(self._tokens([view for cut in views for view in cut]))
        found = {}
        for path, cut in zip(paths, views, strict=True):
            rows = np.concatenate([image_rows(next(tokens), self._options) for _ in cut])
            found[path] = rows if self._whitening is None else project(rows, self._whitening)
        return found

    def _tokens(self, pictures: Sequence[Image]) -> Matrix:
        size, aspect = self._options.size, self._options.aspect
        inputs = [model_input(picture, size, aspect)[np.newaxis] for picture in pictures]
        return np.concatenate(self._session.run([{"input_image": pixels} for pixels in inputs]))

    def _join(self, rows: Sequence[Matrix]) -> Matrix:
        joined = np.concatenate(rows)
        return unit_rows(joined.mean(axis=0)) if self._options.form == "dense" else joined


def _views(picture: Image, n: int) -> list[Image]:
    """The whole image, then the centre, then the corners."""
    *corners, centre = crops(picture) if n > 1 else [picture]
    return [picture, centre, *corners][:n]


def image_rows(tokens: Matrix, options: ImageOptions) -> Matrix:
    """Unit rows of one image from its tokens (257, 384), row 0 the class vector. Pure."""
    match options.view:
        case "class":
            return unit_rows(tokens[0])
        case "class_mean":
            # Each half has length 1, so both weigh the same.
            return unit_rows(np.concatenate([unit_rows(tokens[0]), unit_rows(tokens[1:].mean(axis=0))], axis=1))
        case "patches":
            side = GRID // options.pool
            grid = tokens[1:].reshape(side, options.pool, side, options.pool, DIM)
            return unit_rows(grid.mean(axis=(1, 3)).reshape(-1, DIM))
