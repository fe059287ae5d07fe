"""Which strategy gathers the evidence of a question, by name: ours, the single pass, and published ones to compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol, get_args, runtime_checkable

import numpy as np

from pipelines.agent_tools import Gathers, LibraryTools
from pipelines.gathering import Gathered, Gatherer, GatherOptions
from rag.agent.budget import Budget
from rag.agent.grading import Grader, Scorer
from rag.agent.loop import Minds, run_agent, run_single
from rag.agent.merging import MergeOptions
from rag.agent.planner import Planner
from rag.agent.published import run_i_medrag, run_ircot, run_patho_agentic
from rag.agent.session import AgentOptions, AgentResult, Helpers, Session
from rag.chat import ChatModel, Deadline
from rag.errors import ConfigError
from rag.generators.question import asks_what_is_shown, split_question
from rag.protocols import Selector
from rag.types import Evidence, Kind, Matrix, Query

if TYPE_CHECKING:
    from pipelines.library import Library
    from pipelines.settings import Settings
    from rag.agent.duplicates import Embed
    from rag.retrievers import Channel

StrategyName = Literal["single", "agent", "i-medrag", "patho-agentic", "ircot"]
NAMES: tuple[StrategyName, ...] = get_args(StrategyName)

Run = Callable[[Session, Minds], AgentResult]
_RUNS: Mapping[StrategyName, Run] = {
    "single": run_single, "agent": run_agent, "i-medrag": run_i_medrag, "patho-agentic": run_patho_agentic,
    "ircot": run_ircot,
}  # fmt: skip
_ROUNDS_OF_THEIR_OWN: Mapping[StrategyName, tuple[int, int]] = {"i-medrag": (4, 13), "ircot": (8, 9)}
"""Steps and searches that a published strategy needs to be itself: 4 rounds of 3 follow-ups, 8 reasoning steps."""


@runtime_checkable
class Strategy(Protocol):
    """Gathers the evidence of a question."""

    def gather(self, query: Query, kinds: Sequence[Kind], deadline: Deadline) -> Gathered: ...


@dataclass(frozen=True, slots=True)
class StrategyOptions:
    """Which strategy, and with what: a model that may plan, a scorer of sentences, vectors of queries."""

    name: StrategyName = "single"
    agent: AgentOptions = field(default_factory=AgentOptions)
    model: ChatModel | None = None
    scorer: Scorer | None = None
    embed: Embed | None = None


class SinglePass:
    """One search, and nothing after it."""

    def __init__(self, gatherer: Gathers) -> None:
        self._gatherer = gatherer

    def gather(self, query: Query, kinds: Sequence[Kind], deadline: Deadline) -> Gathered:  # noqa: ARG002 - one pass
        return self._gatherer.gather(query, kinds)


class LoopStrategy:
    """A strategy that searches again when the rules say that something is missing."""

    def __init__(self, library: Library, gatherer: Gathers, options: StrategyOptions) -> None:
        self._library, self._gatherer, self._options = library, gatherer, options
        self._grader = Grader(options.scorer)

    def gather(self, query: Query, kinds: Sequence[Kind], deadline: Deadline) -> Gathered:
        parallel = self._library.settings.store.kind == "server"
        with LibraryTools(self._gatherer, self._library, parallel=parallel) as tools:
            result = self._run(query, kinds, tools, deadline)
            words = tools.evidence.budget_words
        # Follow-up notes come behind those of the single pass, which already name the patient's records.
        return Gathered(Evidence(result.hits, result.dropped, words, result.notes), result.events, result.state.doubt)

    def _run(self, query: Query, kinds: Sequence[Kind], tools: LibraryTools, deadline: Deadline) -> AgentResult:
        options = self._options
        helpers = Helpers(tools, self._grader, options.embed)
        session = Session(query, kinds, helpers, _with_rounds(options), deadline)
        return _RUNS[options.name](session, Minds(Planner(split_question, asks_what_is_shown), options.model))


def make_strategy(library: Library, selector: Selector, gather: GatherOptions, options: StrategyOptions) -> Strategy:
    """The strategy of a name over a library."""
    gatherer = Gatherer(library, selector, gather)
    if options.name == "single":
        return SinglePass(gatherer)
    return LoopStrategy(library, gatherer, options)


def strategy_options(settings: Settings, scorer: Scorer | None, embed: Embed | None = None) -> StrategyOptions:
    """The strategy that the settings name, with their budget; the model of `vlm` plans where they say so.

    `embed` tells a model's queries from those that mean the same; the planner's own never do.
    """
    agent, answer = settings.agent, settings.answer
    k = answer.k if settings.select.kind == "fixed" else settings.select.most
    options = AgentOptions(
        Budget(agent.steps, agent.searches, agent.model_calls, agent.tokens, agent.seconds),
        MergeOptions(k, agent.extra, answer.budget_words),
        workers=4 if settings.store.kind == "server" else 1,
        content=agent.trace_content,
    )
    model = None
    if agent.planner == "vlm" and agent.strategy != "single":
        from pipelines.answering import opened

        model = opened(settings.vlm)
    return StrategyOptions(agent.strategy, options, model, scorer, embed if model is not None else None)


def query_vectors(channels: Callable[[], Sequence[Channel]]) -> Embed:
    """Vectors of queries in the channel "dense", whose encoder is loaded when the first is asked for.

    A library without that channel takes no two queries for one by their meaning.
    """

    def embed(texts: Sequence[str]) -> Matrix:
        encoder = next((channel.encoder for channel in channels() if channel.name == "dense"), None)
        if encoder is None:
            return np.eye(len(texts), dtype=np.float32)
        rows = encoder.encode_queries([Query(text=text) for text in texts])
        nothing = np.zeros((1, encoder.spec.dim), np.float32)
        return np.concatenate([nothing if row is None else np.asarray(row, np.float32).reshape(1, -1) for row in rows])

    return embed


def parse_strategy(name: str) -> StrategyName:
    """A strategy by its exact name. Raises ConfigError that lists them."""
    for known in NAMES:
        if name == known:
            return known
    raise ConfigError(f"there is no strategy {name!r}; strategies are: {', '.join(NAMES)}")


def _with_rounds(options: StrategyOptions) -> AgentOptions:
    """The options with the rounds that a published strategy needs; the other limits stay."""
    if options.name not in _ROUNDS_OF_THEIR_OWN:
        return options.agent
    steps, searches = _ROUNDS_OF_THEIR_OWN[options.name]
    return replace(options.agent, budget=replace(options.agent.budget, steps=steps, searches=searches))
