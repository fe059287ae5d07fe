"""The assistant: a question in, a grounded answer out. Gather evidence, draft, check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.answering import is_degraded
from pipelines.checking import reviser_of
from pipelines.gathering import GatherOptions
from pipelines.library import Library
from pipelines.search import StageClock
from pipelines.strategies import StrategyOptions, make_strategy
from rag.chat import Deadline
from rag.errors import QueryError
from rag.grounding.ground import GroundingPolicy, ground
from rag.leakage import Guard
from rag.protocols import Generator, Judge, Selector
from rag.types import KINDS, Answer, Kind, Query


@dataclass(frozen=True, slots=True)
class Steps:
    """The exchangeable steps of an answer, and how evidence for it is gathered."""

    selector: Selector
    generator: Generator
    judge: Judge
    policy: GroundingPolicy
    gather: GatherOptions
    strategy: StrategyOptions = field(default_factory=StrategyOptions)


class Assistant:
    """Answers questions from a library, with checked citations, or abstains.

    answer = Assistant(library).ask("Which epithelium lines the trachea?")
    print(answer.text, answer.citations[0].document, answer.citations[0].page)
    """

    def __init__(self, library: Library, steps: Steps | None = None, *, guard: Guard | None = None) -> None:
        """`guard` withholds a question's own image, study and patient: for questions that come from the corpus."""
        self._library, self._steps = library, steps or library.parts.steps()
        options = self._steps.gather if guard is None else replace(self._steps.gather, guard=guard)
        self._strategy = make_strategy(library, self._steps.selector, options, self._steps.strategy)

    def ask(
        self,
        question: str | Query,
        images: Sequence[str | Path] = (),
        options: Sequence[str] = (),
        *,
        kinds: Sequence[Kind] = KINDS,
    ) -> Answer:
        """Answer a question about a text, an image or both; `options` make it a multiple choice.

        An answer by quotes where a model should have worded it has the stop reason "degraded". Raises QueryError when
        the question is empty or an image cannot be read.
        """
        query = self._library.readable(question if isinstance(question, Query) else _query(question, images, options))
        clock = StageClock()
        with clock.stage("retrieve"):
            deadline = Deadline.after(self._steps.strategy.agent.budget.seconds)
            gathered = self._strategy.gather(query, kinds, deadline)
        with clock.stage("generate"):
            # In a fresh context: the generator sees the evidence, and nothing of how it was found.
            draft = self._steps.generator.generate(query, gathered.evidence)
            draft = replace(draft, confidence=draft.confidence * (1 - gathered.doubt))
        with clock.stage("check"):
            revise = reviser_of(self._steps.generator)
            answer = ground(query, draft, gathered.evidence, self._steps.judge, self._steps.policy, revise)
        degraded = is_degraded(answer) and not answer.abstained
        return replace(
            answer,
            stop_reason="degraded" if degraded else answer.stop_reason,
            seconds={**answer.seconds, **clock.seconds},
            trace=(*gathered.events, *answer.trace),
        )


def _query(question: str, images: Sequence[str | Path], options: Sequence[str]) -> Query:
    if not question.strip() and not images:
        raise QueryError("the question is empty; ask something, or give an image")
    return Query(text=question, images=tuple(Path(image) for image in images), options=tuple(options))
