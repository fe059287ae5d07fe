"""Blending a reranker's order into the fused order: a reader of query and passage is strong, not always right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rag.fusion import by_score, with_channel
from rag.protocols import Reranker
from rag.types import Hit, Query

RERANK = "rerank"
"""Name under which a hit shows what the reranker said."""


@dataclass(frozen=True, slots=True)
class RerankOptions:
    """The first `head` hits are read again; `weight` in [0, 1] is the reranker's share against the fused order."""

    head: int = 20
    weight: float = 0.5
    constant: float = 20.0


def rerank_head(reranker: Reranker, query: Query, hits: Sequence[Hit], options: RerankOptions) -> list[Hit]:
    """Hits in blended order: score = (1 - weight) / (constant + fused rank) + weight / (constant + reranked rank).

    Hits below the head keep their order behind it. The reranker's own rank and score are noted on each hit it read.
    """
    head, tail = hits[: options.head], hits[options.head :]
    if not head or not query.text.strip():
        return list(hits)
    read = {hit.passage.id: hit.channels[RERANK] for hit in with_channel(RERANK, reranker.rerank(query, head))}
    kept, given = 1 - options.weight, options.weight
    blended = [
        replace(
            hit,
            score=kept / (options.constant + rank) + given / (options.constant + read[hit.passage.id].rank),
            channels={**hit.channels, RERANK: read[hit.passage.id]},
        )
        for rank, hit in enumerate(head, start=1)
    ]
    rest = [replace(hit, score=kept / (options.constant + rank)) for rank, hit in enumerate(tail, start=len(head) + 1)]
    return [*by_score(blended), *rest]
