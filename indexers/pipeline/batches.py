"""Which prepared pages go to a device together: those of about the same number of patches, none left out for long."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass

from indexers.devices import DeviceEncoder
from indexers.pipeline.encode import Item

MOST_PADDING = 0.05
"""Share of a batch that may be padding. Every batch keeps to it, so the whole build does."""
MOST_ITEMS = 16
"""Items in a batch at the most: enough to fill a GPU with pages of some hundred patches, few to repeat after a kill."""
UNKNOWN_ITEMS = 8
"""Items in a batch where free memory cannot be known: a CPU, or a server that makes batches of its own."""
MEMORY_SHARE = 0.8
"""Share of the free memory that a batch may take; the rest is for what the allocator cannot use."""
_UNLIMITED = 1 << 40
RECOVERY = 50
"""Batches in a row that must fit before a device that ran out of memory is given larger ones again."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The largest batch: so many items, and so many patches when every item is padded to the longest."""

    items: int
    patches: int

    def allows(self, items: int, longest: int) -> bool:
        """Whether a batch may hold so many items, the longest of so many patches. One item is always allowed."""
        return items == 1 or (items <= self.items and items * longest <= self.patches)


class Budget:
    """How much one device takes at once from one encoder. Falls when it runs out of memory, and slowly recovers."""

    def __init__(self, encoder: DeviceEncoder, device: str) -> None:
        free = encoder.free_bytes(device)
        if free is None:
            self._whole = Limit(UNKNOWN_ITEMS, _UNLIMITED)
        else:
            self._whole = Limit(MOST_ITEMS, int(free * MEMORY_SHARE) // max(encoder.patch_bytes(), 1))
        self.limit = self._whole
        self._fitted = 0

    def too_much(self, items: Sequence[Item]) -> None:
        """A batch did not fit: from now on, half of it."""
        self._fitted = 0
        longest = max(item.patches for item in items)
        half = max(len(items) // 2, 1)
        self.limit = Limit(min(half, self.limit.items), min(half * longest, self.limit.patches))

    def fitted(self) -> None:
        """A batch fitted."""
        self._fitted += 1
        if self._fitted >= RECOVERY and self.limit != self._whole:
            self._fitted = 0
            self.limit = Limit(
                min(self.limit.items * 2, self._whole.items), min(self.limit.patches * 2, self._whole.patches)
            )


def choose(patches: Sequence[int], anchor: int, limit: Limit) -> range:
    """The batch around one item: neighbours in size are added while padding and memory allow.

    Args:
        patches: of each item waiting, ascending.
        anchor: index of the item that must be in the batch.
        limit: the largest batch allowed.

    Returns: indices into `patches`. Padding is at most MOST_PADDING of n_items x longest.
    """
    low = high = anchor
    total = patches[anchor]
    while True:
        steps = []
        if low > 0:
            steps.append((patches[anchor] - patches[low - 1], low - 1))
        if high + 1 < len(patches):
            steps.append((patches[high + 1] - patches[anchor], high + 1))
        for _, index in sorted(steps):
            longest = max(patches[high], patches[index])
            n_items = high - low + 2
            padded = n_items * longest
            if limit.allows(n_items, longest) and total + patches[index] >= (1 - MOST_PADDING) * padded:
                low, high, total = min(low, index), max(high, index), total + patches[index]
                break
        else:
            return range(low, high + 1)


class Waiting:
    """The prepared items of one encoder, in order of size. Not for several threads at once."""

    def __init__(self, items: Sequence[Item] = ()) -> None:
        self._count = 0
        self._sorted: list[tuple[int, int, Item]] = []
        self._ages: dict[int, float] = {}
        for item in items:
            self.add(item)

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, item: Item, now: float = 0.0) -> None:
        """Take an item that became ready at a time."""
        self._count += 1
        self._ages[self._count] = now
        insort(self._sorted, (item.patches, self._count, item))

    @property
    def oldest(self) -> float:
        """When the item that has waited longest became ready; infinite without items."""
        return next(iter(self._ages.values()), float("inf"))

    def take(self, limit: Limit, *, full: bool = False) -> list[Item]:
        """The next batch, taken out. With `full`, only one that may not hold one more item, else []."""
        if not self._sorted:
            return []
        patches = [size for size, _, _ in self._sorted]
        first = next(iter(self._ages))
        oldest = next(index for index, (_, number, _) in enumerate(self._sorted) if number == first)
        chosen = choose(patches, oldest, limit)
        if full and not _is_full(patches, chosen, limit):
            others = range(limit.items // 2, len(patches), max(limit.items // 2, 1))
            found = (choose(patches, anchor, limit) for anchor in others)
            chosen = next((batch for batch in found if _is_full(patches, batch, limit)), range(0))
        batch = self._sorted[chosen.start : chosen.stop]
        del self._sorted[chosen.start : chosen.stop]
        for _, number, _ in batch:
            del self._ages[number]
        return [item for _, _, item in batch]


def _is_full(patches: Sequence[int], batch: range, limit: Limit) -> bool:
    return bool(batch) and not limit.allows(len(batch) + 1, patches[batch.stop - 1])
