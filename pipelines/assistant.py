"""The assistant: a question in, a grounded answer out. Gather evidence, draft, check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.gathering import Gatherer, GatherOptions
from pipelines.library import Library
from pipelines.search import StageClock
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


class Assistant:
    """Answers questions from a library, with checked citations, or abstains.

    answer = Assistant(library).ask("Which epithelium lines the trachea?")
    print(answer.text, answer.citations[0].document, answer.citations[0].page)
    """

    def __init__(self, library: Library, steps: Steps | None = None, *, guard: Guard | None = None) -> None:
        """`guard` withholds a question's own image, study and patient: for questions that come from the corpus."""
        self._steps = steps or library.parts.steps()
        options = self._steps.gather if guard is None else replace(self._steps.gather, guard=guard)
        self._gatherer = Gatherer(library, self._steps.selector, options)

    def ask(
        self,
        question: str | Query,
        images: Sequence[str | Path] = (),
        options: Sequence[str] = (),
        *,
        kinds: Sequence[Kind] = KINDS,
    ) -> Answer:
        """Answer a question about a text, an image or both; `options` make it a multiple choice.

        Raises QueryError when the question is empty or an image cannot be read.
        """
        query = question if isinstance(question, Query) else _query(question, images, options)
        clock = StageClock()
        with clock.stage("retrieve"):
            gathered = self._gatherer.gather(query, kinds)
        with clock.stage("generate"):
            draft = self._steps.generator.generate(query, gathered.evidence)
        with clock.stage("check"):
            answer = ground(query, draft, gathered.evidence, self._steps.judge, self._steps.policy)
        seconds = {**answer.seconds, **clock.seconds}
        return replace(answer, seconds=seconds, trace=(*gathered.events, *answer.trace))


def _query(question: str, images: Sequence[str | Path], options: Sequence[str]) -> Query:
    if not question.strip() and not images:
        raise QueryError("the question is empty; ask something, or give an image")
    return Query(text=question, images=tuple(Path(image) for image in images), options=tuple(options))
