"""What every Router must do, and what every DomainModel must."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rag.domains.names import DOMAINS
from rag.protocols import Router
from rag.routing import DomainModel
from rag.types import KINDS, Matrix, Query

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


class DomainModelContract:
    """Subclass it with a `model` fixture, and `vectors`: rows of its channel, one image each, shape (n >= 2, dim)."""

    def test_probabilities_of_known_domains_sum_to_one(self, model: DomainModel, vectors: Matrix) -> None:
        for row in vectors:
            shares = model.posterior(row[None])
            assert set(shares) <= set(DOMAINS)
            assert "unknown" in shares
            assert all(0.0 <= share <= 1.0 for share in shares.values())
            assert sum(shares.values()) == pytest.approx(1.0)

    def test_several_images_of_a_question_are_averaged(self, model: DomainModel, vectors: Matrix) -> None:
        both = model.posterior(vectors[:2])
        apart = [model.posterior(row[None]) for row in vectors[:2]]
        assert both == pytest.approx({name: np.mean([shares[name] for shares in apart]) for name in both})

    def test_is_deterministic_and_blind_to_length(self, model: DomainModel, vectors: Matrix) -> None:
        first = model.posterior(vectors[:1])
        assert model.posterior(vectors[:1]) == first
        assert model.posterior(vectors[:1] * np.float32(3.0)) == pytest.approx(first, abs=1e-5)
