"""Multiple-choice questions made of a case corpus alone: which description belongs to this image?

A question asks for an image's own text among texts of other patients of the same collection. It measures what a system
learns from *like* cases, when the leakage guard withholds the image's own record, and what a leak is worth, when not.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import UsageError
from rag.sentences import content_stems
from rag.types import CaseLocator, Passage

QUESTION = "Which description belongs to this image?"
WORDS = 40
"""Longest description, in words: a reader compares beginnings."""
TOO_ALIKE = 0.6
"""From this share of common words (Jaccard) on, a text may describe the image as well: no distractor. Judgement."""


@dataclass(frozen=True, slots=True)
class CaptionOptions:
    """count: questions at the most, spread over the collections. choices: descriptions of a question."""

    count: int = 60
    choices: int = 4
    seed: int = 0


@dataclass(frozen=True, slots=True)
class CaptionQuestion:
    """A question row without its image's place, and the image."""

    row: dict[str, Any]
    image: Path


def caption_questions(cases: Iterable[Passage], options: CaptionOptions | None = None) -> list[CaptionQuestion]:
    """Questions in a random order that the seed fixes, one per patient as far as patients are known.

    Raises:
        UsageError: no case has an image, a text, and enough other patients' texts that differ from it.
    """
    chosen = options or CaptionOptions()
    draw = random.Random(chosen.seed)
    collections: dict[str, list[Passage]] = defaultdict(list)
    for case in sorted(cases, key=lambda case: case.id):
        if case.text.strip():
            collections[case.document].append(case)
    queues = [_questions(known, chosen.choices, draw) for _, known in sorted(collections.items())]
    found: list[CaptionQuestion] = []
    while any(queues) and len(found) < chosen.count:
        found += [queue.pop() for queue in queues if queue]
    if not found:
        raise UsageError(
            f"no question can be made: that needs cases with an image and a text, and {chosen.choices - 1} texts of "
            "other patients in the same collection that differ"
        )
    return found[: chosen.count]


def _questions(known: Sequence[Passage], choices: int, draw: random.Random) -> list[CaptionQuestion]:
    pictured = [case for case in known if case.images]
    draw.shuffle(pictured)
    seen: set[str] = set()
    made: list[CaptionQuestion] = []
    for case in pictured:
        owner = _owner(case)
        if owner in seen:
            continue
        others = _distractors(case, known, choices - 1, draw)
        if len(others) == choices - 1:
            seen.add(owner)
            made.append(_question(case, others, draw))
    return made


def _distractors(case: Passage, known: Sequence[Passage], wanted: int, draw: random.Random) -> list[str]:
    taken = [_short(case.text)]
    for other in draw.sample(known, len(known)):
        text = _short(other.text)
        if _owner(other) != _owner(case) and all(_alike(text, one) < TOO_ALIKE for one in taken):
            taken.append(text)
        if len(taken) > wanted:
            break
    return taken[1:]


def _question(case: Passage, others: Sequence[str], draw: random.Random) -> CaptionQuestion:
    texts = [_short(case.text), *others]
    draw.shuffle(texts)
    letters = [chr(ord("A") + place) for place in range(len(texts))]
    row: dict[str, Any] = {
        "id": f"caption-{case.record}",
        "set": case.document,
        "question": QUESTION,
        "options": dict(zip(letters, texts, strict=True)),
        "answer": letters[texts.index(_short(case.text))],
        "gold": [{"source": "report", "id": case.record}],
    }
    if isinstance(case.locator, CaseLocator):
        row |= {"patient_id": case.locator.patient} if case.locator.patient else {}
        row |= {"study_id": case.locator.study} if case.locator.study else {}
    return CaptionQuestion(row, case.images[0])


def _owner(case: Passage) -> str:
    """Whose case it is: by patient, else study, else record."""
    locator = case.locator
    own = (locator.patient or locator.study) if isinstance(locator, CaseLocator) else None
    return own or case.id


def _short(text: str) -> str:
    words = text.split()
    return " ".join(words[:WORDS])


def _alike(first: str, second: str) -> float:
    here, there = set(content_stems(first)), set(content_stems(second))
    return len(here & there) / len(here | there) if here | there else 1.0
