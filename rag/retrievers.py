"""Retrieval: a query goes to every channel of a passage kind, the lists are fused, and figures lift their pages.

A channel is one named vector of one kind together with the encoder that made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from rag.fusion import IMAGE, by_score, reciprocal_rank_fusion, standard_score_fusion
from rag.page_ranking import FIGURE, PageOptions, rank_pages
from rag.protocols import Encoder, Store
from rag.types import ChannelScore, Hit, Kind, Prefetch, Query, Vector, VectorSpec
from rag.unions import UnionOptions, hybrid_union

LATE, VISUAL = "late", "visual"
Union = Literal["none", "plain", "filled"]


@dataclass(frozen=True, slots=True)
class Channel:
    """One searchable channel of one passage kind. Encoders are shared: a query is encoded once for all kinds.

    `coarse` are channels of fewer, pooled rows that the encoder makes along with it: the earlier stages of its search,
    which `prefetch` names.
    """

    kind: Kind
    spec: VectorSpec
    encoder: Encoder
    coarse: tuple[VectorSpec, ...] = ()
    prefetch: Prefetch | None = None

    @property
    def name(self) -> str:
        """The channel's name within its kind."""
        return self.spec.name

    @property
    def specs(self) -> tuple[VectorSpec, ...]:
        """What a store keeps for this channel: its vectors, and the pooled ones of earlier stages."""
        return (self.spec, *self.coarse)


@dataclass(frozen=True, slots=True)
class FusionOptions:
    """How lists are fused.

    depth: candidates per channel. constant: that of reciprocal rank fusion between kinds. weights: by
    "kind.channel", 1 when not named. candidates: the first hits of each other channel that late interaction reads.
    union: pages found by their image and pages found by their text meet as a union of two cut lists (ViDoRAG), plain or
    filled up, instead of by their scores. pages: the lifts of page ranking.
    """

    depth: int = 100
    constant: float = 20.0
    weights: Mapping[str, float] = field(default_factory=dict)
    candidates: int = 80
    union: Union = "none"
    pages: PageOptions = field(default_factory=PageOptions)

    def of(self, kind: Kind) -> dict[str, float]:
        """The weights of one kind's channels, by channel name."""
        start = f"{kind}."
        return {name[len(start) :]: weight for name, weight in self.weights.items() if name.startswith(start)}


def encode_query(query: Query, channels: Sequence[Channel]) -> dict[str, Vector]:
    """The query's vector for each channel name; channels that cannot read this query are left out."""
    vectors: dict[str, Vector] = {}
    for channel in channels:
        if channel.name not in vectors:
            vector = channel.encoder.encode_queries([query])[0]
            if vector is not None:
                vectors[channel.name] = vector
    return vectors


class KindRetriever:
    """Searches one passage kind over its channels and fuses the lists by rank."""

    def __init__(self, store: Store, channels: Sequence[Channel], options: FusionOptions) -> None:
        self._store = store
        self._channels = tuple(channels)
        self._options = options

    @property
    def kind(self) -> Kind:
        """The kind of passage this retriever finds."""
        return self._channels[0].kind

    def lists(self, query: Query, vectors: Mapping[str, Vector], depth: int) -> dict[str, list[Hit]]:
        """The ranked list of each channel that can read the query, before fusion.

        Late interaction compares every word with every word of a passage, so it only reads what the other channels
        found first (Khattab and Zaharia, 2020, call it re-ranking); alone, it reads everything.
        """
        usable = [channel for channel in self._channels if channel.name in vectors]
        usable.sort(key=lambda channel: channel.name == LATE)
        found: dict[str, list[Hit]] = {}
        for channel in usable:
            filters, prefetch = query.filters, channel.prefetch
            if channel.name == LATE and any(found.values()) and "id" not in filters:
                filters, prefetch = {**filters, "id": self._candidates(found.values())}, None
            found[channel.name] = self._store.search(
                self.kind, channel.name, vectors[channel.name], depth, filters, prefetch
            )
        return found

    def _candidates(self, lists: Iterable[Sequence[Hit]]) -> tuple[str, ...]:
        n = self._options.candidates
        return tuple(dict.fromkeys(hit.passage.id for hits in lists for hit in hits[:n]))

    def retrieve(self, query: Query, k: int) -> list[Hit]:
        """The k best passages of this kind by fused rank."""
        vectors = encode_query(query, self._channels)
        lists = self.lists(query, vectors, max(k, self._options.depth))
        return self.fuse(query, lists)[:k]

    def fuse(self, query: Query, lists: Mapping[str, Sequence[Hit]]) -> list[Hit]:
        """One ranking of the channels' lists: pages by `rank_pages`, other kinds by their standard scores."""
        weights = self._options.of(self.kind)
        if self.kind == "page":
            text = {name: hits for name, hits in lists.items() if name != VISUAL}
            if self._options.union != "none" and VISUAL in lists and text:
                by_text = rank_pages(query, text, weights, self._options.pages)
                return hybrid_union(lists[VISUAL], by_text, UnionOptions(fill=self._options.union == "filled"))
            return rank_pages(query, lists, weights, self._options.pages)
        pictures = [name for name in lists if reads_images(name)] if query.images else [IMAGE]
        return standard_score_fusion(lists, weights, pictures)


