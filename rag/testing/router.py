"""What every Router must do."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.protocols import Router
from rag.types import KINDS, Query

QUERIES = (
    Query(text="What lines the trachea?"),
    Query(images=(Path("film.png"),)),
    Query(text="Is there an effusion?", images=(Path("film.png"),)),
    Query(text="οίδημα 水肿"),
)


class RouterContract:
    """Subclass it with a `router` fixture."""

    @pytest.mark.parametrize("query", QUERIES, ids=["text", "image", "both", "unicode"])
    def test_gives_every_kind_a_weight_between_zero_and_one(self, router: Router, query: Query) -> None:
        weights = router.route(query)
        assert set(weights) == set(KINDS)
        assert all(0.0 <= weight <= 1.0 for weight in weights.values())
        assert any(weight > 0 for weight in weights.values())

    def test_is_deterministic(self, router: Router) -> None:
        assert all(router.route(query) == router.route(query) for query in QUERIES)
