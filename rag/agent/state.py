"""The whole state of one question on its way to evidence: frozen, and JSON in and out.

It holds ids, queries, grades and counters, no passages: those are looked up by id. Every step makes a new state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from rag.types import Kind

Actor = Literal["rule", "model"]
Stage = Literal["first", "rule", "model"]
"""first: the single pass that every question gets; rule: asked by the planner; model: asked by a chat model."""
Outcome = Literal["found", "repeated", "late", "failed"]
PartStatus = Literal["open", "answered"]
StopReason = Literal[
    "sufficient", "nothing_new", "steps", "searches", "model_calls", "tokens", "deadline", "answer", "abstain",
    "planned",
]  # fmt: skip
"""Why a run ended. planned: the strategy did all that it plans, as a single pass does after one search."""

ENOUGH = 2
"""The least grade, of 0 to 3, at which a passage answers a sub-question."""


@dataclass(frozen=True, slots=True)
class SubQuestion:
    """A part of the question that can be searched for alone. `slots` are what its answer must hold, such as a side."""

    id: str
    text: str
    slots: tuple[str, ...] = ()
    status: PartStatus = "open"


@dataclass(frozen=True, slots=True)
class LoggedQuery:
    """A search that was made, or was asked for and refused; `found` holds passage ids and scores, best first."""

    step: int
    stage: Stage
    part: str
    kinds: tuple[Kind, ...]
    text: str
    images: tuple[str, ...] = ()
    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()
    outcome: Outcome = "found"
    found: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class PoolItem:
    """A passage that was found: its label for a model (E1 ...), its grade per sub-question, and the slots it fills."""

    passage_id: str
    label: str
    serves: Mapping[str, int] = field(default_factory=dict)
    fills: tuple[str, ...] = ()

    @property
    def grade(self) -> int:
        """The best of its grades, 0 to 3; 0 when it serves nothing."""
        return max(self.serves.values(), default=0)


@dataclass(frozen=True, slots=True)
class Spent:
    """What was used so far. `suppressed` counts queries that repeated an earlier one, which cost a step each."""

    steps: int = 0
    searches: int = 0
    model_calls: int = 0
    tokens: int = 0
    suppressed: int = 0


@dataclass(frozen=True, slots=True)
class AgentState:
    """Everything that decides what happens next.

    `branches` counts how each reply of a model was read (parsed, salvaged, repaired, planner ...). `doubt` in [0, 1] is
    taken off the answer's confidence: a model's verdict can lower it, and nothing here raises it. `cited` are the
    passages that a model pointed to; all of them are in the pool. `dry` counts rounds without a new passage.
    """

    question: str
    parts: tuple[SubQuestion, ...] = ()
    log: tuple[LoggedQuery, ...] = ()
    pool: tuple[PoolItem, ...] = ()
    spent: Spent = Spent()
    branches: Mapping[str, int] = field(default_factory=dict)
    cited: tuple[str, ...] = ()
    doubt: float = 0.0
    dry: int = 0
    stop: StopReason | None = None

    def item(self, label: str) -> PoolItem | None:
        """The pool item with this label."""
        return next((one for one in self.pool if one.label == label), None)

    def part(self, name: str) -> SubQuestion | None:
        """The sub-question with this id."""
        return next((one for one in self.parts if one.id == name), None)

    @property
    def known(self) -> frozenset[str]:
        """The ids of all passages found."""
        return frozenset(one.passage_id for one in self.pool)

    def counted(self, **more: int) -> AgentState:
        """With these counters raised. Raises ValueError for a negative amount: counters never go down."""
        if any(amount < 0 for amount in more.values()):
            raise ValueError(f"counters only rise, not by {more}")
        return replace(
            self, spent=replace(self.spent, **{name: getattr(self.spent, name) + n for name, n in more.items()})
        )

    def branched(self, name: str) -> AgentState:
        """With one more reply read in this way."""
        return replace(self, branches={**self.branches, name: self.branches.get(name, 0) + 1})

    def pooled(self, ids: Sequence[str]) -> AgentState:
        """With these passages in the pool; known ones keep their label. The pool only grows."""
        new = [name for name in dict.fromkeys(ids) if name not in self.known]
        first = len(self.pool) + 1
        items = tuple(PoolItem(name, f"E{first + place}") for place, name in enumerate(new))
        return replace(self, pool=(*self.pool, *items))

    def graded(self, part: str, grades: Mapping[str, int], fills: Mapping[str, tuple[str, ...]]) -> AgentState:
        """With these grades, by passage id, for one sub-question; a grade never falls."""
        pool = tuple(
            replace(
                one,
                serves={**one.serves, part: max(grades[one.passage_id], one.serves.get(part, 0))},
                fills=tuple(sorted({*one.fills, *fills.get(one.passage_id, ())})),
            )
            if one.passage_id in grades
            else one
            for one in self.pool
        )
        return replace(self, pool=pool)

    def as_json(self) -> dict[str, Any]:
        """JSON values, of which `from_json` makes an equal state."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> AgentState:
        """The state of `as_json`, also after a round through a JSON text."""
        plain = dict(data)
        plain["parts"] = tuple(SubQuestion(**{**row, "slots": tuple(row["slots"])}) for row in data["parts"])
        plain["log"] = tuple(_query(row) for row in data["log"])
        plain["pool"] = tuple(PoolItem(**{**row, "fills": tuple(row["fills"])}) for row in data["pool"])
        plain["spent"], plain["cited"] = Spent(**data["spent"]), tuple(data["cited"])
        return cls(**plain)


def _query(row: Mapping[str, Any]) -> LoggedQuery:
    filters = tuple((name, tuple(values)) for name, values in row["filters"])
    found = tuple((name, score) for name, score in row["found"])
    lists = {"kinds": tuple(row["kinds"]), "images": tuple(row["images"]), "filters": filters, "found": found}
    return LoggedQuery(**{**row, **lists})
