"""Answers to learn from, not to read: nothing abstains for want of confidence, and passages may be withheld."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipelines.assistant import Assistant
from pipelines.compose import Parts
from pipelines.library import Library
from rag.grounding.signals import evidence_signals, speaks_of
from rag.protocols import Selector
from rag.types import Answer, Evidence, Hit, Kind, Query

_DEEPER = 4
"""How many times as many hits are searched for, so that enough are left when some are withheld."""


class WithholdingSelector:
    """A selector that never sees some passages, which may change from question to question.

    They were searched for and are left out before anything is kept; ranks within the list close up. Scores that were
    set in relation to a whole list still know of them.
    """

    def __init__(self, selector: Selector, candidates: int) -> None:
        """`candidates` is the number of hits that the selector within reads."""
        self._selector, self._candidates = selector, candidates
        self.withheld: frozenset[str] = frozenset()

    def select(self, query: Query, hits: Sequence[Hit]) -> Evidence:
        left = [hit for hit in hits if hit.passage.id not in self.withheld]
        return self._selector.select(query, left[: self._candidates])


@dataclass(frozen=True, slots=True)
class Trial:
    """An answer, and what its evidence signalled before anything was weighed; empty where signals do not apply."""

    answer: Answer
    signals: Mapping[str, float] = field(default_factory=dict)


class TrialAssistant:
    """Answers as the library's settings say, but for the thresholds of confidence; what was fitted is not read."""

    def __init__(self, library: Library) -> None:
        settings = library.settings
        # Zero is a threshold that the settings name, so no calibration is needed: a stale one can be fitted again.
        asked = settings.model_copy(update={"answer": settings.answer.model_copy(update={"abstain_below": 0.0})})
        steps = Parts(asked, library.folder).steps()
        gather = steps.gather
        self._selector = WithholdingSelector(steps.selector, gather.candidates)
        steps = replace(
            steps,
            selector=self._selector,
            gather=replace(gather, depth=_DEEPER * gather.candidates),
            policy=replace(steps.policy, min_choice_confidence=0.0),
        )
        self._assistant = Assistant(library, steps)

    def ask(self, query: Query, kinds: Sequence[Kind], withheld: Iterable[str] = ()) -> Trial:
        """The answer to a question when the passages with these ids are not there."""
        self._selector.withheld = frozenset(withheld)
        answer = self._assistant.ask(query, kinds=kinds)
        if not speaks_of(query) or not answer.evidence.hits:
            return Trial(answer)
        return Trial(answer, evidence_signals(query, answer.confidence, answer.evidence))
