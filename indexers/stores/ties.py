"""Equal scores are ordered by id; engines order them as they like."""

from __future__ import annotations

from collections.abc import Callable

Scored = tuple[float, str]
"""A score with the id of its passage."""

MARGIN = 16
LIMIT = 16_384
"""Most points fetched beyond k to see all that share the k-th score; past it the engine decides who is left out."""


def best(fetch: Callable[[int], list[Scored]], k: int) -> list[Scored]:
    """The k best by score descending, then by id ascending.

    `fetch(limit)` returns the engine's best points, best first. More are fetched until the points with the k-th score
    are all there: mostly once, several times where many points share a score (a single term in thousands of facts).
    """
    limit = k + MARGIN
    while True:
        found = fetch(limit)
        if len(found) < limit or found[-1][0] < found[k - 1][0] or limit >= k + LIMIT:
            return sorted(found, key=lambda item: (-item[0], item[1]))[:k]
        limit = min(limit * 8, k + LIMIT)
