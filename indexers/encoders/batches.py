"""Which texts go through a model together. Pure.

The 8-bit models scale their activations per tensor, so the texts of a batch shift each other's vectors a little
(cosine 0.99 against a batch of one), and padding shifts them more. On a CPU a sequence over about 128 tokens gains
nothing from company, a short one gains three times. So long texts go alone and short ones with their likes.
"""

from __future__ import annotations

from collections.abc import Sequence

TOKEN_BUDGET = 512
ALONE_ABOVE = 128


def plan_batches(lengths: Sequence[int], budget: int = TOKEN_BUDGET, alone_above: int = ALONE_ABOVE) -> list[list[int]]:
    """Group the positions of texts by length.

    A batch holds at most `budget` tokens, padding included; a text longer than `alone_above` tokens is a batch of its
    own. Every position occurs once; the plan depends on nothing but the lengths and their order.
    """
    batches: list[list[int]] = []
    open_batch: list[int] = []
    for position in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        length = lengths[position]
        if open_batch and (length > alone_above or (len(open_batch) + 1) * length > budget):
            batches.append(open_batch)
            open_batch = []
        open_batch.append(position)
    return [*batches, open_batch] if open_batch else batches
