"""The encoder of a fitted head: images and texts to single vectors of the space that `vesalius align fit` learned."""

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
    """One vector per item (channel "aligned"): its images through the image head, else its text through the text head.

    `image` and `text` are the frozen encoders that the head was fitted on; several rows of an item are averaged.
    """

    def __init__(self, stored: StoredHead, image: Encoder, text: Encoder, channel: str = CHANNEL) -> None:
        self._stored, self._image, self._text = stored, image, text
        self._spec = VectorSpec(channel, "dense", stored.head.dim)

    @property
    def spec(self) -> VectorSpec:
        return self._spec

    @property
    def fingerprint(self) -> str:
        parts = {"image": self._image.fingerprint, "text": self._text.fingerprint}
        return digest({"encoder": CHANNEL, "head": self._stored.content, **parts})

    def encode_passages(self, passages: Sequence[Passage]) -> list[Vector | None]:
        """Raises SourceError naming the file when an image cannot be read."""
        pictured = [place for place, passage in enumerate(passages) if passage.images]
        worded = [place for place, passage in enumerate(passages) if not passage.images]
        found: list[Vector | None] = [None] * len(passages)
        rows = self._image.encode_passages([passages[place] for place in pictured])
        for place, row in zip(pictured, rows, strict=True):
            found[place] = self._seen(row)
        rows = self._text.encode_passages([passages[place] for place in worded])
        for place, row in zip(worded, rows, strict=True):
            found[place] = self._read(row, text_of(passages[place]))
        return found

    def encode_queries(self, queries: Sequence[Query]) -> list[Vector | None]:
        """Raises QueryError naming the file when an image cannot be read."""
        # One at a time, so that a query's vector never depends on the queries asked with it.
        return [self._query(query) for query in queries]

    def _query(self, query: Query) -> Vector | None:
        if query.images:
            return self._seen(self._image.encode_queries([query])[0])
        return self._read(self._text.encode_queries([query])[0], query.text)

    def _seen(self, rows: Vector | None) -> Matrix | None:
        return None if rows is None else self._stored.head.images(mean_row(rows))

    def _read(self, rows: Vector | None, text: str) -> Matrix | None:
        return None if rows is None else self._stored.head.texts(mean_row(rows), term_counts([text]))


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