def reads_images(channel: str) -> bool:
    """Whether a channel compares a query's image with images: the embedded one, and the image-text encoders."""
    return channel in (IMAGE, "clip") or channel.startswith("clip-")


def lifted_pages(store: Store, figures: Sequence[Hit], known: Sequence[Hit]) -> list[Hit]:
    """The pages on which found figures stand, in the figures' order; each page once, at its best figure's rank.

    `known` are page hits at hand, used instead of reading the page from the store again.
    """
    pages = {hit.passage.id: hit.passage for hit in known}
    order = list(dict.fromkeys(page for hit in figures if (page := hit.passage.meta.get("page_id"))))
    pages |= {page.id: page for page in store.get([key for key in order if key not in pages])}
    best = {page: hit for hit in reversed(figures) if (page := hit.passage.meta.get("page_id"))}
    return [
        Hit(replace(pages[key], layout=None), best[key].score, {FIGURE: ChannelScore(rank, best[key].score)})
        for rank, key in enumerate((key for key in order if key in pages), start=1)
    ]


FACT_LEAD = 0.08
"""Cosine by which one short sentence is nearer to a question than a whole page that answers it as well. Over 75
questions that pages answer the best of 250,000 facts led the best page by less than 0.053 nine times in ten; questions
that facts answer had leads of 0.15 to 0.29 (docs/graph-evaluation.md)."""


def relevance(lists: Mapping[Kind, Sequence[Hit]], channel: str) -> dict[Kind, float]:
    """How near each kind's best passage is compared with the nearest of all, in [0.5, 1].

    One channel's scores come from one encoder, so they may be compared between kinds: 1 for the kind with the best
    score, less by twice the distance for the others. The slope is a judgement: cosines of passages that answer and
    of passages that do not differ by about 0.1 to 0.2 in the text encoder used. A fact counts `FACT_LEAD` less.
    """
    best = {
        kind: max((hit.channels[channel].score for hit in hits if channel in hit.channels), default=None)
        for kind, hits in lists.items()
    }
    best = {kind: score - FACT_LEAD if score and kind == "fact" else score for kind, score in best.items()}
    known = [score for score in best.values() if score is not None]
    top = max(known, default=0.0)
    return {kind: 0.5 if score is None else max(0.5, 1 - 2 * (top - score)) for kind, score in best.items()}


FOLLOWING = 10
"""Figures found among the first ten stand behind their pages; later ones say little about this query."""


def merge_kinds(lists: Mapping[Kind, Sequence[Hit]], weights: Mapping[Kind, float], *, constant: float) -> list[Hit]:
    """One ranking over several kinds: weighted reciprocal ranks, and a page's best figure stands right behind it.

    Together with pages, figures do not compete with them for places: a page shows its best figure if that was found
    among the first ten, and all other figures come last. A kind of weight 0 is left out.
    """
    used: dict[str, Sequence[Hit]] = {kind: hits for kind, hits in lists.items() if weights.get(kind, 1.0) > 0}
    ranked = reciprocal_rank_fusion(used, {str(kind): weight for kind, weight in weights.items()}, constant=constant)
    if not used.get("page"):
        return ranked
    place = {hit.passage.id: hit.score for hit in ranked if hit.passage.kind == "page"}
    behind: dict[str, str] = {}
    for hit in used.get("figure", ())[:FOLLOWING]:
        if (page := hit.passage.meta.get("page_id", "")) in place:
            behind.setdefault(page, hit.passage.id)
    score_of = {figure: place[page] * (1 - 1e-6) for page, figure in behind.items()}
    last = 1e-3 * min((hit.score for hit in ranked), default=0.0)
    return by_score(
        replace(hit, score=score_of.get(hit.passage.id, last * hit.score)) if hit.passage.kind == "figure" else hit
        for hit in ranked
    )
