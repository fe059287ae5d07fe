"""What a question may cost: steps, searches, model calls, tokens, and seconds on the wall."""

from __future__ import annotations

from dataclasses import dataclass

from rag.agent.state import Spent, StopReason
from rag.chat import Deadline
from rag.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one question; reaching any of them ends the search, never the answer.

    The defaults are those of reference loops read in code (PaperQA2, Search-o1, i-MedRAG: 4 to 10 searches); the 30
    seconds are a judgement. The single pass counts as one search and no step. `dry_rounds`: rounds in a row that find
    nothing new, after which there is nothing to hope for.
    """

    steps: int = 4
    searches: int = 8
    model_calls: int = 10
    tokens: int = 20_000
    seconds: float = 30.0
    dry_rounds: int = 2

    def __post_init__(self) -> None:
        for name in ("steps", "model_calls", "tokens"):
            if getattr(self, name) < 0:
                raise ConfigError(f"agent: {name} is {getattr(self, name)}; it must be 0 or more")
        if self.searches < 1 or self.dry_rounds < 1 or not self.seconds > 0:
            raise ConfigError("agent: searches and dry_rounds must be at least 1, and seconds more than 0")

    def reached(self, spent: Spent, deadline: Deadline) -> StopReason | None:
        """The limit that allows no further round, if there is one."""
        if deadline.passed:
            return "deadline"
        if spent.steps >= self.steps:
            return "steps"
        return "searches" if spent.searches >= self.searches else None

    def may_ask(self, spent: Spent, deadline: Deadline) -> StopReason | None:
        """The limit that allows no further call of a model, if there is one."""
        if deadline.passed:
            return "deadline"
        if spent.model_calls >= self.model_calls:
            return "model_calls"
        return "tokens" if spent.tokens >= self.tokens else None

    def left(self, spent: Spent, deadline: Deadline) -> dict[str, float]:
        """What is left of each limit, never below 0."""
        return {
            "steps": max(0, self.steps - spent.steps),
            "searches": max(0, self.searches - spent.searches),
            "model_calls": max(0, self.model_calls - spent.model_calls),
            "tokens": max(0, self.tokens - spent.tokens),
            "seconds": round(deadline.left(), 3),
        }
