"""The assistant: a question in, a grounded answer out. Retrieve, select, draft, check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.library import Library
from pipelines.search import StageClock
from rag.fusion import reciprocal_rank_fusion
from rag.grounding.ground import GroundingPolicy, ground
from rag.protocols import Generator, Judge, Selector
from rag.types import KINDS, Answer, Evidence, Hit, Kind, Query

CANDIDATES_PER_PASSAGE = 3
"""Hits asked for, per passage that the selector may keep: it drops duplicates and what exceeds the budget."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The exchangeable steps of an answer."""

    selector: Selector
    generator: Generator
    judge: Judge
    policy: GroundingPolicy
    k: int
    per_option: bool = True


class Assistant:
    """Answers questions from a library, with checked citations, or abstains.

    answer = Assistant(library).ask("Which epithelium lines the trachea?")
    print(answer.text, answer.citations[0].document, answer.citations[0].page)
    """

    def __init__(self, library: Library, steps: Steps | None = None) -> None:
        self._library = library
        self._steps = steps or library.parts.steps()

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
            hits = self._retrieve(query, kinds)
        with clock.stage("select"):
            evidence = self._whole(self._steps.selector.select(query, hits))
        with clock.stage("generate"):
            draft = self._steps.generator.generate(query, evidence)
        with clock.stage("check"):
            answer = ground(query, draft, evidence, self._steps.judge, self._steps.policy)
        return replace(answer, seconds={**answer.seconds, **clock.seconds})

    def _retrieve(self, query: Query, kinds: Sequence[Kind]) -> list[Hit]:
        """Hits of the question; for a multiple choice also those of the question with each option, one list each.

        The question's own list counts as much as all the options' lists together: an option is a guess, and a
        passage that many guesses share is about the question.
        """
        k = self._steps.k * CANDIDATES_PER_PASSAGE
        found = self._library.search(query, k=k, kinds=kinds)
        if not query.options or not self._steps.per_option:
            return found
        lists = {"question": found}
        for number, option in enumerate(query.options):
            asked = replace(query, text=f"{query.text} {option}", options=())
            lists[f"option {number}"] = self._library.search(asked, k=k, kinds=kinds, rerank=False)
        weights = {name: 1.0 / len(query.options) for name in lists} | {"question": 1.0}
        return reciprocal_rank_fusion(lists, weights)[:k]

    def _whole(self, evidence: Evidence) -> Evidence:
        """Evidence with the passages' word boxes, which a search leaves out."""
        passages = {passage.id: passage for passage in self._library.get([hit.passage.id for hit in evidence.hits])}
        hits = tuple(
            replace(hit, passage=passages[hit.passage.id]) for hit in evidence.hits if hit.passage.id in passages
        )
        return replace(evidence, hits=hits)


def _query(question: str, images: Sequence[str | Path], options: Sequence[str]) -> Query:
    from rag.errors import QueryError

    if not question.strip() and not images:
        raise QueryError("the question is empty; ask something, or give an image")
    return Query(text=question, images=tuple(Path(image) for image in images), options=tuple(options))
