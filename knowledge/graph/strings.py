"""Strings as numbers: a pool that numbers them while a graph is built, and a sorted table that is memory-mapped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt


class StringPool(dict[str, int]):
    """Numbers strings from 0 in the order they are first asked for: `pool[text]` is always answered."""

    def __missing__(self, text: str) -> int:
        code = len(self)
        self[text] = code
        return code


@dataclass(frozen=True, slots=True)
class StringTable(Sequence[str]):
    """Unique strings in order of their UTF-8 bytes (the order Python gives them).

    Text i is data[offsets[i]:offsets[i + 1]]. `data` is uint8, `offsets` int64 with one more entry than there are
    strings; both may be memory-mapped.
    """

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, encoded: Sequence[bytes]) -> StringTable:
        """The table of UTF-8 texts that are sorted and unique already."""
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(text) for text in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, code: int) -> str:  # type: ignore[override]  # no slices
        return self.data[self.offsets[code] : self.offsets[code + 1]].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        data, ends = self.data.tobytes(), self.offsets.tolist()
        return (data[start:end].decode() for start, end in pairwise(ends))

    def lengths(self) -> npt.NDArray[np.int64]:
        """UTF-8 bytes of each string."""
        return np.diff(self.offsets)

    def code(self, text: str) -> int:
        """The number of a string, -1 when the table does not hold it."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self[middle] < text else (low, middle)
        return low if low < len(self) and self[low] == text else -1
