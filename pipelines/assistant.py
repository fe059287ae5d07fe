"""The assistant: a question in, a grounded answer out. Retrieve, select, draft, check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.library import Library
from pipelines.search import StageClock
from rag.errors import QueryError
from rag.grounding.ground import GroundingPolicy, ground
from rag.protocols import Generator, Judge, Selector
from rag.types import KINDS, Answer, Evidence, Kind, Query

CANDIDATES_PER_PASSAGE = 3
"""Hits asked for, per passage that the selector may keep: it drops duplicates and what exceeds the budget."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The exchangeable steps of an answer; they read `k` passages, and `per_option` more for each option."""

    selector: Selector
    generator: Generator
    judge: Judge
    policy: GroundingPolicy
    k: int
    per_option: int = 3


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
            evidence = self._whole(self._evidence(query, kinds))
        with clock.stage("generate"):
            draft = self._steps.generator.generate(query, evidence)
        with clock.stage("check"):
            answer = ground(query, draft, evidence, self._steps.judge, self._steps.policy)
        return replace(answer, seconds={**answer.seconds, **clock.seconds})

    def _evidence(self, query: Query, kinds: Sequence[Kind]) -> Evidence:
        """What the question finds; for a multiple choice also the best new passages of the question with each option.

        Options come second and never push out what the question itself found: an option is a guess.
        """
        k = self._steps.k * CANDIDATES_PER_PASSAGE
        found = self._steps.selector.select(query, self._library.search(query, k=k, kinds=kinds))
        if not query.options or not self._steps.per_option:
            return found
        kept = {hit.passage.id: hit for hit in found.hits}
        for option in query.options:
            asked = replace(query, text=f"{query.text} {option}".strip(), options=())
            hits = self._library.search(asked, k=self._steps.k, kinds=kinds)
            new = [hit for hit in hits if hit.passage.id not in kept][: self._steps.per_option]
            kept |= {hit.passage.id: hit for hit in new}
        dropped = tuple(item for item in found.dropped if item.hit.passage.id not in kept)
        return replace(found, hits=tuple(kept.values()), dropped=dropped)

    def _whole(self, evidence: Evidence) -> Evidence:
        """Evidence with the passages' word boxes, which a search leaves out."""
        passages = {passage.id: passage for passage in self._library.get([hit.passage.id for hit in evidence.hits])}
        hits = tuple(
            replace(hit, passage=passages[hit.passage.id]) for hit in evidence.hits if hit.passage.id in passages
        )
        return replace(evidence, hits=hits)


def _query(question: str, images: Sequence[str | Path], options: Sequence[str]) -> Query:
    if not question.strip() and not images:
        raise QueryError("the question is empty; ask something, or give an image")
    return Query(text=question, images=tuple(Path(image) for image in images), options=tuple(options))
