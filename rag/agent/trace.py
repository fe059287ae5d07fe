"""The trace of a run: one event per step, in JSON values, from which the evidence can be made again byte by byte.

Events hold ids, scores, counters and hashes. The text of a question, a query or a passage is in them only when content
was asked for: a question may be about a patient.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from typing import Any

from rag.agent.budget import Budget
from rag.agent.merging import MergeOptions, merged
from rag.agent.state import AgentState, LoggedQuery, SubQuestion
from rag.agent.tools import Search, Tools
from rag.chat import Deadline
from rag.errors import QueryError
from rag.types import Passage, Query

BEGIN, SEARCH, GRADE, DECIDE, STOP = "agent.begin", "agent.search", "agent.grade", "agent.decide", "agent.stop"
_SEPARATORS = (",", ":")

Event = Mapping[str, Any]


def digest(text: str) -> str:
    """The first 16 hex digits of a text's SHA-256: enough to tell texts apart, nothing to read."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(slots=True)
class Recorder:
    """Collects the events of one run. With `content`, texts stand in them beside their hashes."""

    run_id: str
    deadline: Deadline
    budget: Budget
    content: bool = False
    events: list[dict[str, Any]] = field(default_factory=list)
    started: float = 0.0

    def __post_init__(self) -> None:
        self.started = self.deadline.clock()

    def add(self, step: str, state: AgentState, **values: object) -> None:
        """One event; `step` is its name, `turn` the loop's round."""
        self.events.append(
            {
                "step": step,
                "run_id": self.run_id,
                "turn": state.spent.steps,
                "t_rel": round(self.deadline.clock() - self.started, 4),
                **values,
                "budget_left": self.budget.left(state.spent, self.deadline),
            }
        )

    def text(self, name: str, text: str) -> dict[str, str]:
        """A text as an event may hold it: its hash, and the words themselves when content was asked for."""
        return {f"{name}_sha": digest(text), **({name: text} if self.content else {})}

    def arguments(self, one: LoggedQuery) -> dict[str, Any]:
        """The arguments of a search."""
        filters = {name: [value if self.content else digest(value) for value in values] for name, values in one.filters}
        return {
            "kinds": list(one.kinds),
            **self.text("query", one.text),
            "images": list(one.images),
            "filters": filters,
        }


def evidence_bytes(ids: Sequence[str]) -> bytes:
    """The evidence list in its one written form."""
    return json.dumps(list(ids), separators=_SEPARATORS, ensure_ascii=True).encode("ascii")


@dataclass(frozen=True, slots=True)
class Replayed:
    """The evidence list of a trace, written as `evidence_bytes`, and what differs from what the trace says."""

    evidence: bytes
    differences: tuple[str, ...] = ()


def replay(trace: Iterable[Event], tools: Tools, query: Query | None = None) -> Replayed:
    """Make the evidence of a run again from its events and the library it was made with.

    Searches are taken from the trace. With `query`, plain text searches of a trace that holds content are made again,
    and every list that differs is named: the library is then not the one of the run.

    Raises:
        QueryError: the events are not the whole trace of one run.
    """
    events = [event for event in trace if str(event.get("step", "")).startswith("agent.")]
    if len({event["run_id"] for event in events}) != 1 or events[0]["step"] != BEGIN or events[-1]["step"] != STOP:
        raise QueryError("this is not the whole trace of one run; it must begin and stop once")
    begin, stop = events[0], events[-1]
    state = AgentState("", tuple(SubQuestion(name, "") for name in begin["parts"]))
    differences: list[str] = []
    for event in events[1:-1]:
        state = _folded(state, event)
        if query is not None and event["step"] == SEARCH:
            differences += _differences(event, tools, query)
    passages = {one.id: one for one in tools.passages([one.passage_id for one in state.pool])}
    missing = sorted(state.known - passages.keys())
    differences += [f"passage {name} is not in the library" for name in missing]
    ids = merged(state, passages, MergeOptions(**begin["merge"]))
    written = evidence_bytes(ids)
    if sha256(written).hexdigest() != stop["evidence_sha"]:
        differences.append("the evidence list differs from the recorded one")
    return Replayed(written, tuple(differences))


def _folded(state: AgentState, event: Event) -> AgentState:
    """The state after one event."""
    if event["step"] == SEARCH:
        found = tuple((name, score) for name, score in event["results"])
        one = LoggedQuery(
            event["turn"], event["stage"], event["part"], tuple(event["args"]["kinds"]), "",
            outcome=event["outcome"], found=found,
        )  # fmt: skip
        return replace(state, log=(*state.log, one)).pooled([name for name, _ in found])
    if event["step"] == GRADE:
        return state.graded(event["part"], event["grades"], {})
    return state


def _differences(event: Event, tools: Tools, query: Query) -> list[str]:
    arguments = event["args"]
    if event["stage"] == "first" or event["action"] != "search" or event["outcome"] != "found":
        return []
    if "query" not in arguments or arguments["images"]:
        return []
    filters = {name: tuple(values) for name, values in arguments["filters"].items()}
    asked = Search(tuple(arguments["kinds"]), arguments["query"], (), filters)
    again = tools.search(query, asked, Deadline.after(3600))
    same = [[hit.passage.id, hit.score] for hit in again.hits] == [list(row) for row in event["results"]]
    return [] if same else [f"turn {event['turn']}: the search for {event['part']} finds something else now"]


def begin_values(state: AgentState, merge: MergeOptions) -> dict[str, Any]:
    """What a trace begins with besides its common fields."""
    return {"parts": [part.id for part in state.parts], "merge": asdict(merge)}


def chosen(state: AgentState, passages: Mapping[str, Passage], merge: MergeOptions) -> tuple[tuple[str, ...], str]:
    """The ids of the evidence, and the SHA-256 of their list."""
    ids = merged(state, passages, merge)
    return ids, sha256(evidence_bytes(ids)).hexdigest()
