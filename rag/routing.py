"""Routing: how much each passage kind matters for a query.

The rule router uses only what the query is made of. Domain posteriors and trained routers play the same role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rag.types import KINDS, Kind, Query

TEXT_WEIGHTS: Mapping[Kind, float] = {"page": 1.0, "figure": 1.0, "case": 0.9, "fact": 0.85}
"""For a question in words a book explains, a case or a fact illustrates. Judgement, not a measurement.

With a fusion constant of 20 a weight of 0.9 stands two ranks behind, 0.5 twenty."""
IMAGE_WEIGHTS: Mapping[Kind, float] = {"page": 0.9, "figure": 1.0, "case": 1.0, "fact": 0.5}
"""For an image without words only figures and cases can be compared with it; pages follow their figures."""
BOTH_WEIGHTS: Mapping[Kind, float] = {"page": 1.0, "figure": 1.0, "case": 1.0, "fact": 0.8}


@dataclass(frozen=True, slots=True)
class RuleRouter:
    """Weights by the query's modality; `fixed` weights replace them for the kinds it names."""

    fixed: Mapping[Kind, float] = field(default_factory=dict)

    def route(self, query: Query) -> dict[Kind, float]:
        """A weight in [0, 1] per kind."""
        base = BOTH_WEIGHTS if query.images and query.text.strip() else IMAGE_WEIGHTS if query.images else TEXT_WEIGHTS
        return {kind: self.fixed.get(kind, base[kind]) for kind in KINDS}
