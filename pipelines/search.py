"""Search over a library: channels, fusion, figure lift, rerank, merge; the seconds of each stage are kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from rag.domains.encoders import EncoderAssignment, channel_weights, shared_out
from rag.fusion import reciprocal_rank_fusion, with_channel
from rag.page_ranking import FIGURE
from rag.protocols import Reranker, Store
from rag.reranking import RerankOptions, rerank_head
from rag.retrievers import (
    Channel,
    FusionOptions,
    KindRetriever,
    encode_query,
    lifted_pages,
    merge_kinds,
    reads_images,
    relevance,
)
from rag.routing import BoostOptions, DomainRouter, Route, weigh
from rag.types import KINDS, Dropped, Hit, Kind, Query, Vector

if TYPE_CHECKING:
    from pipelines.graph_search import FactWalk, FactWalker

FUSED = "fused"
"""Name under which a hit shows its place and score among those of its own kind."""
IMAGE = "image"
"""The embedded encoder's channel of images."""
Withhold = Callable[[Sequence[Hit]], Sequence[Hit]]
"""Takes a ranked list and gives it without what must not help the query."""
_UNMOVED = BoostOptions(strength=0.0)
FIGURES_FIRST: tuple[Kind, ...] = ("figure", "page", "case", "fact")
"""Figures are searched before pages because found figures lift their pages."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first, and seconds by stage (encode, route, search, fuse, rerank).

    `route` is what the router decided, None when it was not asked; `dropped` are hits that it left out. `walk` is what
    the graph gave, None when it was not asked.
    """

    hits: tuple[Hit, ...]
    seconds: Mapping[str, float] = field(default_factory=dict)
    route: Route | None = None
    dropped: tuple[Dropped, ...] = ()
    walk: FactWalk | None = None


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
    `encoders` says which image channel reads which domain, when some have one of their own. `walker` walks the graph.
    """

    fusion: FusionOptions
    router: DomainRouter
    domains: BoostOptions | None = None
    reranker: Reranker | None = None
    rerank: RerankOptions = field(default_factory=RerankOptions)
    encoders: EncoderAssignment | None = None
    walker: FactWalker | None = None


@dataclass(slots=True)
class _Lists:
    """What a search has found so far: lists by kind and channel, and each kind's fused list."""

    withhold: Withhold | None = None
    found: dict[Kind, dict[str, list[Hit]]] = field(default_factory=dict)
    fused: dict[Kind, list[Hit]] = field(default_factory=dict)
    walk: FactWalk | None = None


