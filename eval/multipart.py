"""Questions of two parts made from single ones, and how much of the evidence for both parts a strategy finds.

Method. Two query rows make a question when their right pages lie in one book, at least `apart` pages from one another,
so that no page serves both. A row that asks is taken as it stands; a row that describes or defines is quoted: "Which
term or figure does '...' describe?". The two are joined in three wordings in turn: two sentences, one sentence with
"and", and "First, ... Second, ...". Four other wordings, which the planner's rules were not made with, stand apart
(`unseen`). Rows are paired in the order of a seeded shuffle, each used once at most.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from eval.gold import Unit, parse_gold, unit_of
from eval.statistics import Estimate, bootstrap, mean_interval
from rag.errors import ConfigError
from rag.rows import Row, question_of, row_id
from rag.types import Hit
from rag.wording import is_question

SEEN, UNSEEN = 3, 4
"""How many wordings the planner's rules were made with, and how many not."""
MOST_WORDS = 60
"""A description of a picture can have hundreds of words: nobody asks that beside another question."""


@dataclass(frozen=True, slots=True)
class SingleQuestion:
    """A query row with its right pages, all of one book."""

    id: str
    text: str
    gold: frozenset[Unit]
    book: str
    pages: tuple[int, int]


@dataclass(frozen=True, slots=True)
class MultipartQuestion:
    """A question with the right pages of each of its parts, which share none."""

    id: str
    text: str
    parts: tuple[frozenset[Unit], ...]


@dataclass(frozen=True, slots=True)
class MultipartOptions:
    """How many questions are made at the most, how far apart their parts lie in pages, and the seed of the shuffle.

    `unseen`: joined in the wordings that the planner's rules were not made with.
    """

    count: int = 120
    apart: int = 6
    seed: int = 0
    books: tuple[str, ...] = ()
    unseen: bool = False

    def __post_init__(self) -> None:
        if self.count < 1 or self.apart < 1:
            raise ConfigError("multi-part questions: count and apart must be at least 1")


def single_questions(rows: Sequence[Row], books: Sequence[str] = ()) -> list[SingleQuestion]:
    """The rows that can be a part: text only, right pages of one book, not too long. Others are left out."""
    found = []
    for row in rows:
        text = " ".join(question_of(row.data).split())
        gold = row.data.get("gold")
        if row.error or not text or len(text.split()) > MOST_WORDS or not isinstance(gold, list) or not gold:
            continue
        if row.data.get("image") or row.data.get("options"):
            continue
        units = frozenset(parse_gold(entry) for entry in gold)
        named = {unit[1] for unit in units}
        if {unit[0] for unit in units} != {"page"} or len(named) != 1 or (books and not named <= set(books)):
            continue
        pages = sorted(int(unit[2]) for unit in units)
        found.append(SingleQuestion(row_id(row), text, units, named.pop(), (pages[0], pages[-1])))
    return found


def multipart_questions(
    singles: Sequence[SingleQuestion], options: MultipartOptions | None = None
) -> list[MultipartQuestion]:
    """Questions of two parts; the same singles and options give the same questions."""
    options = options or MultipartOptions()
    left = sorted(singles, key=lambda one: one.id)
    random.Random(options.seed).shuffle(left)
    made: list[MultipartQuestion] = []
    while left and len(made) < options.count:
        first = left.pop(0)
        place = next((i for i, other in enumerate(left) if _apart(first, other, options.apart)), None)
        if place is not None:
            second = left.pop(place)
            wording = SEEN + len(made) % UNSEEN if options.unseen else len(made) % SEEN
            text = joined(first.text, second.text, wording)
            made.append(MultipartQuestion(f"{first.id} + {second.id}", text, (first.gold, second.gold)))
    return made


def joined(first: str, second: str, wording: int) -> str:
    """Two questions in one: 0 as two sentences, 1 as one sentence, 2 as a first and a second; 3 to 6 are the unseen."""
    one, two = asked(first), asked(second)
    begun, going_on = _small(one).rstrip("?."), _small(two)
    wordings = (
        f"{one} {two}",
        f"{one.rstrip('?.')}, and {going_on}",
        f"First, {_small(one)} Second, {going_on}",
        f"{one} Also, {going_on}",
        f"Can you tell me {begun}; separately, {going_on}",
        f"a) {one} b) {two}",
        f"Two things: {begun} - and {going_on}",
    )
    return wordings[wording]


def asked(text: str) -> str:
    """The text as a question."""
    text = text.strip()
    quoted = text.rstrip(".").replace('"', "'")
    return text if is_question(text) else f'Which term or figure does "{quoted}" describe?'


def part_recall(hits: Sequence[Hit], question: MultipartQuestion, k: int) -> float:
    """The share of the parts with a right page, or a figure of it, among the first k passages found."""
    first = {unit_of(hit.passage) for hit in hits[:k]}
    return sum(bool(first & part) for part in question.parts) / len(question.parts)


@dataclass(frozen=True, slots=True)
class StrategyRun:
    """What a strategy found: the hits of each question, in its order, and the searches and model calls it made."""

    name: str
    hits: Sequence[Sequence[Hit]]
    searches: Sequence[int]
    model_calls: Sequence[int] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A strategy against another at one k: both means, and the mean of the paired differences."""

    k: int
    base: Estimate
    other: Estimate
    difference: Estimate
    wins: int
    losses: int


def compare(
    questions: Sequence[MultipartQuestion], base: StrategyRun, other: StrategyRun, ks: Sequence[int]
) -> list[Comparison]:
    """Recall of the parts at each k, with 95 % intervals over questions."""
    found = []
    for k in ks:
        table = np.array(
            [
                [part_recall(one, question, k), part_recall(two, question, k)]
                for question, one, two in zip(questions, base.hits, other.hits, strict=True)
            ]
        ).reshape(-1, 2)
        sampled = bootstrap(table)
        gap = table[:, 1] - table[:, 0]
        wins, losses = int((gap > 0).sum()), int((gap < 0).sum())
        found.append(Comparison(k, sampled.mean(0), sampled.mean(1), sampled.difference(1, 0), wins, losses))
    return found


def mean_searches(run: StrategyRun) -> Estimate:
    """Searches per question."""
    return mean_interval(run.searches)


def _apart(first: SingleQuestion, second: SingleQuestion, pages: int) -> bool:
    gap = max(first.pages[0], second.pages[0]) - min(first.pages[1], second.pages[1])
    return first.book == second.book and gap >= pages


def _small(text: str) -> str:
    """With a small first letter, unless the first word is an abbreviation."""
    return text if text[:2].isupper() else text[:1].lower() + text[1:]
