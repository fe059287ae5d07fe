"""Routing: how much each passage kind matters for a query.

The rule router uses only what the query is made of. Domain posteriors and trained routers play the same role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rag.types import KINDS, Kind, Query

TEXT_WEIGHTS: Mapping[Kind, float] = {"page": 1.0, "figure": 1.0, "case": 0.5, "fact": 0.5}
"""For a question in words a book explains, a case or a fact illustrates. Judgement, not a measurement."""
IMAGE_WEIGHTS: Mapping[Kind, float] = {"page": 0.5, "figure": 1.0, "case": 1.0, "fact": 0.25}
"""For an image without words only figures and cases can be compared with it; pages follow their figures."""
BOTH_WEIGHTS: Mapping[Kind, float] = {"page": 1.0, "figure": 1.0, "case": 1.0, "fact": 0.5}


@dataclass(frozen=True, slots=True)
class RuleRouter:
    """Weights by the query's modality; `fixed` weights replace them for the kinds it names."""

    fixed: Mapping[Kind, float] = field(default_factory=dict)

    def route(self, query: Query) -> dict[Kind, float]:
        """A weight in [0, 1] per kind."""
        base = BOTH_WEIGHTS if query.images and query.text.strip() else IMAGE_WEIGHTS if query.images else TEXT_WEIGHTS
        return {kind: self.fixed.get(kind, base[kind]) for kind in KINDS}
