"""Does the answer come from the image, or is it copied from the reports beside it?

A question that was answered right from reports is answered again from the same evidence, with another question's image
in place of its own. What stays as it was did not need the image. Xia et al., 2024, RULE,
https://arxiv.org/abs/2407.05131: the copy-reference rate. Without a model that looks at images it is 1 by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.answers_questions import Question
from rag.types import Answer, Evidence, Query

if TYPE_CHECKING:
    from pipelines.assistant import Steps

Redraft = Callable[[Query, Evidence], Answer]
"""Answers from given evidence, without a search."""


def redraft_with(steps: Steps) -> Redraft:
    """Generates and checks as the assistant does, from evidence that is there already."""
    from pipelines.checking import reviser_of
    from rag.grounding.ground import ground

    def redraft(query: Query, evidence: Evidence) -> Answer:
        draft = steps.generator.generate(query, evidence)
        return ground(query, draft, evidence, steps.judge, steps.policy, reviser_of(steps.generator))

    return redraft


def other_images(questions: Sequence[Question]) -> dict[str, tuple[Path, ...]]:
    """Another question's images by question id: the next in order that are of another cluster and not the same."""
    shown = [one for one in questions if one.item.images and not one.missing_images]
    found: dict[str, tuple[Path, ...]] = {}
    for place, question in enumerate(shown):
        own = _paths(question)
        for other in (*shown[place + 1 :], *shown[:place]):
            if other.item.cluster != question.item.cluster and _paths(other) != own:
                found[question.id] = _paths(other)
                break
    return found


def copied_row(query: Query, answer: Answer, images: Sequence[Path], redraft: Redraft) -> dict[str, Any] | None:
    """Whether the reply stays with other images; None where nothing was answered or no report was at hand."""
    reports = any(hit.passage.kind == "case" and hit.passage.text.strip() for hit in answer.evidence.hits)
    if answer.abstained or not reports:
        return None
    again = redraft(replace(query, images=tuple(images)), answer.evidence)
    same = again.choice == answer.choice if query.options else again.text == answer.text
    return {"images": [path.name for path in images], "same": bool(same and not again.abstained)}


def _paths(question: Question) -> tuple[Path, ...]:
    return tuple(image.path for image in question.item.images if image.path is not None)
