"""A library as parts of llama-index: retrievers, a query engine, an agent's tools, and documents.

Nothing here asks a language model of llama-index, so none has to be configured.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pipelines.adapters.llama_index_nodes import cited_nodes, defused, hit_node, passage_document
from pipelines.agent_tools import Gathers
from pipelines.assistant import Assistant
from pipelines.gathering import Gatherer
from rag.agent.actions import KIND_OF
from rag.errors import MissingExtra, QueryError, UsageError
from rag.grounding.render import answer_to_dict
from rag.types import KINDS, Answer, Evidence, FactLocator, Kind, Passage, Query

try:
    from llama_index.core.base.base_query_engine import BaseQueryEngine
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.base.response.schema import Response
    from llama_index.core.bridge.pydantic import BaseModel, Field
    from llama_index.core.callbacks import CallbackManager
    from llama_index.core.schema import Document, NodeWithScore, QueryBundle
    from llama_index.core.tools import FunctionTool, QueryEngineTool
except ImportError as error:
    raise MissingExtra("llama-index", feature="the library as parts of llama-index") from error

if TYPE_CHECKING:
    from pipelines.library import Library
    from rag.leakage import Guard

_TOOL_CHARACTERS = 4000
"""Of one passage in a tool's output; its id leads to the whole."""
_READ_BATCH = 256
_DESCRIPTIONS: Mapping[str, str] = {
    "search_pages": "Pages of the textbooks that say something about the query, with document and page number.",
    "search_figures": "Figures of the textbooks by their captions, with document, page number and box.",
    "search_cases": "Cases with image and report that resemble what the query describes, with their record ids.",
    "search_facts": "Facts of the knowledge graph (head, relation, tail); polarity says present, absent or uncertain.",
}
_ASK = (
    "Answers a medical question from the library. Every sentence is cited and checked; [n] points to a source. "
    "An answer that begins with 'No answer' means that the library does not say."
)

_TURNS: WeakKeyDictionary[Library, threading.Lock] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Scope:
    """What a question is about, beyond the text that llama-index passes on; see `rag.types.Query`.

    `images` belong to every question asked within this scope, such as those of an agent that works on one study: a
    model never names files itself.
    """

    kinds: tuple[Kind, ...] = KINDS
    images: tuple[str | Path, ...] = ()
    options: tuple[str, ...] = ()
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    domain: str | None = None
    patient: str | None = None
    before_day: float | None = None

    def query(self, bundle: QueryBundle | str) -> Query:
        """The question of a bundle: its text and image. Its embeddings are another encoder's and are not used.

        Raises:
            QueryError: it has neither a text nor an image.
        """
        asked = QueryBundle(bundle) if isinstance(bundle, str) else bundle
        images = (*self.images, *((asked.image_path,) if asked.image_path else ()))
        if not asked.query_str.strip() and not images:
            raise QueryError("the question is empty; ask something, or give an image")
        return Query(
            text=asked.query_str, images=tuple(map(Path, images)), options=self.options, patient=self.patient,
            filters=self.filters, before_day=self.before_day, domain=self.domain,
        )  # fmt: skip


class _PassageRetriever(BaseRetriever):  # type: ignore[misc]  # llama-index is not type-checked
    """Nodes of what `_found` gives, in its order; asked asynchronously, it searches in a thread."""

    def __init__(self, library: Library, scope: Scope | None) -> None:
        self._library, self._scope = library, scope or Scope()
        super().__init__()

    def _found(self, query: Query) -> Evidence:
        raise NotImplementedError

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        with _turn(self._library):
            found = self._found(self._scope.query(query_bundle))
        notes = {passage_id: {"note": note} for passage_id, note in found.notes.items()}
        return [hit_node(hit, rank, **notes.get(hit.passage.id, {})) for rank, hit in enumerate(found.hits, start=1)]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)


class LibraryRetriever(_PassageRetriever):
    """What `Library.search` finds, in its order. Nothing is withheld or selected: see `EvidenceRetriever`."""

    def __init__(
        self, library: Library, *, k: int = 10, scope: Scope | None = None, rerank: bool | None = None
    ) -> None:
        """`rerank` overrides the library's settings."""
        super().__init__(library, scope)
        self._k, self._rerank = k, rerank

    def _found(self, query: Query) -> Evidence:
        return Evidence(tuple(self._library.search(query, self._k, self._scope.kinds, rerank=self._rerank)))


class EvidenceRetriever(_PassageRetriever):
    """What an answer is drawn from: searched, guarded, selected, a patient's earlier records first.

    The note that goes with a record (when it was written, with what it compares) is metadata "note".
    """

    def __init__(self, library: Library, gatherer: Gathers | None = None, *, scope: Scope | None = None) -> None:
        """Without a gatherer, one as the library's settings say; see `gatherer_of` for one with a guard."""
        super().__init__(library, scope)
        self._gatherer = gatherer or gatherer_of(library)

    def _found(self, query: Query) -> Evidence:
        return self._gatherer.gather(query, self._scope.kinds).evidence


