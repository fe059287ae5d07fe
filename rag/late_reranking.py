"""Reranking by late interaction: the head's stored rows are read again with the rows of the query's text and image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from rag.errors import QueryError, SourceError
from rag.fingerprint import digest
from rag.fusion import by_score
from rag.protocols import Encoder, Store
from rag.token_fusion import TokenFusionOptions, fusion_score
from rag.types import Hit, Matrix, PageLocator, Passage, Query, SparseVector, Vector

UNREAD = -1e9
"""Score of a hit without rows: below every fusion score, and finite, so that it can be written as JSON."""

_DEFAULT = TokenFusionOptions()


class TokenFusionReranker:
    """Scores each hit by the fusion score of Patho-AgenticRAG (`rag.token_fusion`).

    `channel` is a multivector channel of the store, filled by `encoder`. The query's text is encoded as a query; its
    image as a page would be, which an encoder of page images can do. An encoder that reads no images gives no image
    rows; then, and for a query without an image, the image's factor is 1. The store's rows are read whole, about 0.3 MB
    a page, so rerank a head of tens of hits, not a whole list.
    """

    def __init__(self, store: Store, channel: str, encoder: Encoder, options: TokenFusionOptions = _DEFAULT) -> None:
        self._store, self._channel, self._encoder, self._options = store, channel, encoder, options

    @property
    def fingerprint(self) -> str:
        """Identifies the encoder and every option."""
        return digest({"reranker": "token-fusion", "encoder": self._encoder.fingerprint, **asdict(self._options)})

    def rerank(self, query: Query, hits: Sequence[Hit]) -> list[Hit]:
        """All hits with the fusion score, best first, ties by id; hits without rows in the channel last.

        A query without text that the encoder can read changes nothing: the score is built on the words.

        Raises:
            QueryError: an image of the query cannot be read.
        """
        words = self._word_rows(query) if hits else None
        if words is None:
            return list(hits)
        patches = self._image_rows(query)
        stored = {
            point.passage.id: point.vectors.get(self._channel)
            for point in self._store.points([hit.passage.id for hit in hits])
        }
        return by_score(replace(hit, score=self._score(words, patches, stored.get(hit.passage.id))) for hit in hits)

    def _score(self, words: Matrix, patches: Matrix | None, rows: Vector | None) -> float:
        if rows is None or isinstance(rows, SparseVector) or not len(rows):
            return UNREAD
        image = None if patches is None else patches @ rows.T
        return fusion_score(words @ rows.T, image, self._options)

    def _word_rows(self, query: Query) -> Matrix | None:
        if not query.text.strip():
            return None
        return _matrix(self._encoder.encode_queries([Query(query.text)])[0])

    def _image_rows(self, query: Query) -> Matrix | None:
        pages = [Passage("query", "page", "query", "", PageLocator(1), (image,)) for image in query.images]
        try:
            found = [_matrix(vector) for vector in self._encoder.encode_passages(pages)] if pages else []
        except SourceError as error:
            raise QueryError(f"an image of the query cannot be read: {error}") from error
        rows = [matrix for matrix in found if matrix is not None]
        return np.concatenate(rows) if rows else None


def _matrix(vector: Vector | None) -> Matrix | None:
    return None if vector is None or isinstance(vector, SparseVector) or not len(vector) else vector
