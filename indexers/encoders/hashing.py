"""Vectors without a model: each word has a fixed pseudo-random direction, so texts that share words are near.

Offline, deterministic and instant: for tests, examples, and checks of everything around the encoders.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np

from indexers.encoders.inputs import context_of, with_context
from indexers.encoders.unit_rows import unit_rows
from rag.fingerprint import digest
from rag.types import Matrix, Passage, Query, Vector, VectorSpec

_WORD = re.compile(r"\w+")


class HashEncoder:
    """form "dense": the mean direction of a text's words; form "multi": one row per word, in order.

    `context` reads the passage's headings as part of its text.
    """

    def __init__(
        self, channel: str = "hash", dim: int = 64, form: Literal["dense", "multi"] = "dense", *, context: bool = False
    ) -> None:
        self._spec = VectorSpec(channel, form, dim)
        self._context = context

    @property
    def spec(self) -> VectorSpec:
        return self._spec

    @property
    def fingerprint(self) -> str:
        return digest({"encoder": "hash", "dim": self._spec.dim, "form": self._spec.form, "context": self._context})

    def encode_passages(self, passages: Sequence[Passage]) -> list[Vector | None]:
        contexts = [context_of(passage) if self._context else "" for passage in passages]
        return [
            self._encode(with_context(context, passage.text))
            for context, passage in zip(contexts, passages, strict=True)
        ]

    def encode_queries(self, queries: Sequence[Query]) -> list[Vector | None]:
        return [self._encode(query.text) for query in queries]

    def _encode(self, text: str) -> Matrix | None:
        words = _WORD.findall(text.lower())
        if not words:
            return None
        rows = np.stack([_direction(word, self._spec.dim) for word in words])
        return rows if self._spec.form == "multi" else unit_rows(rows.sum(axis=0))


@lru_cache(maxsize=1 << 16)
def _direction(word: str, dim: int) -> Matrix:
    seed = int.from_bytes(hashlib.sha256(word.encode("utf-8", "replace")).digest()[:8], "little")
    direction: Matrix = unit_rows(np.random.default_rng(seed).standard_normal(dim))[0]
    return direction
