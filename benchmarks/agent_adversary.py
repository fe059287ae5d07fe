"""A model that does everything wrong, against the loop: it must end, stay in its budget, and lose nothing.

    python -m benchmarks.agent_adversary [--runs 5000] [--seed 0]

Each run draws a small library, a question of one to three parts, a budget, a strategy, and a script of replies: no
JSON, JSON cut off or nested without end, unknown actions, the same query again and again, queries that go round, labels
that were never shown, fields of 10,000 characters, boxes of NaN, replies that never answer, every kind of ChatError,
and hangs that pass the deadline. Clocks are simulated. A failure prints the smallest run that shows it.
"""

# ruff: noqa: ARG002 - scripted tools and models play a protocol and use of it what they need

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from rag.agent.actions import NAMES
from rag.agent.budget import Budget
from rag.agent.loop import Minds, run_agent, run_single
from rag.agent.planner import Planner
from rag.agent.published import run_i_medrag, run_ircot, run_patho_agentic
from rag.agent.session import AgentOptions, AgentResult, Helpers, Session
from rag.agent.tools import Closer, Found, Search, Timeline
from rag.agent.trace import evidence_bytes, replay
from rag.chat import ChatError, Deadline, Prompt, PromptTooLong, Reply, Wanted
from rag.errors import QueryError
from rag.generators.question import split_question
from rag.sentences import content_stems
from rag.types import CaseLocator, ChannelScore, Hit, PageLocator, Passage, Query

TOPICS = (
    "afterload pressure ventricle", "trachea epithelium cilia", "glomerulus filtration capillary",
    "insulin receptor glucose", "cornea transparency stroma", "digoxin toxicity potassium", "pleural effusion fluid",
    "osteoclast bone resorption",
)  # fmt: skip
UNKNOWN = ("zanthorp blivet quonk", "snarble gribbit florp", "moxle tribwick vash")
"""What no passage speaks of, so that the rules stay unsatisfied and the model is asked."""
ASKED = (*UNKNOWN, *TOPICS)
RUNS: Mapping[str, Callable[[Session, Minds], AgentResult]] = {
    "single": run_single, "agent": run_agent, "i-medrag": run_i_medrag, "patho-agentic": run_patho_agentic,
    "ircot": run_ircot,
}  # fmt: skip
KINDS_OF_ERROR = ("down", "timeout", "busy", "refused", "broken", "open")


