"""Are the answers right? Every question is asked once; its reply is scored by the clean rule and by named presets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from eval.answers_copying import Redraft, copied_row
from eval.answers_figures import AnswerReading, read_answers
from eval.answers_pages import answers_page
from eval.answers_questions import Question, Questions
from eval.answers_rows import Row, answer_row
from eval.answers_run import Summary
from eval.items import Item
from eval.metrics.presets import STRICT, AnswerPreset
from rag.errors import QueryError
from rag.types import KINDS, Answer, Kind, Query

if TYPE_CHECKING:
    from pathlib import Path

Ask = Callable[[Query, Sequence[Kind]], Answer]
"""Answers a question from these kinds of passages."""

RIGHT = ("accuracy", "set_accuracy")
"""The clean rule's values that say right or wrong; open answers have none."""


@dataclass(frozen=True, slots=True)
class AnswerMeasure:
    """What `vesalius eval answers` measures.

    presets: scored beside the clean rule. kinds: searched for rows that name none. guarded: whether a question's own
    image, study and patient are withheld. redraft: answers a question once more from the same evidence with another
    question's image; None leaves copying unmeasured. others: such images, one per question that has any.
    """

    ask: Ask
    presets: tuple[AnswerPreset, ...] = ()
    kinds: tuple[Kind, ...] = KINDS
    guarded: bool = True
    redraft: Redraft | None = None
    others: dict[str, tuple[Path, ...]] | None = None

    @property
    def name(self) -> str:
        """What the command is called."""
        return "answers"

    @property
    def scored_by(self) -> tuple[AnswerPreset, ...]:
        """The clean rule first."""
        return (STRICT, *(preset for preset in self.presets if preset is not STRICT))

    def fill(self, question: Question, row: Row) -> None:
        """Ask, and score the reply."""
        query = question.query()
        answer = self.ask(query, question.kinds or self.kinds)
        row.update(answer_row(question, answer))
        row["parsed"] = parsed_choice(question, answer.choice)
        self._score(question.item, reply_of(question, answer), row)
        if self.redraft is not None and self.others and question.id in self.others:
            row["copied"] = copied_row(query, answer, self.others[question.id], self.redraft)

    def fail(self, question: Question, row: Row) -> None:
        """A question that was asked and failed is as wrong as an empty reply."""
        self._score(question.item, "", row)

    def summarise(self, rows: Sequence[Row]) -> Summary:
        """Accuracy, baselines, confidence, abstention and leakage counts, over all questions and by set."""
        reading = AnswerReading(tuple(preset.name for preset in self.scored_by), self.guarded)
        document = read_answers(rows, reading)
        versions = {preset.name: {"version": preset.version, "source": preset.source} for preset in self.scored_by}
        return Summary({**document.as_json(), "presets_used": versions}, answers_page(document))

    def _score(self, item: Item, reply: str, row: Row) -> None:
        values: dict[str, dict[str, Any]] = {}
        if item.answerable:
            values = {preset.name: dict(preset.score(item, reply)) for preset in self.scored_by}
        row["values"] = values
        strict = values.get(STRICT.name, {})
        hits = [strict[name] for name in RIGHT if strict.get(name) is not None]
        row["right"] = bool(hits[0]) if hits else None


def check_answers(asked: Questions) -> None:
    """Raise QueryError when no row can be measured at all."""
    if not any(one.item.answers or not one.item.answerable for one in asked.questions):
        raise QueryError(
            f'none of the {len(asked.questions)} rows has a right answer, so nothing can be measured; add "answer"'
        )


def reply_of(question: Question, answer: Answer) -> str:
    """What is scored: the choice as the item names it (its letter, or yes or no), else the statements without marks.

    An abstention says nothing, so it is never right.
    """
    if answer.abstained:
        return ""
    if answer.choice is not None:
        return parsed_choice(question, answer.choice) or ""
    return " ".join(claim.text for claim in answer.claims)


def parsed_choice(question: Question, choice: str | None) -> str | None:
    """The system names options A, B, ... in their order; the item may have other letters, or ask for yes or no."""
    letters = list(question.verdicts if question.is_verdict else question.item.options)
    place = ascii_uppercase.find(choice) if choice else -1
    return letters[place] if 0 <= place < len(letters) else None
