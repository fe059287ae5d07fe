"""BM25 as a sparse vector: Qdrant Edge's own tokenizer, stemmer and term weights; the store applies the IDF.

Robertson and Zaragoza, 2009, https://doi.org/10.1561/1500000019
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from indexers.encoders.inputs import context_of, text_of, with_context
from rag.errors import ConfigError
from rag.fingerprint import digest
from rag.types import Passage, Query, SparseVector, Vector, VectorSpec

if TYPE_CHECKING:
    from qdrant_edge import Bm25


@dataclass(frozen=True, slots=True)
class Bm25Options:
    """Term weighting.

    k: how late repetitions stop counting. b: how much long texts are marked down, 0 to 1. `mean_terms`: the length
    that counts as average, in terms without stop words: about 256 for a book page, 40 for a report, 6 for a fact.
    `context` adds the passage's headings to its text.
    """

    k: float = 1.5
    b: float = 0.75
    mean_terms: float = 256.0
    context: bool = False
    language: str = "english"


_DEFAULT = Bm25Options()


class Bm25Encoder:
    """Stemmed words without stop words and accents, weighted by frequency and text length."""

    def __init__(self, channel: str = "bm25", options: Bm25Options = _DEFAULT) -> None:
        if options.k < 0 or not 0 <= options.b <= 1 or options.mean_terms <= 0:
            raise ConfigError(f"BM25 needs k >= 0, b in [0, 1] and mean_terms > 0, not {options}")
        self._options = options
        self._spec = VectorSpec(channel, "sparse")
        self._lock = threading.Lock()
        self._model: Bm25 | None = None

    @property
    def spec(self) -> VectorSpec:
        return self._spec

    @property
    def fingerprint(self) -> str:
        return digest({"encoder": "bm25", "terms": "qdrant-edge 0.9", **asdict(self._options)})

    def encode_passages(self, passages: Sequence[Passage]) -> list[Vector | None]:
        model = self._loaded()
        found: list[Vector | None] = []
        for passage in passages:
            context = context_of(passage) if self._options.context else ""
            vector = model.embed_document(_encodable(with_context(context, text_of(passage))))
            found.append(_sparse(vector.indices, vector.values))
        return found

    def encode_queries(self, queries: Sequence[Query]) -> list[Vector | None]:
        model = self._loaded()
        vectors = [model.embed_query(_encodable(query.text)) for query in queries]
        return [_sparse(vector.indices, vector.values) for vector in vectors]

    def _loaded(self) -> Bm25:
        with self._lock:
            if self._model is None:
                self._model = _load(self._options)
            return self._model


def _load(options: Bm25Options) -> Bm25:
    from qdrant_edge import Bm25, Bm25Config

    try:
        config = Bm25Config(
            k=options.k, b=options.b, avg_len=options.mean_terms, language=options.language, ascii_folding=True
        )
        return Bm25(config)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"BM25 cannot be set up with {options}: {error}") from error


def _encodable(text: str) -> str:
    # A lone surrogate, as a broken PDF may give, has no UTF-8 form.
    return text.encode("utf-8", "replace").decode("utf-8")


def _sparse(indices: Sequence[int], values: Sequence[float]) -> SparseVector | None:
    if not indices:
        return None
    pairs = sorted(zip(indices, values, strict=True))
    return SparseVector(tuple(index for index, _ in pairs), tuple(value for _, value in pairs))
