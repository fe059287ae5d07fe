"""Clusters of near-duplicate images among the hits of one question, found when they are needed: nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence

from rag.leakage import Guard, same_key, stored_keys
from rag.types import Passage

_PICTURES = ("case", "figure")
"""A page's picture is the whole printed page; what stands on it are its figures."""


def image_clusters(passages: Sequence[Passage], radius: int | None = None) -> list[str | None]:
    """The cluster of each passage, named by the id of the first passage in the list that shows the same image.

    None for passages without image keys. Images are the same when their perceptual hashes are at most `radius` bits of
    256 apart, by default as for the leakage guard: the distance within which no two images of different people were
    found (docs/cases-and-time.md). Each passage is compared with the first of every cluster only, so that a chain of
    small changes does not join images that differ.
    """
    bits = Guard().radius if radius is None else radius
    firsts: list[tuple[str, tuple[str, ...]]] = []
    found: list[str | None] = []
    for passage in passages:
        keys = stored_keys(passage) if passage.kind in _PICTURES else ()
        name = next((name for name, first in firsts if _share(first, keys, bits)), None)
        if name is None and keys:
            name = passage.id
            firsts.append((name, keys))
        found.append(name)
    return found


def _share(first: tuple[str, ...], second: tuple[str, ...], radius: int) -> bool:
    return any(same_key(one, other, radius) for one in first for other in second)
