"""BM25 on passage text: the yardstick that retrieval is measured against, in the same run on the same passages."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from eval.datasets import QueryItem
from rag.errors import MissingExtra
from rag.filters import filter_values
from rag.types import Hit, Kind, Passage, Query

_WORD = re.compile(r"[a-z0-9]+")


def plain_words(text: str) -> list[str]:
    """Words of letters and digits in lower case; no stemming, no stop words."""
    return _WORD.findall(text.lower())


class Bm25Baseline:
    """Lucene's BM25 (k1 1.5, b 0.75) over passage text, as bm25s computes it.

    Robertson and Zaragoza, 2009, https://doi.org/10.1561/1500000019; bm25s: Lù, 2024, https://arxiv.org/abs/2407.03618.
    Term statistics are those of all passages given, so give it the pool that it should be compared on.

    Raises:
        MissingExtra: bm25s is not installed.
    """

    name = "bm25s"

    def __init__(self, passages: Iterable[Passage]) -> None:
        try:
            from bm25s import BM25
        except ImportError as error:
            raise MissingExtra("dev", feature="the BM25 baseline") from error
        self._passages = [passage for passage in passages if plain_words(passage.text)]
        self._engine = BM25(method="lucene", k1=1.5, b=0.75)
        if self._passages:
            self._engine.index([plain_words(passage.text) for passage in self._passages], show_progress=False)
        self._values = [filter_values(passage) for passage in self._passages]
        self.kinds: frozenset[Kind] = frozenset(passage.kind for passage in self._passages)

    def applies(self, item: QueryItem, kinds: tuple[Kind, ...]) -> bool:
        """Whether an item can be put to it: there are words to search with, and passages of a kind asked for."""
        return bool(plain_words(item.query.text)) and not self.kinds.isdisjoint(kinds)

    def search(
        self, query: Query, *, k: int, kinds: tuple[Kind, ...], channels: tuple[str, ...] | None = None
    ) -> list[Hit]:
        """The k passages of the highest score above 0, ties by id ascending; it has one channel only."""
        del channels
        words = plain_words(query.text)
        if not words or not self._passages:
            return []
        scores = np.asarray(self._engine.get_scores(words), dtype=np.float64)
        found = [
            Hit(self._passages[position], float(scores[position]))
            for position in np.flatnonzero(scores > 0).tolist()
            if self._passages[position].kind in kinds and self._accepts(position, query)
        ]
        return sorted(found, key=lambda hit: (-hit.score, hit.passage.id))[:k]

    def _accepts(self, position: int, query: Query) -> bool:
        return all(self._values[position].get(field) in wanted for field, wanted in query.filters.items())
