"""What every selector promises."""

from __future__ import annotations

import numpy as np
import pytest

from rag.protocols import Selector
from rag.types import Hit, PageLocator, Passage, Query

_QUERY = Query(text="anything")


def make_hit(i: int, text: str, document: str = "book") -> Hit:
    """A page hit whose id and page are `i`, with a score that falls with `i`."""
    return Hit(Passage(f"p{i:03}", "page", document, text, PageLocator(i + 1)), 1.0 / (i + 1))


class SelectorContract:
    """Inherit, and give `make_selector`, which returns a fresh selector."""

    def make_selector(self) -> Selector:
        raise NotImplementedError

    def test_plays_the_role(self) -> None:
        assert isinstance(self.make_selector(), Selector)

    def test_nothing_in_nothing_out(self) -> None:
        evidence = self.make_selector().select(_QUERY, [])
        assert evidence.hits == ()
        assert evidence.dropped == ()

    @pytest.mark.parametrize("seed", range(20))
    def test_every_hit_is_kept_in_order_or_dropped_with_a_reason(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        # Few letters, so that some texts repeat.
        texts = ["".join(rng.choice(list("ab "), size=rng.integers(1, 4))) + "x" for _ in range(rng.integers(1, 14))]
        hits = [make_hit(i, text) for i, text in enumerate(texts)]
        evidence = self.make_selector().select(_QUERY, hits)
        kept = [hit.passage.id for hit in evidence.hits]
        dropped = [row.hit.passage.id for row in evidence.dropped]
        assert kept == sorted(kept)
        assert sorted(kept + dropped) == [hit.passage.id for hit in hits]
        assert all(row.reason for row in evidence.dropped)

    @pytest.mark.parametrize("seed", range(20))
    def test_the_budget_holds(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        lengths = rng.integers(1, 4000, size=rng.integers(1, 13)).tolist()
        hits = [make_hit(i, f"w{i} " * length) for i, length in enumerate(lengths)]
        evidence = self.make_selector().select(_QUERY, hits)
        assert sum(len(hit.passage.text.split()) for hit in evidence.hits) <= evidence.budget_words

    def test_the_same_hits_give_the_same_evidence(self) -> None:
        hits = [make_hit(i, f"text {i % 3}") for i in range(10)]
        assert self.make_selector().select(_QUERY, hits) == self.make_selector().select(_QUERY, hits)
