"""Collaborators of a search that remember: the search itself runs as it does everywhere else, on these.

Each is made for one query, whose keys are known before anything is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rag.protocols import Encoder, Reranker, Store
from rag.retrievers import LATE
from rag.types import Hit, Kind, Passage, Point, Prefetch, Query, Vector, VectorSpec


class RememberedEncoder:
    """An encoder whose vector for the one query at hand is known."""

    def __init__(self, encoder: Encoder, vector: Vector | None) -> None:
        self._encoder, self._vector = encoder, vector

    @property
    def spec(self) -> VectorSpec:
        return self._encoder.spec

    @property
    def fingerprint(self) -> str:
        """The encoder's own."""
        return self._encoder.fingerprint

    def encode_passages(self, passages: Sequence[Passage]) -> list[Vector | None]:
        return self._encoder.encode_passages(passages)

    def encode_queries(self, queries: Sequence[Query]) -> list[Vector | None]:
        return [self._vector for _ in queries]


@dataclass(frozen=True, slots=True)
class ListRequest:
    """One list of one channel, as a retriever asks its store for it."""

    kind: Kind
    channel: str
    vector: Vector
    filters: Mapping[str, tuple[str, ...]]
    prefetch: Prefetch | None


class RememberedStore:
    """A store whose lists of the one query at hand are kept. Everything else goes to the store itself.

    `remember(request, depth)` gives a list, or None for a request that is no channel's list (then the store is asked).
    """

    def __init__(self, store: Store, remember: Callable[[ListRequest, int], list[Hit] | None]) -> None:
        self._store, self._remember = store, remember

    @property
    def specs(self) -> Mapping[Kind, tuple[VectorSpec, ...]]:
        return self._store.specs

    def search(
        self,
        kind: Kind,
        channel: str,
        vector: Vector,
        k: int,
        filters: Mapping[str, tuple[str, ...]],
        prefetch: Prefetch | None = None,
    ) -> list[Hit]:
        found = self._remember(ListRequest(kind, channel, vector, filters, prefetch), k)
        return self._store.search(kind, channel, vector, k, filters, prefetch) if found is None else found

    def upsert(self, points: Sequence[Point]) -> None:
        self._store.upsert(points)

    def get(self, ids: Sequence[str]) -> list[Passage]:
        return self._store.get(ids)

    def points(self, ids: Sequence[str]) -> list[Point]:
        return self._store.points(ids)

    def ids(self, kind: Kind) -> Iterator[str]:
        return self._store.ids(kind)

    def count(self, kind: Kind) -> int:
        return self._store.count(kind)

    def delete(self, kind: Kind, document: str) -> None:
        self._store.delete(kind, document)

    def optimize(self) -> None:
        self._store.optimize()

    def close(self) -> None:
        """The store stays open: others use it."""


class RememberedReranker:
    """A reranker whose order of the one query's head is kept."""

    def __init__(
        self, reranker: Reranker, remember: Callable[[Callable[[], list[Hit]]], list[tuple[str, float]]]
    ) -> None:
        self._reranker, self._remember = reranker, remember

    def rerank(self, query: Query, hits: Sequence[Hit]) -> list[Hit]:
        order = self._remember(lambda: self._reranker.rerank(query, hits))
        by_id = {hit.passage.id: hit for hit in hits}
        return [replace(by_id[key], score=score) for key, score in order]


def is_candidate_list(channel: str, filters: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether late interaction reads only what the other channels found (rag.retrievers.KindRetriever)."""
    return channel == LATE and "id" in filters


class PassageShelf:
    """Passages of a library by id, without their word boxes, as a search gives them; read once each."""

    MOST = 50_000

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Passage] = {}

    def __call__(self, ids: Sequence[str]) -> dict[str, Passage]:
        """The passages with these ids."""
        missing = [key for key in dict.fromkeys(ids) if key not in self._known]
        if len(self._known) > self.MOST:
            self._known.clear()
            missing = list(dict.fromkeys(ids))
        if missing:
            self._known |= {one.id: replace(one, layout=None) for one in self._store.get(missing)}
        return {key: self._known[key] for key in ids}

    def keep(self, hits: Sequence[Hit]) -> None:
        """Keep passages that a search has just read."""
        for hit in hits:
            self._known.setdefault(hit.passage.id, hit.passage)
