"""The controls beside the cells: what a question gets in place of what is found for it.

Each is made with the baseline's settings. A run's comparisons mean something only if evidence that is certainly right
helps, evidence of another question hurts, and nothing at all is worse than both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eval.ablation.cache import Json, Need
from eval.ablation.codec import gathered_to_json
from eval.ablation.designs import MOST_FREQUENT, NO_RETRIEVAL, ORACLE, QUESTION_ONLY, SHUFFLED_EVIDENCE, SHUFFLED_IMAGE
from eval.ablation.identity import asked
from eval.ablation.scoring import right_choice
from eval.ablation.stages import Stages
from eval.ablation.system import System
from eval.datasets import QueryItem
from eval.gold import Unit, canonical, unit_of
from pipelines.gathering import Gathered
from pipelines.library import Library
from rag.errors import QueryError
from rag.types import Evidence, Hit, Kind, Passage, Query

Given = tuple[Need, Callable[[], Json]]
"""Evidence: its key, and what reads it."""


@dataclass(frozen=True, slots=True)
class Posed:
    """A question as an arm asks it, the evidence that it gets, and the query that this is found for, if it is."""

    query: Query
    evidence: Given
    searched: Query | None = None


def why_no_arm(arm: str, items: Sequence[QueryItem]) -> str | None:
    """Why a control cannot be run on these questions; None when it can."""
    if arm == ORACLE and not any(item.gold for item in items):
        return "no question names its right evidence (gold)"
    if arm == SHUFFLED_IMAGE and not any(item.query.images for item in items):
        return "no question has an image"
    if arm == SHUFFLED_IMAGE and len({item.query.images for item in items if item.query.images}) < 2:
        return "all questions show one image"
    if arm == SHUFFLED_EVIDENCE and len(items) < 2:
        return "there is one question only, so no other's evidence"
    if arm == MOST_FREQUENT and all(right_choice(item) is None for item in items):
        return "no question is a multiple choice with a known answer"
    return None


def most_frequent(items: Sequence[QueryItem]) -> tuple[str, float]:
    """The letter that is right most often (of several, the first), and its share: what naming it always scores."""
    counts = Counter(letter for item in items if (letter := right_choice(item)) is not None)
    letter = min(counts, key=lambda one: (-counts[one], one))
    return letter, counts[letter] / sum(counts.values())


class Arms:
    """Poses questions as the controls ask them. The shuffles are drawn once, from a seed."""

    def __init__(self, stages: Stages, items: Sequence[QueryItem], seed: int) -> None:
        self._stages, self._items = stages, tuple(items)
        self._other = _deranged(items, seed)
        self._image = _other_images(items, seed)
        self._units: dict[int, dict[Unit, list[str]]] = {}

    def posed(self, arm: str, system: System, place: int, kinds: Sequence[Kind]) -> Posed:
        """The question at a place of the data set, as this control asks it; "" is the system as it is."""
        item = self._items[place]
        query = item.query
        if arm == QUESTION_ONLY:
            if not query.text.strip():
                raise QueryError(f"question {item.id} has no text, so nothing is left of it without its image")
            return Posed(replace(query, images=(), prior_images=()), self._nothing(arm))
        if arm == NO_RETRIEVAL:
            return Posed(query, self._nothing(arm))
        if arm == ORACLE:
            return Posed(query, self._oracle(system, item))
        if arm == SHUFFLED_EVIDENCE:
            return self._found(system, query, self._items[self._other[place]].query, kinds)
        if arm == SHUFFLED_IMAGE and place in self._image:
            query = replace(query, images=self._items[self._image[place]].query.images)
        return self._found(system, query, query, kinds)

    def _found(self, system: System, query: Query, searched: Query, kinds: Sequence[Kind]) -> Posed:
        """A question with what is found for `searched`."""
        if not system.switches.retrieval:
            return Posed(query, self._nothing(NO_RETRIEVAL))
        need = self._stages.keys.select(system, searched, system.kinds(kinds))
        return Posed(query, (need, lambda: self._stages.selected(system, searched, kinds)[1]), searched)

    def _nothing(self, arm: str) -> Given:
        need = self._stages.keys.arm(arm, {})
        return need, lambda: self._stages.work.once(need, lambda: gathered_to_json(Gathered(Evidence(()), ())))

    def _oracle(self, system: System, item: QueryItem) -> Given:
        """The passages that the row calls right, and no others."""
        named = sorted("/".join(unit) for unit in item.gold)
        words = system.settings.answer.budget_words
        made_from = {"gold": named, "library": dict(system.state.kinds), "query": asked(item.query), "words": words}
        need = self._stages.keys.arm(ORACLE, made_from)

        def compute() -> Json:
            ids = self._ids(system.opened.library, item)
            hits = tuple(Hit(passage, 1.0) for passage in system.opened.library.get(ids))
            return gathered_to_json(Gathered(Evidence(hits, budget_words=words), ()))

        return need, lambda: self._stages.work.once(need, compute)

    def _ids(self, library: Library, item: QueryItem) -> list[str]:
        by_unit = self._units.setdefault(id(library), {}) or self._units_of(library)
        self._units[id(library)] = by_unit
        found = [key for unit in sorted(item.gold) for key in by_unit.get(unit, ())]
        if not found:
            names = ", ".join("/".join(unit) for unit in sorted(item.gold))
            raise QueryError(f"question {item.id}: the library holds none of its right evidence ({names})")
        return found

    def _units_of(self, library: Library) -> dict[Unit, list[str]]:
        """The passages of every unit that some question calls right; figures stand behind their pages."""
        named = {unit for item in self._items for unit in item.gold}
        kinds: tuple[Kind, ...] = ("page", "case", "fact")
        found: dict[Unit, list[str]] = {}
        for passage in (one for kind in kinds if kind in library.store.specs for one in library.passages(kind)):
            for unit in _names(passage, named):
                found.setdefault(unit, []).append(passage.id)
        return found


def _names(passage: Passage, named: set[Unit]) -> list[Unit]:
    unit = unit_of(passage)
    return [one for one in {unit, canonical(unit, named)} if one in named]


def _deranged(items: Sequence[QueryItem], seed: int) -> list[int]:
    """For each question the place of another one, each used once: a rotation of a random order."""
    order = np.random.default_rng(seed).permutation(len(items)).tolist()
    after = {one: order[(place + 1) % len(order)] for place, one in enumerate(order)}
    return [after[place] for place in range(len(items))]


def _other_images(items: Sequence[QueryItem], seed: int) -> dict[int, int]:
    """For each question with an image, a question with another image."""
    pictured = [place for place, item in enumerate(items) if item.query.images]
    order = np.random.default_rng(seed).permutation(pictured).tolist() if pictured else []
    found: dict[int, int] = {}
    for place, one in enumerate(order):
        others = (order[(place + step) % len(order)] for step in range(1, len(order)))
        other = next((two for two in others if items[two].query.images != items[one].query.images), None)
        if other is not None:
            found[one] = other
    return found


def closed_form(items: Sequence[QueryItem]) -> Mapping[str, str]:
    """What a run's provenance says of the most frequent answer, for the check of that control."""
    if not items or why_no_arm(MOST_FREQUENT, items) is not None:
        return {}
    return {"most_frequent_closed_form": repr(most_frequent(items)[1])}
