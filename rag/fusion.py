"""Rank fusion: several lists of hits become one.

Raw scores of different channels are not comparable (a cosine, a sum over tokens, a BM25 weight), so lists meet by
rank. Every function is pure and independent of the order of its input lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from rag.types import ChannelScore, Hit, Passage


def with_channel(channel: str, hits: Sequence[Hit]) -> list[Hit]:
    """Note on each hit its rank (from 1) and raw score in the channel that found it."""
    return [
        replace(hit, channels={**hit.channels, channel: ChannelScore(rank, hit.score)})
        for rank, hit in enumerate(hits, start=1)
    ]


def reciprocal_rank_fusion(
    lists: Mapping[str, Sequence[Hit]], weights: Mapping[str, float], *, constant: float = 20.0
) -> list[Hit]:
    """Weighted reciprocal rank fusion: score = sum over lists of weight / (constant + rank), rank from 1.

    A list without a weight counts 1. Channel scores of the same passage are merged; ties rank by id.
    Cormack, Clarke and Buettcher, 2009, https://doi.org/10.1145/1571941.1572114 (there: constant 60, no weights).
    """
    scores: dict[str, float] = {}
    passages: dict[str, Passage] = {}
    channels: dict[str, dict[str, ChannelScore]] = {}
    for name in sorted(lists):
        for rank, hit in enumerate(lists[name], start=1):
            key = hit.passage.id
            scores[key] = scores.get(key, 0.0) + weights.get(name, 1.0) / (constant + rank)
            passages.setdefault(key, hit.passage)
            channels.setdefault(key, {}).update(hit.channels)
    return by_score(Hit(passage, scores[key], channels[key]) for key, passage in passages.items())


def by_score(hits: Iterable[Hit]) -> list[Hit]:
    """Best first; equal scores by passage id ascending."""
    return sorted(hits, key=lambda hit: (-hit.score, hit.passage.id))
