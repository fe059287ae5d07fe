"""One question's session: the only place where the state moves on. Strategies say what to search for, it does the rest.

It counts, refuses repeated queries, runs searches side by side and merges them in the order they were asked, grades
what is new, and leaves an event for every step.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from rag.agent.budget import Budget
from rag.agent.duplicates import DuplicateOptions, Embed, repeats
from rag.agent.grading import Grader
from rag.agent.merging import RECORDS, MergeOptions
from rag.agent.state import Actor, AgentState, LoggedQuery, Stage, StopReason, SubQuestion
from rag.agent.sufficiency import settled, sufficiency
from rag.agent.tools import Call, Closer, Found, Search, Timeline, Tools, call
from rag.agent.trace import BEGIN, GRADE, SEARCH, STOP, Recorder, begin_values, chosen, digest
from rag.chat import Deadline
from rag.errors import VesaliusError
from rag.types import Dropped, Hit, Kind, Passage, Query


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """How a session works.

    rule_rounds: rounds of the planner before a model may be asked. workers: searches side by side (1 for an engine in
    this process, which has all cores already). content: whether the trace may hold texts.
    """

    budget: Budget = field(default_factory=Budget)
    merge: MergeOptions = field(default_factory=MergeOptions)
    duplicates: DuplicateOptions = field(default_factory=DuplicateOptions)
    rule_rounds: int = 2
    workers: int = 1
    content: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """A call that someone asks for, and the sub-question it serves."""

    part: str
    call: Call
    actor: Actor = "rule"


@dataclass(frozen=True, slots=True)
class AgentResult:
    """What a session found: hits kept, best first, and left out, notes for readers, the last state, and the trace."""

    hits: tuple[Hit, ...]
    dropped: tuple[Dropped, ...]
    notes: Mapping[str, str]
    state: AgentState
    events: tuple[Mapping[str, Any], ...]


@dataclass(slots=True)
class Helpers:
    """What a session works with: the tools, the grader, and vectors of queries where an encoder has them."""

    tools: Tools
    grader: Grader = field(default_factory=Grader)
    embed: Embed | None = None


class Session:
    """Runs one question. Not for two threads."""

    def __init__(
        self, query: Query, kinds: Sequence[Kind], helpers: Helpers, options: AgentOptions, deadline: Deadline
    ) -> None:
        self.query, self.kinds, self.options, self.deadline = query, tuple(kinds), options, deadline
        self.state = AgentState(query.text)
        self.recorder = Recorder(uuid.uuid4().hex[:12], deadline, options.budget, options.content)
        self._helpers = helpers
        self._hits: dict[str, Hit] = {}
        self._first = Found(())
        self._notes: dict[str, str] = {}
        self._found_events: list[Mapping[str, Any]] = []

    def hit(self, passage_id: str) -> Hit:
        """A hit of the pool."""
        return self._hits[passage_id]

    def begin(self, strategy: str, parts: Sequence[SubQuestion]) -> None:
        """The single pass, which every strategy begins with; what it found is graded for every part.

        Raises what the tools raise: without the single pass there is nothing to answer from.
        """
        self.state = replace(self.state, parts=tuple(parts))
        begun = begin_values(self.state, self.options.merge)
        asked = self.recorder.text("question", self.query.text)
        self.recorder.add(BEGIN, self.state, strategy=strategy, **begun, **asked)
        started = self.deadline.clock()
        self._first = self._helpers.tools.first(self.query, self.kinds, self.deadline)
        self._found_events += self._first.events
        self.state = self.state.counted(searches=1)
        seconds = self.deadline.clock() - started
        # Records that were looked up carry a note; they stand first whatever a search finds.
        records = replace(
            self._first, hits=tuple(one for one in self._first.hits if one.passage.id in self._first.notes)
        )
        if records.hits:
            self._take(
                replace(self._logged(Wish(RECORDS, Timeline()), "first"), found=_listed(records)), records, "rule", 0
            )
        one = self._logged(Wish("", Search(self.kinds, self.query.text, self.query.images)), "first")
        self._take(replace(one, found=_listed(self._first)), self._first, "rule", seconds)
        for part in self.state.parts:
            self._grade(part, self._first.hits)
        self.state = settled(self.state)

    @property
    def enough(self) -> bool:
        """Whether the rules miss nothing."""
        return sufficiency(self.state).holds

    def may_go_on(self) -> StopReason | None:
        """The reason to stop now, other than having enough."""
        reached = self.options.budget.reached(self.state.spent, self.deadline)
        return reached or ("nothing_new" if self.state.dry >= self.options.budget.dry_rounds else None)

    def round(self, wishes: Sequence[Wish], stage: Stage) -> tuple[str, ...]:
        """One round: the new calls among the wishes, side by side, as far as the budget goes. Returns new passage ids.

        A round costs a step even when every wish was refused, so a model that repeats itself comes to an end.
        """
        before = self.state.known
        self.state = self.state.counted(steps=1)
        calls = self._accepted(wishes, stage)
        self.state = self.state.counted(searches=len(calls))
        outcomes = self._run([wish for wish, _ in calls])
        for (wish, one), (found, outcome, seconds) in zip(calls, outcomes, strict=True):
            new = [hit for hit in found.hits if hit.passage.id not in self.state.known]
            self._take(replace(one, outcome=outcome, found=_listed(found)), found, wish.actor, seconds)
            self._found_events += found.events
            part = self.state.part(wish.part)
            if part is not None:
                # A model's search grades only what it found itself: what the rules found keeps the rules' order.
                self._grade(part, found.hits if stage != "model" else new)
        self.state = settled(self.state)
        fresh = tuple(one.passage_id for one in self.state.pool if one.passage_id not in before)
        self.state = replace(self.state, dry=0 if fresh else self.state.dry + 1)
        return fresh

    def hope(self) -> None:
        """Forget rounds that found nothing: someone else asks from here on."""
        self.state = replace(self.state, dry=0)

    def asked_of_model(self, calls: int, tokens: int, branch: str) -> None:
        """Count calls of a model, and how its reply was read."""
        self.state = self.state.counted(model_calls=calls, tokens=max(0, tokens)).branched(branch)

    def cite(self, labels: Sequence[str]) -> None:
        """Note the passages that a model points to; labels that are not in the pool are nothing."""
        items = [self.state.item(label) for label in labels]
        cited = dict.fromkeys([*self.state.cited, *(item.passage_id for item in items if item is not None)])
        self.state = replace(self.state, cited=tuple(cited))

    def doubt(self, share: float) -> None:
        """Raise the doubt; it never falls."""
        self.state = replace(self.state, doubt=min(1.0, max(self.state.doubt, share)))

    def stop(self, reason: StopReason) -> AgentResult:
        """The evidence, with the reason why there is no more of it."""
        self.state = replace(self.state, stop=reason)
        passages: dict[str, Passage] = {name: hit.passage for name, hit in self._hits.items()}
        ids, sha = chosen(self.state, passages, self.options.merge)
        lacking = sufficiency(self.state)
        self.recorder.add(
            STOP, self.state, stop_reason=reason, open=[*lacking.open], missing=[[*row] for row in lacking.missing],
            doubt=self.state.doubt, branches=dict(self.state.branches), evidence_sha=sha,
            searches=self.state.spent.searches, model_calls=self.state.spent.model_calls,
            tokens=self.state.spent.tokens, suppressed=self.state.spent.suppressed,
        )  # fmt: skip
        kept = set(ids)
        other = {name: hit for name, hit in self._hits.items() if name not in kept}
        dropped = [row for row in self._first.dropped if row.hit.passage.id not in kept]
        known = {row.hit.passage.id for row in dropped}
        first = {hit.passage.id for hit in self._first.hits}
        dropped += [
            Dropped(hit, "made room for another sub-question" if name in first else "found later, not among the best")
            for name, hit in other.items()
            if name not in known
        ]
        hits = tuple(self._hits[name] for name in ids)
        events = (*self._found_events, *self.recorder.events)
        return AgentResult(hits, tuple(dropped), dict(self._notes), self.state, events)

    def _accepted(self, wishes: Sequence[Wish], stage: Stage) -> list[tuple[Wish, LoggedQuery]]:
        """The wishes that are new and affordable; each repeated one is logged as such."""
        accepted: list[tuple[Wish, LoggedQuery]] = []
        left = self.options.budget.searches - self.state.spent.searches
        for wish in wishes:
            one = self._logged(wish, stage)
            earlier = [*self.state.log, *(asked for _, asked in accepted)]
            like = repeats(one, earlier, self._helpers.embed, self.options.duplicates)
            if like is not None:
                self.state = self.state.counted(suppressed=1)
                self._take(replace(one, outcome="repeated"), Found(()), wish.actor, 0.0)
            elif len(accepted) < left:
                accepted.append((wish, one))
        return accepted

    def _run(self, wishes: Sequence[Wish]) -> list[tuple[Found, Any, float]]:
        """What each call gave, in the order asked; a call that fails or is late gives nothing, and says so."""
        if len(wishes) < 2 or self.options.workers < 2:
            return [self._one(wish) for wish in wishes]
        pool = ThreadPoolExecutor(self.options.workers, thread_name_prefix="agent-search")
        try:
            futures: list[Future[tuple[Found, Any, float]]] = [pool.submit(self._one, wish) for wish in wishes]
            return [self._awaited(future) for future in futures]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _awaited(self, future: Future[tuple[Found, Any, float]]) -> tuple[Found, Any, float]:
        try:
            return future.result(timeout=self.deadline.left())
        except Late:
            return Found(()), "late", self.deadline.left()

    def _one(self, wish: Wish) -> tuple[Found, Any, float]:
        if self.deadline.passed:
            return Found(()), "late", 0.0
        started = self.deadline.clock()
        try:
            found = call(self._helpers.tools, self.query, wish.call, self.deadline)
        except VesaliusError:
            return Found(()), "failed", self.deadline.clock() - started
        return found, "found", self.deadline.clock() - started

    def _take(self, one: LoggedQuery, found: Found, actor: Actor, seconds: float) -> None:
        for hit in found.hits:
            self._hits.setdefault(hit.passage.id, hit)
        self._notes |= {name: note for name, note in found.notes.items() if name not in self._notes}
        self.state = replace(self.state, log=(*self.state.log, one)).pooled([name for name, _ in one.found])
        self.recorder.add(
            SEARCH, self.state, actor=actor, stage=one.stage, part=one.part, action=_action(one),
            args=self.recorder.arguments(one), outcome=one.outcome, results=[list(row) for row in one.found],
            latency=round(seconds, 4),
        )  # fmt: skip

    def _grade(self, part: SubQuestion, hits: Sequence[Hit]) -> None:
        if not hits:
            return
        graded = self._helpers.grader.grade(part, hits)
        grades = {name: one.grade for name, one in graded.items()}
        self.state = self.state.graded(part.id, grades, {name: one.fills for name, one in graded.items()})
        self.recorder.add(GRADE, self.state, part=part.id, grades=grades)

    def _logged(self, wish: Wish, stage: Stage) -> LoggedQuery:
        asked, step = wish.call, self.state.spent.steps
        if isinstance(asked, Timeline):
            place = (("patient", ("own",)), ("region", (asked.region,)))
            return LoggedQuery(step, stage, wish.part, ("case",), "", filters=place)
        if isinstance(asked, Closer):
            box = ",".join(f"{share:.2f}" for share in asked.box)
            return LoggedQuery(step, stage, wish.part, ("figure", "case"), "", (f"{image_key(asked.image)}[{box}]",))
        images = tuple(map(image_key, asked.images))
        filters = tuple(sorted((name, tuple(values)) for name, values in asked.filters.items()))
        return LoggedQuery(step, stage, wish.part, asked.kinds, asked.text, images, filters)


def image_key(path: Path) -> str:
    """A short name of an image's content, or of its path when it cannot be read."""
    try:
        return sha256(path.read_bytes()).hexdigest()[:16]
    except OSError:
        return digest(str(path))


def _listed(found: Found) -> tuple[tuple[str, float], ...]:
    return tuple((hit.passage.id, hit.score) for hit in found.hits)


def _action(one: LoggedQuery) -> str:
    if one.text or (one.stage == "first" and one.part != RECORDS):
        return "search"
    return "look_closer" if one.images else "patient_timeline"
