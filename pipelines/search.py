"""Search over a library: channels, fusion, figure lift, rerank, merge; the seconds of each stage are kept."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from rag.fusion import reciprocal_rank_fusion, with_channel
from rag.page_ranking import FIGURE
from rag.protocols import Reranker, Store
from rag.reranking import RerankOptions, rerank_head
from rag.retrievers import Channel, FusionOptions, KindRetriever, encode_query, lifted_pages, merge_kinds, relevance
from rag.routing import BoostOptions, DomainRouter, Route, weigh
from rag.types import KINDS, Dropped, Hit, Kind, Query, Vector

FUSED = "fused"
"""Name under which a hit shows its place and score among those of its own kind."""
IMAGE = "image"
"""The channel whose vectors the prototypes of domains were fitted on."""
_UNMOVED = BoostOptions(strength=0.0)
FIGURES_FIRST: tuple[Kind, ...] = ("figure", "page", "case", "fact")
"""Figures are searched before pages because found figures lift their pages."""
LIFTING = ("image", "dense")
"""Figure channels whose scores lift pages, the first that found anything."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first, and seconds by stage (encode, route, search, fuse, rerank).

    `route` is what the router decided, None when it was not asked; `dropped` are hits that it left out.
    """

    hits: tuple[Hit, ...]
    seconds: Mapping[str, float] = field(default_factory=dict)
    route: Route | None = None
    dropped: tuple[Dropped, ...] = ()


@dataclass(slots=True)
class StageClock:
    """Adds up the seconds spent in named stages."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


@dataclass(frozen=True, slots=True)
class Ranking:
    """How lists become one: fusion within a kind, routing between kinds and domains, and an optional reranker.

    `domains` says how strongly the domain of a query moves hits; None leaves domains out unless one is asked for.
    """

    fusion: FusionOptions
    router: DomainRouter
    domains: BoostOptions | None = None
    reranker: Reranker | None = None
    rerank: RerankOptions = field(default_factory=RerankOptions)


class SearchEngine:
    """Finds passages of several kinds for one query."""

    def __init__(self, store: Store, channels: Sequence[Channel], ranking: Ranking) -> None:
        self._store, self._channels, self._ranking = store, tuple(channels), ranking

    def search(self, query: Query, *, k: int, kinds: Sequence[Kind] = KINDS) -> SearchResult:
        """The k best passages of these kinds."""
        clock = StageClock()
        searched = {*kinds, "figure"} if "page" in kinds else set(kinds)
        used = [channel for channel in self._channels if channel.kind in searched]
        with clock.stage("encode"):
            vectors = encode_query(query, used)
        with clock.stage("route"):
            route = self._route(query, vectors)
        found: dict[Kind, dict[str, list[Hit]]] = {}
        lists: dict[Kind, list[Hit]] = {}
        for kind in FIGURES_FIRST:
            retriever = self._retriever(kind, used)
            if retriever is None:
                continue
            with clock.stage("search"):
                found[kind] = retriever.lists(query, vectors, self._ranking.fusion.depth)
                if kind == "page":
                    found[kind] |= self._figures(found.get("figure", {}), found[kind])
            with clock.stage("fuse"):
                lists[kind] = with_channel(FUSED, retriever.fuse(query, found[kind]))
        wanted = {kind: lists[kind] for kind in KINDS if kind in kinds and kind in lists}
        with clock.stage("fuse"):
            merged = merge_kinds(wanted, self._weights(query, wanted), constant=self._ranking.fusion.constant)
        if self._ranking.reranker is not None:
            with clock.stage("rerank"):
                merged = rerank_head(self._ranking.reranker, query, merged, self._ranking.rerank)
        dropped: tuple[Dropped, ...] = ()
        if route is not None:
            with clock.stage("route"):
                merged, dropped = weigh(merged, route, self._ranking.domains or _UNMOVED)
        return SearchResult(tuple(merged[:k]), clock.seconds, route, dropped)

    def _route(self, query: Query, vectors: Mapping[str, Vector]) -> Route | None:
        if self._ranking.domains is None and query.domain is None:
            return None
        image = vectors.get(IMAGE)
        seen = image if isinstance(image, np.ndarray) else None
        return self._ranking.router.decide(query, image=seen, domain=query.domain)

    def channel_only(self, query: Query, names: Sequence[str], *, k: int, kinds: Sequence[Kind]) -> list[Hit]:
        """The k best of some channels alone, without lift or rerank: what an ablation compares with the whole."""
        used = [channel for channel in self._channels if channel.kind in kinds and channel.name in names]
        vectors = encode_query(query, used)
        lists: dict[Kind, list[Hit]] = {}
        for kind in kinds:
            retriever = self._retriever(kind, used)
            if retriever is not None:
                ranked = retriever.lists(query, vectors, k)
                lists[kind] = reciprocal_rank_fusion(ranked, {}, constant=self._ranking.fusion.constant)
        return merge_kinds(lists, self._ranking.router.route(query), constant=self._ranking.fusion.constant)[:k]

    def _weights(self, query: Query, lists: Mapping[Kind, Sequence[Hit]]) -> dict[Kind, float]:
        near = relevance(lists, "image" if query.images else "dense")
        return {kind: weight * near.get(kind, 1.0) for kind, weight in self._ranking.router.route(query).items()}

    def _retriever(self, kind: Kind, channels: Sequence[Channel]) -> KindRetriever | None:
        own = [channel for channel in channels if channel.kind == kind]
        return KindRetriever(self._store, own, self._ranking.fusion) if own else None

    def _figures(
        self, figures: Mapping[str, Sequence[Hit]], pages: Mapping[str, Sequence[Hit]]
    ) -> dict[str, list[Hit]]:
        """The pages of found figures as one more list: by image when the query has one, else by caption."""
        for name in LIFTING:
            if figures.get(name):
                known = [hit for hits in pages.values() for hit in hits]
                return {FIGURE: lifted_pages(self._store, figures[name], known)}
        return {}


class JudgedSearch:
    """A search engine as evaluation calls it: the whole system, or single channels."""

    def __init__(self, engine: SearchEngine) -> None:
        self._engine = engine

    def search(self, query: Query, *, k: int, kinds: tuple[Kind, ...], channels: tuple[str, ...] | None) -> list[Hit]:
        """The k best hits; `channels` None means the whole system, fused and reranked."""
        if channels is None:
            return list(self._engine.search(query, k=k, kinds=kinds).hits)
        return self._engine.channel_only(query, channels, k=k, kinds=kinds)
