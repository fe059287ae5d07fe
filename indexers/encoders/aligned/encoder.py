"""The encoder of a fitted head: images and texts to the space that `vesalius align fit` learned, across kinds only.

An image is compared with texts and a text with images, never like with like: the other channels do that better, and in
one list equal kinds would stand before all others, however well these fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from indexers.encoders.aligned.storage import StoredHead, load_head
from indexers.encoders.aligned.terms import term_counts
from indexers.encoders.inputs import text_of
from indexers.encoders.unit_rows import unit_rows
from rag.errors import UsageError
from rag.fingerprint import digest
from rag.protocols import Encoder
from rag.types import Matrix, Passage, Query, Vector, VectorSpec

CHANNEL = "aligned"


class AlignedImageTextEncoder:
    """One vector per item (channel "aligned") by which images find texts and texts find images.

    A passage's vector holds its images' row in the shared space, its text's row beside it, and a last number that makes
    up for what is absent: each part has the same length whether or not the other is there. A query's image stands where
    texts stand, its text where images stand; of a query with both, the image is read. So an image finds facts, pages of
    text and cases by their reports; a sentence finds images that nobody described; and a passage without the other kind
    scores 0, what strangers score on average.

    `image` and `text` are the frozen encoders that the head was fitted on; several rows of an item are averaged.
    """

    def __init__(self, stored: StoredHead, image: Encoder, text: Encoder, channel: str = CHANNEL) -> None:
        self._stored, self._image, self._text = stored, image, text
        self._spec = VectorSpec(channel, "dense", 2 * stored.head.shared_dim + 1)

    @property
    def spec(self) -> VectorSpec:
        return self._spec

    @property
    def fingerprint(self) -> str:
        parts = {"image": self._image.fingerprint, "text": self._text.fingerprint}
        return digest({"encoder": CHANNEL, "version": 2, "head": self._stored.content, **parts})

    def encode_passages(self, passages: Sequence[Passage]) -> list[Vector | None]:
        """Raises SourceError naming the file when an image cannot be read."""
        seen, read = self._seen_of(passages), self._read_of(passages)
        return [self._both(image, text) for image, text in zip(seen, read, strict=True)]

    def _seen_of(self, passages: Sequence[Passage]) -> list[Matrix | None]:
        places = [place for place, passage in enumerate(passages) if passage.images]
        found: list[Matrix | None] = [None] * len(passages)
        rows = self._image.encode_passages([passages[place] for place in places])
        for place, row in zip(places, rows, strict=True):
            found[place] = self._seen(row)
        return found

    def _read_of(self, passages: Sequence[Passage]) -> list[Matrix | None]:
        places = [place for place, passage in enumerate(passages) if text_of(passage).strip()]
        found: list[Matrix | None] = [None] * len(passages)
        rows = self._text.encode_passages([passages[place] for place in places])
        for place, row in zip(places, rows, strict=True):
            found[place] = self._read(row, text_of(passages[place]))
        return found

    def _both(self, image: Matrix | None, text: Matrix | None) -> Matrix | None:
        if image is None and text is None:
            return None
        width = self._stored.head.shared_dim
        row = np.zeros((1, 2 * width + 1), np.float32)
        if image is not None:
            row[:, :width] = image
        if text is not None:
            row[:, width:-1] = text
        row[:, -1] = image is None or text is None
        return unit_rows(row)

    def encode_queries(self, queries: Sequence[Query]) -> list[Vector | None]:
        """Raises QueryError naming the file when an image cannot be read."""
        # One at a time, so that a query's vector never depends on the queries asked with it.
        return [self._query(query) for query in queries]

    def _query(self, query: Query) -> Vector | None:
        width = self._stored.head.shared_dim
        row = np.zeros((1, 2 * width + 1), np.float32)
        if query.images:
            part = self._seen(self._image.encode_queries([query])[0])
            place = slice(width, 2 * width)
        else:
            part = self._read(self._text.encode_queries([query])[0], query.text)
            place = slice(0, width)
        if part is None:
            return None
        row[:, place] = part
        return row

    def _seen(self, rows: Vector | None) -> Matrix | None:
        return None if rows is None else self._stored.head.shared_images(mean_row(rows))

    def _read(self, rows: Vector | None, text: str) -> Matrix | None:
        return None if rows is None else self._stored.head.shared_texts(mean_row(rows), term_counts([text]))


def mean_row(rows: Vector) -> Matrix:
    """The mean direction of an item's rows, shape (1, d)."""
    if not isinstance(rows, np.ndarray):
        raise UsageError("a head needs encoders of dense vectors; these are term weights")
    return unit_rows(rows.mean(axis=0))


def open_aligned(folder: Path, image: Encoder, text: Encoder) -> AlignedImageTextEncoder:
    """The encoder of a head on disk.

    Raises:
        UsageError: there is no head in the folder, or it did not beat chance and the floor.
        SourceError: its files are damaged.
        HeadMismatch: it was fitted with other encoders.
    """
    stored = load_head(folder, {"image": image.fingerprint, "text": text.fingerprint})
    if not stored.card.active:
        raise UsageError(f"the head in {folder} is not active: {stored.card.reason}; fit it on more or other pairs")
    return AlignedImageTextEncoder(stored, image, text)