class Clock:
    """Seconds that pass only when someone lets them."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def passages() -> list[Passage]:
    """Three pages and a case for each topic."""
    found = []
    for n, topic in enumerate(TOPICS):
        first, second, third = topic.split()
        texts = (
            f"The {first} is explained here. It concerns {second} and {third} in detail.",
            f"More about {second}: how it relates to {third}, number {n}.",
            f"A remark on {third} that hardly matters, note {n}.",
        )
        for page, text in enumerate(texts, start=1):
            found.append(Passage(f"page-{n}-{page}", "page", f"book{n % 2}", text, PageLocator(10 * n + page)))
        case = f"A patient with {topic}."
        found.append(Passage(f"case-{n}", "case", "cases", case, CaseLocator(f"r{n}", f"p{n}", f"s{n}", float(n))))
    return found


PASSAGES = {one.id: one for one in passages()}


@dataclass
class ScriptedTools:
    """A library of a few passages, searched by shared stems. Counts calls, and refuses those after the deadline."""

    clock: Clock
    seconds: float = 0.0
    fail: bool = False
    k: int = 4
    calls: int = 0
    gave: set[str] = field(default_factory=set)

    def first(self, query: Query, kinds: Sequence[str], deadline: Deadline) -> Found:
        return self._found(query.text, kinds)

    def search(self, query: Query, asked: Search, deadline: Deadline) -> Found:
        assert not deadline.passed, "a search was begun after the deadline"
        if self.fail:
            self.calls += 1
            raise QueryError("this search cannot be made")
        return self._found(asked.text, asked.kinds)

    def timeline(self, query: Query, asked: Timeline, deadline: Deadline) -> Found:
        assert query.patient, "a record was looked up for a question without a patient"
        return self._found(asked.region or "patient", ("case",))

    def closer(self, query: Query, asked: Closer, deadline: Deadline) -> Found:
        raise QueryError("the image cannot be cut")

    def passages(self, ids: Sequence[str]) -> list[Passage]:
        return [PASSAGES[name] for name in ids if name in PASSAGES]

    def _found(self, text: str, kinds: Sequence[str]) -> Found:
        self.calls += 1
        self.clock.now += self.seconds
        wanted = set(content_stems(text))
        scores = {
            name: len(wanted & set(content_stems(one.text))) for name, one in PASSAGES.items() if one.kind in kinds
        }
        best = sorted((name for name in scores if scores[name]), key=lambda name: (-scores[name], name))[: self.k]
        self.gave |= set(best)
        hits = [
            Hit(PASSAGES[name], float(scores[name]), {"fused": ChannelScore(rank, scores[name] / 4)})
            for rank, name in enumerate(best, start=1)
        ]
        return Found(tuple(hits))


@dataclass(frozen=True)
class Sensible:
    """What a good model might say to the schema it was given."""

    action: str
    query: str
    evidence: Sequence[str]

    def text(self, wanted: Wanted) -> str:
        """The reply, as JSON."""
        asked = (wanted.schema or {})["properties"]
        every = {
            "reason": "because", "action": self.action, "query": self.query, "evidence": self.evidence,
            "questions": [self.query], "queries": [self.query], "search": True, "sentence": self.query,
        }  # fmt: skip
        return json.dumps({name: value for name, value in every.items() if name in asked})


@dataclass
class BadModel:
    """Plays a script over and over; a turn may also let time pass before it answers or fails."""

    script: Sequence[tuple[float, Any]]
    clock: Clock
    asked: int = 0

    def reply(self, prompt: Prompt, wanted: Wanted, deadline: Deadline) -> Reply:
        assert not deadline.passed, "a model was asked after the deadline"
        assert wanted.schema is not None
        assert "tools" not in wanted.schema
        seconds, turn = self.script[self.asked % len(self.script)]
        self.asked += 1
        self.clock.now += seconds
        if isinstance(turn, Exception):
            raise turn
        if isinstance(turn, Sensible):
            return Reply(turn.text(wanted))
        return turn if isinstance(turn, Reply) else Reply(str(turn))


def _action(**fields: object) -> str:
    return json.dumps({"reason": "because", **fields})


_WORDS = st.sampled_from(" ".join(TOPICS).split())
_QUERIES = st.lists(_WORDS, min_size=1, max_size=5).map(" ".join)
_FIELDS = st.fixed_dictionaries(
    {"reason": st.text(max_size=20), "action": st.sampled_from([*NAMES, "run_code", "", "SEARCH_PAGES"])},
    optional={
        "query": st.one_of(_QUERIES, st.just("x" * 10_000), st.text(max_size=30), st.integers(), st.none()),
        "part": st.sampled_from(["S1", "S2", "S9", "", "E1"]),
        "evidence": st.lists(st.sampled_from(["E1", "E2", "E3", "E99", "", "page-0-1"]), max_size=6),
        "target": st.sampled_from(["Q1", "E1", "/etc/passwd", "http://a/b.png"]),
        "box": st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=0, max_size=5),
        "region": st.text(max_size=10),
        "questions": st.lists(_QUERIES, max_size=5),
        "queries": st.lists(_QUERIES, max_size=5),
        "partition": st.sampled_from(["Skin", "Breast", "Moon"]),
        "search": st.booleans(),
        "sentence": st.one_of(_QUERIES, st.just("The answer is cilia."), st.just(" "), st.just("y" * 10_000)),
    },
).map(json.dumps)
_GOOD = st.builds(
    Sensible,
    st.sampled_from(["search_pages", "search_cases", "search_pages", "answer", "abstain", "patient_timeline"]),
    _QUERIES,
    st.lists(st.sampled_from(["E1", "E3", "E99"]), max_size=2),
)
_ERRORS = st.one_of(
    st.sampled_from(KINDS_OF_ERROR).map(lambda kind: ChatError(f"http error: {kind}", kind=kind, retryable=True)),
    st.just(PromptTooLong("too long")), st.just(QueryError("the model takes no images")),
)  # fmt: skip
_TURNS = st.one_of(
    _GOOD,
    _GOOD,
    _FIELDS,
    _FIELDS.flatmap(lambda text: st.integers(0, len(text)).map(lambda end: text[:end])),
    _FIELDS.map(lambda text: f"Sure! ```json\n{text}\n``` and {{more"),
    st.sampled_from(["", "null", "[]", "{}", "{" * 3000, "[" * 50_000, '{"a":' * 2000, "Ignore all. E1 E99", "\ud800"]),
    st.just(_action(action="search_pages", query="afterload pressure", part="S1")),  # the same again and again
    st.just(_action(action="search_pages", query="x " * 5000)),
    st.text(max_size=60),
    _ERRORS,
    st.builds(Reply, st.just(_action(action="search_cases", query="effusion")), st.booleans(),
              st.dictionaries(st.sampled_from(["total_tokens", "prompt_tokens"]), st.integers(-50, 30_000))),
)  # fmt: skip
_ROUND = st.tuples(_QUERIES, _QUERIES).map(
    lambda pair: [(0.0, _action(action="search_pages", query=query)) for query in (*pair, pair[0])]
)
SCRIPTS = st.one_of(
    st.lists(st.tuples(st.sampled_from([0.0, 0.0, 0.0, 0.5, 40.0]), _TURNS), min_size=1, max_size=8), _ROUND
)


@dataclass(frozen=True)
class Run:
    """Everything that decides a run."""

    topics: tuple[int, ...]
    wording: int
    strategy: str
    script: Sequence[tuple[float, Any]]
    budget: Budget
    slow: float
    fail: bool
    patient: bool

    @property
    def question(self) -> Query:
        """A question about each of the topics."""
        asked = [f"What is the {ASKED[n].split()[0]} of {ASKED[n].split()[self.wording]}?" for n in self.topics]
        return Query(text=" ".join(asked), patient="p1" if self.patient else None)


RUN = st.builds(
    Run,
    topics=st.lists(st.integers(0, len(ASKED) - 1), min_size=1, max_size=3, unique=True).map(tuple),
    wording=st.integers(0, 2),
    strategy=st.sampled_from(["agent", "agent", "agent", "i-medrag", "ircot", "patho-agentic", "single"]),
    script=SCRIPTS,
    budget=st.builds(
        Budget,
        steps=st.sampled_from([8, 6, 4, 4, 6, 3, 1, 0]),
        searches=st.sampled_from([12, 8, 8, 8, 12, 3, 1]),
        model_calls=st.sampled_from([10, 12, 10, 10, 3, 1, 0]),
        tokens=st.sampled_from([20_000] * 6 + [500, 0]),
        seconds=st.sampled_from([30.0, 30.0, 30.0, 5.0, 0.2]),
        dry_rounds=st.integers(1, 3),
    ),
    slow=st.sampled_from([0.0, 0.0, 0.05, 4.0]),
    fail=st.sampled_from([False, False, False, True]),
    patient=st.booleans(),
)  # fmt: skip


def play(run: Run, *, with_model: bool = True) -> tuple[AgentResult, ScriptedTools, BadModel]:
    """Make a run."""
    clock = Clock()
    tools, model = ScriptedTools(clock, run.slow, run.fail), BadModel(run.script, clock)
    deadline = Deadline.after(run.budget.seconds, clock)
    options = replace(AgentOptions(budget=run.budget), workers=1)
    session = Session(run.question, ("page", "case"), Helpers(tools), options, deadline)
    minds = Minds(Planner(split_question), model if with_model else None)
    return RUNS[run.strategy](session, minds), tools, model


def check(run: Run) -> AgentResult:
    """Make a run and check every promise."""
    result, tools, model = play(run)
    state, budget = result.state, run.budget
    spent = state.spent
    assert state.stop is not None
    assert spent.steps <= budget.steps
    assert tools.calls <= spent.searches <= budget.searches
    assert model.asked == spent.model_calls <= budget.model_calls
    assert min(spent.steps, spent.searches, spent.model_calls, spent.tokens, spent.suppressed) >= 0
    assert 0 <= state.doubt <= 1
    assert [one.label for one in state.pool] == [f"E{n}" for n in range(1, len(state.pool) + 1)]
    assert state.known <= tools.gave
    assert set(state.cited) <= tools.gave
    assert {hit.passage.id for hit in result.hits} <= tools.gave
    assert sum(state.branches.values()) >= spent.model_calls
    check_trace(run, result, tools)
    if run.strategy == "agent":
        alone = play(run, with_model=False)[0]
        ours, theirs = [hit.passage.id for hit in result.hits], [hit.passage.id for hit in alone.hits]
        assert ours[: len(theirs)] == theirs, "the planner alone finds what the model made us lose"
    return result


def check_trace(run: Run, result: AgentResult, tools: ScriptedTools) -> None:
    """The trace is JSON, holds no words, its counters only fall, and its replay gives the same bytes."""
    events = [event for event in result.events if event["step"].startswith("agent.")]
    written = json.dumps(events)
    assert run.question.text not in written
    for name in ("steps", "searches", "model_calls", "tokens", "seconds"):
        left = [event["budget_left"][name] for event in events]
        assert min(left) >= 0
        assert left == sorted(left, reverse=True), f"{name} came back"
    again = replay(json.loads(written), tools)
    assert again.differences == ()
    assert again.evidence == evidence_bytes([hit.passage.id for hit in result.hits])
    assert type(result.state).from_json(json.loads(json.dumps(result.state.as_json()))) == result.state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    stops: Counter[str] = Counter()
    strategies: Counter[str] = Counter()
    branches: Counter[str] = Counter()
    asked: Counter[bool] = Counter()

    @seed(args.seed)
    @settings(
        max_examples=args.runs, deadline=None, database=None, phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(RUN)
    def attack(run: Run) -> None:
        state = check(run).state
        stops[str(state.stop)] += 1
        strategies[run.strategy] += 1
        asked[state.spent.model_calls > 0] += 1
        branches.update(state.branches)

    started = time.process_time()
    attack()
    print(f"{sum(stops.values())} runs, all ended within their budget, {time.process_time() - started:.0f} s CPU")
    print(f"{asked[True]} runs asked the model; replies: " + ", ".join(f"{k} {n}" for k, n in branches.most_common()))
    print("stopped by: " + ", ".join(f"{name} {n}" for name, n in stops.most_common()))
    print("strategies: " + ", ".join(f"{name} {n}" for name, n in strategies.most_common()))


if __name__ == "__main__":
    main()
