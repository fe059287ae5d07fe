"""What one query of a retrieval run gave: a ranking per system."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from eval.datasets import QueryItem
from eval.gold import RankedUnit, Unit
from rag.types import Kind

FUSED = "fused"
"""The name of the whole system among the systems of a run; the others are channels and baselines."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One search: the units found, best first, the time it took, and the error if it failed.

    `withheld` counts hits that the leakage guard took out, by reason.
    """

    ranked: tuple[RankedUnit, ...]
    seconds: float
    withheld: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None

    def units(self) -> list[Unit]:
        """The units, best first."""
        return [entry.unit for entry in self.ranked]

    def rank_of(self, wanted: Set[Unit]) -> int | None:
        """The rank, from 1, of the first unit wanted."""
        places = (rank for rank, entry in enumerate(self.ranked, start=1) if entry.unit in wanted)
        return next(places, None)


@dataclass(frozen=True, slots=True)
class Sample:
    """A query with the outcome of every system that it was put to, the fused system first."""

    item: QueryItem
    kinds: tuple[Kind, ...]
    outcomes: Mapping[str, Outcome]

    @property
    def fused(self) -> Outcome:
        """The outcome of the whole system."""
        return self.outcomes[FUSED]

    @property
    def errors(self) -> dict[str, str]:
        """The error of each system that failed."""
        return {name: outcome.error for name, outcome in self.outcomes.items() if outcome.error is not None}

    def as_json(self) -> dict[str, object]:
        """The sample as a row of `samples.jsonl`; `gold_rank` is the rank of the first right unit per system."""
        item, fused = self.item, self.fused
        row: dict[str, object] = {
            "id": item.id,
            "set": item.set_name,
            "kinds": list(self.kinds),
            "gold": sorted("/".join(unit) for unit in item.gold),
            "ranked": [entry.name for entry in fused.ranked],
            "scores": [round(entry.score, 6) for entry in fused.ranked],
            "gold_rank": {name: outcome.rank_of(item.gold) for name, outcome in self.outcomes.items()},
            "channels": {
                name: [entry.name for entry in outcome.ranked]
                for name, outcome in self.outcomes.items()
                if outcome is not fused
            },
            "withheld": sum(fused.withheld.values()),
            "withheld_by_reason": dict(fused.withheld),
            "seconds": {name: round(outcome.seconds, 6) for name, outcome in self.outcomes.items()},
        }
        if self.errors:
            row["error"] = "; ".join(f"{name}: {message}" for name, message in self.errors.items())
        return row
