"""A conversation: follow-up questions are made whole by rules, and what was found before stays citable.

No model rewrites the question. A follow-up that points back ("Is it painful?", "What about children?", "Why?") gets the
topic of what was asked before behind it; a question that stands alone becomes the new topic.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.checking import reviser_of
from pipelines.consistency import check_chain, rules_for
from pipelines.gathering import Event, Gatherer
from pipelines.search import StageClock
from rag.errors import QueryError
from rag.grounding.ground import ground
from rag.leakage import Guard
from rag.sentences import STOPWORDS, words
from rag.types import KINDS, Answer, Evidence, Hit, Kind, Query

if TYPE_CHECKING:
    from pipelines.assistant import Steps
    from pipelines.library import Library

REMEMBERED = 12
"""Passages of earlier turns that stay citable: those cited first, then the most recent ones."""
_POINTS_BACK = re.compile(
    r"\b(?:it|its|itself|they|them|their|this|that|these|those|he|she|his|her|the same|the (?:former|latter|other))\b",
    re.IGNORECASE,
)
_ELLIPSIS = re.compile(r"^\W*(?:why|where|when|how|which one|really|more|go on|explain)\b", re.IGNORECASE)
_OPENS = re.compile(r"^\W*(?:and|or|but|so|also|what about|how about|what if|then)\b", re.IGNORECASE)
_FRAME = frozenset(
    ["what", "which", "who", "whom", "whose", "where", "when", "why", "how", "name", "list", "describe", "explain",
     "define", "tell", "show", "shows", "shown", "give", "difference", "between", "many", "much", "kind", "type",
     "happen", "happens", "mean", "means", "called", "image", "picture", "film", "figure", "about", "please", "does"]
)  # fmt: skip
_LONGEST_TOPIC = 8
_SHORT = 3


@dataclass(frozen=True, slots=True)
class Turn:
    """One question as it was asked and as it was understood, the images shown with it, and its answer."""

    asked: str
    understood: str
    answer: Answer
    images: tuple[Path, ...] = ()


class Conversation:
    """Asks a library one question after the other.

    talk = Conversation(library)
    talk.ask("What is a pleural effusion?")
    talk.ask("And what are its signs on a film?")
    """

    def __init__(
        self,
        library: Library,
        steps: Steps | None = None,
        *,
        guard: Guard | None = None,
        remembered: int = REMEMBERED,
    ) -> None:
        """`remembered`: passages of earlier turns that may still be cited."""
        self._steps = steps or library.parts.steps()
        options = self._steps.gather if guard is None else replace(self._steps.gather, guard=guard)
        self._gatherer, self._remembered = Gatherer(library, self._steps.selector, options), remembered
        self._library, self._rules = library, rules_for(library.settings.answer.consistency)
        self._images: tuple[Path, ...] = ()
        self._topic = ""
        self.turns: tuple[Turn, ...] = ()

    def ask(
        self,
        question: str,
        images: Sequence[str | Path] = (),
        options: Sequence[str] = (),
        *,
        kinds: Sequence[Kind] = KINDS,
    ) -> Answer:
        """Answer a question in the light of those before. Images stay shown until others are given.

        Raises QueryError when the question is empty or an image cannot be read.
        """
        if not question.strip() and not images:
            raise QueryError("the question is empty; ask something, or give an image")
        understood = rewritten(question, self._topic)
        self._images = tuple(Path(image) for image in images) or self._images
        query = Query(understood, self._images, f"turn-{len(self.turns) + 1}", tuple(options))
        query = self._library.readable(query)
        clock = StageClock()
        with clock.stage("retrieve"):
            found = self._gatherer.gather(query, kinds)
            evidence = with_memory(found.evidence, self._memory())
        with clock.stage("generate"):
            draft = self._steps.generator.generate(query, evidence)
        with clock.stage("check"):
            revise = reviser_of(self._steps.generator)
            answer = ground(query, draft, evidence, self._steps.judge, self._steps.policy, revise)
        event = {"step": "follow_up", "rewritten": understood != question, "remembered": len(self._memory())}
        events = (*found.events, event, *answer.trace, *self._contradictions(answer))
        answer = replace(answer, seconds=dict(clock.seconds), trace=events)
        self._topic = topic_of(question) if understood == question and topic_of(question) else self._topic
        self.turns = (*self.turns, Turn(question, understood, answer, self._images))
        return answer

    def _contradictions(self, answer: Answer) -> list[Event]:
        """Claims that cannot stand beside earlier ones on the same images; both stay, which is wrong nobody knows."""
        earlier = [(n, turn) for n, turn in enumerate(self.turns, 1) if turn.images and turn.images == self._images]
        said = [(n, claim.text) for n, turn in earlier for claim in turn.answer.claims]
        found = check_chain([*(text for _, text in said), *(claim.text for claim in answer.claims)], self._rules)
        return [
            {"step": "consistency", "rule": one.rule, "turn": said[one.first][0], "claim": one.second - len(said)}
            for one in found
            if one.first < len(said) <= one.second
        ]

    def _memory(self) -> tuple[Hit, ...]:
        """Passages of earlier turns: cited ones of the latest turns first, then others that were evidence."""
        cited: dict[str, Hit] = {}
        shown: dict[str, Hit] = {}
        for turn in reversed(self.turns):
            names = {citation.passage.id for citation in turn.answer.citations}
            for hit in turn.answer.evidence.hits:
                (cited if hit.passage.id in names else shown).setdefault(hit.passage.id, hit)
        return tuple({**shown, **cited}[name] for name in dict.fromkeys((*cited, *shown)))[: self._remembered]


def with_memory(evidence: Evidence, memory: Sequence[Hit]) -> Evidence:
    """The evidence with what is remembered behind it, each passage once."""
    known = {hit.passage.id for hit in evidence.hits}
    return replace(evidence, hits=(*evidence.hits, *(hit for hit in memory if hit.passage.id not in known)))


def rewritten(question: str, topic: str) -> str:
    """The question with the topic behind it when it leans on what was said before; unchanged otherwise.

    It leans when it has a pronoun and names little itself, begins like a continuation, or has hardly a word of its own.
    """
    if not topic or not question.strip():
        return question
    own = _content(question)
    names_topic = set(own) & set(_content(topic))
    leans = bool(_POINTS_BACK.search(question)) or bool(_OPENS.match(question)) or bool(_bare(question, own))
    return f"{question.strip()} ({topic})" if leans and not names_topic else question


def topic_of(question: str) -> str:
    """What a question is about: its words that carry meaning, in order, at most eight."""
    return " ".join(_content(question)[:_LONGEST_TOPIC])


def _content(text: str) -> list[str]:
    return list(dict.fromkeys(word for word in words(text) if word not in STOPWORDS and word not in _FRAME))


def _bare(question: str, own: Sequence[str]) -> bool:
    """Whether nothing or hardly anything is named: "Why?", "Where is the pain?" is not bare, "And then?" is."""
    return not own or (len(question.split()) <= _SHORT and bool(_ELLIPSIS.match(question)))
