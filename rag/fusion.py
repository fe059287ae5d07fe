"""Fusion: several lists of hits become one.

Raw scores of different channels are not comparable (a cosine, a sum over tokens, a BM25 weight). Channels of one kind
meet by their standard score within the list, which keeps how far a hit stands out; kinds meet by rank. Every
function is pure and independent of the order of its input lists.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from rag.types import ChannelScore, Hit, Passage


def with_channel(channel: str, hits: Sequence[Hit]) -> list[Hit]:
    """Note on each hit its rank (from 1) and raw score in the channel that found it."""
    return [
        replace(hit, channels={**hit.channels, channel: ChannelScore(rank, hit.score)})
        for rank, hit in enumerate(hits, start=1)
    ]


def standard_scores(scores: Mapping[str, float]) -> dict[str, float]:
    """Each key's (score - mean) / standard deviation; all 0 when every score is equal."""
    if not scores:
        return {}
    mean = sum(scores.values()) / len(scores)
    spread = (sum((score - mean) ** 2 for score in scores.values()) / len(scores)) ** 0.5
    return {key: (score - mean) / spread if spread > 1e-12 else 0.0 for key, score in scores.items()}


def list_scores(hits: Sequence[Hit]) -> dict[str, float]:
    """Passage id to standard score within one list."""
    return standard_scores({hit.passage.id: hit.score for hit in hits})


def standard_score_sum(
    ids: Iterable[str], lists: Mapping[str, Sequence[Hit]], weights: Mapping[str, float]
) -> dict[str, float]:
    """For each id the weighted sum of its standard scores over the lists, standardised again.

    A list without a weight counts 1. An id that a list does not hold counts as that list's last: it scored no better.
    """
    total = dict.fromkeys(ids, 0.0)
    for name in sorted(lists):
        scores = list_scores(lists[name])
        last = min(scores.values(), default=0.0)
        for key in total:
            total[key] += weights.get(name, 1.0) * scores.get(key, last)
    return standard_scores(total)


def merged(lists: Mapping[str, Sequence[Hit]]) -> dict[str, Hit]:
    """Every passage of the lists, once, by id, with what each channel said of it."""
    passages: dict[str, Passage] = {}
    channels: dict[str, dict[str, ChannelScore]] = {}
    for name in sorted(lists):
        for hit in lists[name]:
            passages.setdefault(hit.passage.id, hit.passage)
            channels.setdefault(hit.passage.id, {}).update(hit.channels)
    return {key: Hit(passage, 0.0, channels[key]) for key, passage in passages.items()}


IMAGE = "image"
IMAGE_WEIGHT = 2.0
"""Share of the image against all text channels together, when a query has both: who shows an image means that image,
and the words beside it are often only "what is this?"."""
IMAGE_RIVALS = 20
"""An image stands out against its nearest rivals: in a library of several domains every film is far from every slide,
and a spread over all of them would make near and same look alike."""


def standard_score_fusion(
    lists: Mapping[str, Sequence[Hit]], weights: Mapping[str, float], pictures: Collection[str] = (IMAGE,)
) -> list[Hit]:
    """One ranking of a kind's channels: text channels together, and beside them those that compared images.

    `pictures` names the latter. Each counts IMAGE_WEIGHT times its weight: of several, weights that sum to 1 give all
    of them together what one alone has.
    """
    hits = merged(lists)
    text = {name: found for name, found in lists.items() if name not in pictures}
    words = standard_score_sum(hits, text, weights) if text else {}
    seen = dict.fromkeys(hits, 0.0)
    for name in sorted(set(pictures) & lists.keys()):
        scores = list_scores(lists[name][:IMAGE_RIVALS])
        last = min(scores.values(), default=0.0)
        for key in seen:
            seen[key] += IMAGE_WEIGHT * weights.get(name, 1.0) * scores.get(key, last)
    return by_score(replace(hit, score=words.get(key, 0.0) + seen[key]) for key, hit in hits.items())


def reciprocal_rank_fusion(
    lists: Mapping[str, Sequence[Hit]], weights: Mapping[str, float], *, constant: float = 20.0
) -> list[Hit]:
    """Weighted reciprocal rank fusion: score = sum over lists of weight / (constant + rank), rank from 1.

    A list without a weight counts 1. Channel scores of the same passage are merged; ties rank by id.
    Cormack, Clarke and Buettcher, 2009, https://doi.org/10.1145/1571941.1572114 (there: constant 60, no weights).
    """
    scores: dict[str, float] = {}
    for name in sorted(lists):
        for rank, hit in enumerate(lists[name], start=1):
            scores[hit.passage.id] = scores.get(hit.passage.id, 0.0) + weights.get(name, 1.0) / (constant + rank)
    return by_score(replace(hit, score=scores[key]) for key, hit in merged(lists).items())


def by_score(hits: Iterable[Hit]) -> list[Hit]:
    """Best first; equal scores by passage id ascending."""
    return sorted(hits, key=lambda hit: (-hit.score, hit.passage.id))
