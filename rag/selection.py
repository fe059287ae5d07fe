"""From hits to evidence: how many passages an answer may use, and why the others were left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rag.errors import ConfigError
from rag.types import Dropped, Evidence, Hit, Query


@dataclass(frozen=True, slots=True)
class FixedK:
    """Keeps the first k hits that fit a budget of words.

    A hit is dropped, with its reason, when its text repeats that of a better hit, when its document already has
    `per_document` passages, when k are kept, or when its words do not fit into what is left of the budget; a shorter
    hit after it may still fit. Order is kept.
    """

    k: int = 8
    budget_words: int = 6000
    per_document: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("k", self.k), ("budget_words", self.budget_words), ("per_document", self.per_document)):
            if value is not None and value < 1:
                raise ConfigError(f"selection: {name} is {value}; it must be at least 1")

    def select(self, query: Query, hits: Sequence[Hit]) -> Evidence:  # noqa: ARG002 - a selector may read the query
        kept: list[Hit] = []
        dropped: list[Dropped] = []
        first_with: dict[str, str] = {}
        per_document: Counter[str] = Counter()
        words_left = self.budget_words
        for hit in hits:
            passage = hit.passage
            key, n_words = " ".join(passage.text.lower().split()), len(passage.text.split())
            if key and key in first_with:
                dropped.append(Dropped(hit, f"same text as {first_with[key]}"))
            elif self.per_document is not None and per_document[passage.document] >= self.per_document:
                dropped.append(Dropped(hit, f"{passage.document} already has {self.per_document} passages"))
            elif len(kept) >= self.k:
                dropped.append(Dropped(hit, f"after the first {self.k}"))
            elif n_words > words_left:
                dropped.append(Dropped(hit, f"{n_words} words do not fit into the {words_left} left of the budget"))
            else:
                kept.append(hit)
                words_left -= n_words
                per_document[passage.document] += 1
                # A passage without text (an image alone) repeats nothing.
                first_with.setdefault(key, passage.id)
        return Evidence(tuple(kept), tuple(dropped), self.budget_words)