class SearchEngine:
    """Finds passages of several kinds for one query."""

    def __init__(self, store: Store, channels: Sequence[Channel], ranking: Ranking) -> None:
        self._store, self._channels, self._ranking = store, tuple(channels), ranking

    @property
    def reranker(self) -> Reranker | None:
        """What reads the head of the merged list again, if anything does."""
        return self._ranking.reranker

    def over(self, store: Store, channels: Sequence[Channel], reranker: Reranker | None) -> SearchEngine:
        """The same search with another store, other channels and another reranker (an ablation's, which remember)."""
        return SearchEngine(store, channels, replace(self._ranking, reranker=reranker))

    def search(
        self, query: Query, *, k: int, kinds: Sequence[Kind] = KINDS, withhold: Withhold | None = None
    ) -> SearchResult:
        """The k best passages of these kinds. What `withhold` leaves out of the cases begins no walk of the graph."""
        clock = StageClock()
        searched = {*kinds, "figure"} if "page" in kinds else set(kinds)
        used = [channel for channel in self._channels if channel.kind in searched]
        assigned = set(self._ranking.encoders.by_domain.values()) if self._ranking.encoders else set()
        with clock.stage("encode"):
            vectors = encode_query(query, [channel for channel in used if channel.name not in assigned])
        with clock.stage("route"):
            route = self._route(query, vectors)
            used, fusion = self._shared_out(used, route)
        with clock.stage("encode"):
            # An encoder of a single domain is asked only when its domain is probable enough: each is a large model.
            vectors |= encode_query(query, [channel for channel in used if channel.name in assigned])
        lists = _Lists(withhold)
        for kind in FIGURES_FIRST:
            own = [channel for channel in used if channel.kind == kind]
            if own:
                self._search_kind(KindRetriever(self._store, own, fusion), query, vectors, lists, clock)
        wanted = {kind: lists.fused[kind] for kind in KINDS if kind in kinds and kind in lists.fused}
        with clock.stage("fuse"):
            merged = merge_kinds(wanted, self._weights(query, wanted), constant=self._ranking.fusion.constant)
        if self._ranking.reranker is not None:
            with clock.stage("rerank"):
                merged = rerank_head(self._ranking.reranker, query, merged, self._ranking.rerank)
        dropped: tuple[Dropped, ...] = ()
        if route is not None:
            with clock.stage("route"):
                merged, dropped = weigh(merged, route, self._ranking.domains or _UNMOVED)
        return SearchResult(tuple(merged[:k]), clock.seconds, route, dropped, lists.walk)

    def _search_kind(
        self, retriever: KindRetriever, query: Query, vectors: Mapping[str, Vector], lists: _Lists, clock: StageClock
    ) -> None:
        """The lists of one kind and their fusion, added to those of the kinds before it."""
        kind = retriever.kind
        with clock.stage("search"):
            found = retriever.lists(query, vectors, self._ranking.fusion.depth)
            if kind == "page":
                found |= self._figures(query, lists.found.get("figure", {}), found)
        if kind == "fact" and self._ranking.walker is not None:
            with clock.stage("walk"):
                cases = _alike(lists.found.get("case", {}))
                shown = lists.withhold(cases) if lists.withhold else cases
                lists.walk = self._ranking.walker.walk(query, vectors, shown)
                found |= lists.walk.lists()
        with clock.stage("fuse"):
            lists.found[kind] = found
            lists.fused[kind] = with_channel(FUSED, retriever.fuse(query, found))

    def _shared_out(self, used: Sequence[Channel], route: Route | None) -> tuple[list[Channel], FusionOptions]:
        """The channels to search and their weights: encoders of single domains count as much as theirs is probable."""
        fusion = self._ranking.fusion
        if self._ranking.encoders is None:
            return list(used), fusion
        shares = channel_weights(self._ranking.encoders, route.domains if route else {"unknown": 1.0})
        searched = [channel for channel in used if shares.get(channel.name, 1.0) > 0]
        return searched, replace(fusion, weights=shared_out(fusion.weights, shares))

    def _route(self, query: Query, vectors: Mapping[str, Vector]) -> Route | None:
        if self._ranking.domains is None and query.domain is None:
            return None
        image = vectors.get(self._ranking.router.channel)
        seen = image if isinstance(image, np.ndarray) else None
        return self._ranking.router.decide(query, image=seen, tags=query.tags, domain=query.domain)

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
        self, query: Query, figures: Mapping[str, Sequence[Hit]], pages: Mapping[str, Sequence[Hit]]
    ) -> dict[str, list[Hit]]:
        """The pages of found figures as one more list: by image when the query has one, else by caption."""
        pictured = sorted(name for name in figures if reads_images(name) and name != IMAGE) if query.images else []
        for name in (IMAGE, *pictured, "dense"):
            if figures.get(name):
                known = [hit for hits in pages.values() for hit in hits]
                return {FIGURE: lifted_pages(self._store, figures[name], known)}
        return {}


def _alike(cases: Mapping[str, Sequence[Hit]]) -> Sequence[Hit]:
    """The cases whose images are most like the query's, by the embedded encoder or else by that of a domain."""
    return next((cases[name] for name in (IMAGE, *sorted(cases)) if reads_images(name) and cases.get(name)), ())


class JudgedSearch:
    """A search engine as evaluation calls it: the whole system, or single channels."""

    def __init__(self, engine: SearchEngine) -> None:
        self._engine = engine

    def search(self, query: Query, *, k: int, kinds: tuple[Kind, ...], channels: tuple[str, ...] | None) -> list[Hit]:
        """The k best hits; `channels` None means the whole system, fused and reranked."""
        if channels is None:
            return list(self._engine.search(query, k=k, kinds=kinds).hits)
        return self._engine.channel_only(query, channels, k=k, kinds=kinds)
