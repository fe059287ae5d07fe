"""Two texts laid over each other: do the modifiers of what they share agree, place by place?

Shared runs of tokens are found by greedy string tiling (Wise, 1993, "String similarity via greedy string tiling and
running Karp-Rabin matching"), so clauses may change their order. Modifiers count as equal when tiles are laid, whatever
their value; afterwards the values at equal places are compared.
"""

from __future__ import annotations

from functools import lru_cache

from rag.grounding.modifiers import NUMBER, Token, scales, tokens

_LEAST = 3
"""Tokens of a tile: a modifier with its noun alone may well stand elsewhere with another side."""
_LEAST_STEMS = 2
_MOST_TOKENS = 160


@lru_cache(maxsize=256)
def tiles(claim: str, quote: str) -> tuple[tuple[tuple[Token, Token], ...], ...]:
    """The runs of equal tokens of two texts, each as pairs of a token of the claim and its like in the quote."""
    ours, theirs = tokens(claim)[:_MOST_TOKENS], tokens(quote)[:_MOST_TOKENS]
    free_ours, free_theirs = [True] * len(ours), [True] * len(theirs)
    found: list[tuple[tuple[Token, Token], ...]] = []
    while True:
        at, other, length = _longest(ours, theirs, free_ours, free_theirs)
        if length < _LEAST:
            return tuple(found)
        for k in range(length):
            free_ours[at + k] = free_theirs[other + k] = False
        tile = tuple(zip(ours[at : at + length], theirs[other : other + length], strict=True))
        if len({own.key for own, _ in tile if not own.group}) >= _LEAST_STEMS:
            found.append(tile)


def places_agree(claim: str, quote: str, groups: frozenset[str]) -> bool:
    """Whether modifiers of these groups have compatible values at equal places."""
    return all(_compatible(own, other) for tile in tiles(claim, quote) for own, other in tile if own.group in groups)


def denials_agree(claim: str, quote: str) -> bool:
    """Whether words of denial stand at equal places within what the texts share.

    "No effusion is seen" and "effusion is not seen" say the same: in front of a word that only says that something is
    there, a denial counts when the texts have not equally many.
    """
    balanced = sum(token.denied for token in tokens(claim)) == sum(token.denied for token in tokens(quote))
    return not any(
        own.denied != other.denied and not (own.seen and balanced)
        for tile in tiles(claim, quote)
        for own, other in tile[1:]
    )


def _compatible(ours: Token, theirs: Token) -> bool:
    if ours.group == NUMBER:
        return all(any(a.equals(b) for b in theirs.amounts) for a in ours.amounts)
    if ours.n == theirs.n > 1:
        return ours.values == theirs.values
    if ours.group in scales().strict:
        return ours.values <= theirs.values
    return bool(ours.values & theirs.values)


def _longest(
    ours: tuple[Token, ...], theirs: tuple[Token, ...], free_ours: list[bool], free_theirs: list[bool]
) -> tuple[int, int, int]:
    """Start in both texts and length of the longest run of equal free tokens; of equal ones the more alike in value."""
    best, best_rank = (0, 0, 0), (0, 0)
    lengths = [[0] * (len(theirs) + 1) for _ in range(len(ours) + 1)]
    alike = [[0] * (len(theirs) + 1) for _ in range(len(ours) + 1)]
    for i, a in enumerate(ours):
        for j, b in enumerate(theirs):
            if a.key != b.key or not (free_ours[i] and free_theirs[j]):
                continue
            length = lengths[i + 1][j + 1] = lengths[i][j] + 1
            same = alike[i + 1][j + 1] = alike[i][j] + (not a.group or _compatible(a, b))
            if (length, same) > best_rank:
                best, best_rank = (i - length + 1, j - length + 1, length), (length, same)
    return best
