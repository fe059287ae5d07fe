"""From the searches of a question to one list of evidence. A pure function of the log, so a trace can be replayed.

What the planner's searches give stands first, as if no model had been asked; what a model's searches add comes behind
it. So a bad model can waste its budget and never the evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rag.agent.state import AgentState, LoggedQuery
from rag.types import Passage

RECORDS = "records"
"""Under this name, instead of a sub-question's, the records are logged that the single pass looked up."""


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """How lists become one.

    k: passages kept for a question, as many as a single pass keeps. extra: passages that follow-up searches may add
    beyond it. budget_words: words that all of them may have. constant: of reciprocal rank fusion. least: the least
    grade of a passage that only a follow-up search found.
    """

    k: int = 8
    extra: int = 4
    budget_words: int = 6000
    constant: float = 20.0
    least: int = 1


def merged(state: AgentState, passages: Mapping[str, Passage], options: MergeOptions) -> tuple[str, ...]:
    """The ids of the evidence, best first. With no follow-up search that found anything: the single pass's list."""
    first = _ids(one for one in state.log if one.stage == "first")
    room = _Room(passages, options.budget_words)
    kept = room.take((), _planned(state, first, options), max(options.k, len(first)))
    added = _additions(state, options, stages=("rule", "model"))
    return room.take(kept, added, len(kept) + options.extra)


def _planned(state: AgentState, first: Sequence[str], options: MergeOptions) -> list[str]:
    """The single pass's list, woven with the planner's lists where the question has several parts."""
    lists: dict[str, list[LoggedQuery]] = {}
    for one in state.log:
        if one.stage == "rule" and one.outcome == "found":
            lists.setdefault(one.part, []).append(one)
    if len(state.parts) < 2 or not lists:
        return list(first)
    # Every part gets its turn: the best of each, then the second best of each. A part that was not searched for again
    # is served by the first list, in which it stood well enough.
    served = {one.passage_id: one.serves for one in state.pool}
    turns: list[list[str]] = []
    for part in state.parts:
        own = _fused([*lists.get(part.id, ())], options.constant)
        from_first = sorted(
            (name for name in first if served.get(name, {}).get(part.id, 0) >= options.least),
            key=lambda name: (-served[name].get(part.id, 0), first.index(name)),
        )
        turns.append(own or from_first)
    woven = [turn[place] for place in range(max(map(len, turns))) for turn in turns if place < len(turn)]
    records = _ids(one for one in state.log if one.part == RECORDS)
    return list(dict.fromkeys([*records, *woven, *first]))


def _additions(state: AgentState, options: MergeOptions, stages: Sequence[str]) -> list[str]:
    """What follow-up searches found and the rules do not grade as nothing, the planner's before a model's."""
    grades = {one.passage_id: one.grade for one in state.pool}
    found: list[str] = []
    for stage in stages:
        ranked = _fused([one for one in state.log if one.stage == stage], options.constant)
        wanted = [name for name in ranked if grades.get(name, 0) >= options.least]
        found += sorted(wanted, key=lambda name: -grades[name])
    return list(dict.fromkeys(found))


def _fused(searches: Sequence[LoggedQuery], constant: float) -> list[str]:
    """Reciprocal rank fusion of the lists (Cormack, Clarke and Buettcher, 2009); ties by id."""
    scores: dict[str, float] = {}
    for one in searches:
        for rank, (name, _) in enumerate(one.found, start=1):
            scores[name] = scores.get(name, 0.0) + 1 / (constant + rank)
    return sorted(scores, key=lambda name: (-scores[name], name))


def _ids(searches: Iterable[LoggedQuery]) -> list[str]:
    return list(dict.fromkeys(name for one in searches for name, _ in one.found))


@dataclass(slots=True)
class _Room:
    """What fits: no text twice, and no more words than the budget."""

    passages: Mapping[str, Passage]
    words_left: int

    def take(self, kept: Sequence[str], wanted: Sequence[str], most: int) -> tuple[str, ...]:
        """`kept` and as many of `wanted` as there is room for, up to `most` in all."""
        taken = list(kept)
        texts = {self._text(name) for name in taken}
        for name in wanted:
            passage = self.passages.get(name)
            if passage is None or name in taken or len(taken) >= most:
                continue
            text, size = self._text(name), len(passage.text.split())
            if (text and text in texts) or size > self.words_left:
                continue
            taken.append(name)
            texts.add(text)
            self.words_left -= size
        return tuple(taken)

    def _text(self, name: str) -> str:
        return " ".join(self.passages[name].text.lower().split())