@dataclass
class GroundedResponse(Response):  # type: ignore[misc]
    """An answer of ours as a response. `metadata` is what `vesalius ask --json` prints, and the ids of the evidence.

    `source_nodes` are the cited passages in order of their numbers, none when it abstained; each has its citations
    (number, quote, box) in its metadata. Printed, it shows its sources.
    """

    answer: Answer | None = None

    @property
    def abstained(self) -> bool:
        """Whether there is no answer; the text then says why."""
        return self.answer is not None and self.answer.abstained

    def __str__(self) -> str:
        citations = self.answer.citations if self.answer else ()
        sources = (f"[{citation.n}] {_place(citation.passage)}" for citation in citations)
        return defused("\n".join((self.response or "", *sources)))


class AssistantQueryEngine(BaseQueryEngine):  # type: ignore[misc]
    """Answers through our assistant: its claims and checked citations, or an abstention."""

    def __init__(self, library: Library, assistant: Assistant | None = None, *, scope: Scope | None = None) -> None:
        self._library, self._assistant = library, assistant or Assistant(library)
        self._scope = scope or Scope()
        super().__init__(CallbackManager([]))

    def _get_prompt_modules(self) -> dict[str, Any]:
        return {}

    def _query(self, query_bundle: QueryBundle) -> GroundedResponse:
        with _turn(self._library):
            answer = self._assistant.ask(self._scope.query(query_bundle), kinds=self._scope.kinds)
        shown = {**answer_to_dict(answer), "evidence": [hit.passage.id for hit in answer.evidence.hits]}
        return GroundedResponse(answer.text, cited_nodes(answer), shown, answer)

    async def _aquery(self, query_bundle: QueryBundle) -> GroundedResponse:
        return await asyncio.to_thread(self._query, query_bundle)


def library_tools(library: Library, *, scope: Scope | None = None, guard: Guard | None = None) -> list[Any]:
    """An agent's tools: a search for each kind of the scope, and `ask`.

    They take a text and nothing else: no file, filter or patient that a model names has any effect. Searches go through
    the gatherer, so guard, router and selector hold for them. A search's output is JSON and its `raw_output` the nodes;
    the `raw_output` of `ask` is the `GroundedResponse`.
    """
    within = scope or Scope()
    gatherer = gatherer_of(library, guard)
    searches = [
        _search_tool(name, EvidenceRetriever(library, gatherer, scope=replaced(within, kinds=(kind,), options=())))
        for name, kind in KIND_OF.items()
        if kind in within.kinds
    ]
    engine = AssistantQueryEngine(library, Assistant(library, guard=guard), scope=within)
    return [*searches, QueryEngineTool.from_defaults(engine, name="ask", description=_ASK)]


def as_documents(library: Library, kind: Kind) -> Iterator[Document]:
    """Every passage of a kind as a llama-index document, by id, to be indexed elsewhere.

    Vector stores take flat metadata only: boxes and facts are JSON texts here.

    Raises:
        UsageError: there is no such kind.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no kind {kind!r}; kinds are: {', '.join(KINDS)}")
    return map(passage_document, _passages(library, kind))


def gatherer_of(library: Library, guard: Guard | None = None) -> Gatherer:
    """What gathers evidence as the library's settings say; `guard` as for `Assistant`."""
    steps = library.parts.steps()
    options = steps.gather if guard is None else replaced(steps.gather, guard=guard)
    return Gatherer(library, steps.selector, options)


def _turn(library: Library) -> AbstractContextManager[object]:
    """An engine in this process keeps what it read without a lock, so there searches take turns."""
    if library.settings.store.kind == "server":
        return nullcontext()
    return _TURNS.setdefault(library, threading.Lock())


def _passages(library: Library, kind: Kind) -> Iterator[Passage]:
    with _turn(library):
        ids = iter(list(library.store.ids(kind)))
    while batch := list(islice(ids, _READ_BATCH)):
        with _turn(library):
            passages = library.get(batch)
        yield from passages


class _Asked(BaseModel):  # type: ignore[misc]
    query: str = Field(description="a few words or a question", min_length=1, max_length=300)


def _search_tool(name: str, retriever: EvidenceRetriever) -> FunctionTool:
    def search(query: str) -> list[NodeWithScore]:
        found: list[NodeWithScore] = retriever.retrieve(query)
        return found

    return FunctionTool.from_defaults(
        search, name=name, description=_DESCRIPTIONS[name], fn_schema=_Asked, callback=_rows
    )


def _rows(nodes: Sequence[NodeWithScore]) -> str:
    """Nodes as JSON: a text of a source cannot end its own string, so it cannot pass for another hit."""
    rows = []
    for found in nodes:
        text = found.node.text
        shown = {name: value for name, value in found.node.metadata.items() if name != "channels"}
        cut = {"cut": True} if len(text) > _TOOL_CHARACTERS else {}
        rows.append({**shown, "text": text[:_TOOL_CHARACTERS], **cut})
    return defused(json.dumps({"hits": rows}, ensure_ascii=False))


def _place(passage: Passage) -> str:
    """Where a passage stands; a denied fact must not read as a fact."""
    where = {"page": passage.page, "record": passage.record}
    if isinstance(passage.locator, FactLocator):
        polarity = passage.locator.polarity
        where["fact" if polarity == "present" else f"{polarity} fact"] = " | ".join(passage.fact or ())
    return ", ".join((passage.document, *(f"{name} {value}" for name, value in where.items() if value is not None)))
