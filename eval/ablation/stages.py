"""The stages of a question in a cell: each looks its result up under its key, and computes it when it is not there.

The search, the gathering, the generator and the checks are the system's own; only what they ask for is remembered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from eval.ablation.cache import Json, Need
from eval.ablation.codec import (
    Find,
    Selected,
    answer_to_json,
    draft_from_json,
    draft_to_json,
    gathered_from_json,
    gathered_to_json,
    hits_from_json,
    hits_to_json,
    result_from_json,
    result_to_json,
    vector_from_json,
    vector_to_json,
)
from eval.ablation.keys import Keys, SearchNeeds, shown_to_walk
from eval.ablation.system import JUDGED_DEPTH, System
from eval.ablation.work import Work
from eval.ablation.wrapping import (
    ListRequest,
    PassageShelf,
    RememberedEncoder,
    RememberedReranker,
    RememberedStore,
    is_candidate_list,
)
from eval.datasets import QueryItem
from eval.gold import rank_units
from eval.leakage import SameOrigin
from pipelines.checking import reviser_of
from pipelines.library import Library
from pipelines.search import SearchEngine, SearchResult, Withhold
from pipelines.strategies import make_strategy
from rag.chat import Deadline
from rag.grounding.ground import ground
from rag.leakage import Guarded, search_guarded
from rag.retrievers import Channel
from rag.types import KINDS, Evidence, Hit, Kind, Passage, Query, Vector


class Stages:
    """The stages over all cells of a run. `depths` are the greatest list and rank depths that any cell needs."""

    def __init__(self, work: Work, keys: Keys, depths: Mapping[str, int] | None = None) -> None:
        self.work, self.keys = work, keys
        self.depths = dict(depths or {})
        self._shelves: dict[int, PassageShelf] = {}
        self._guard = SameOrigin()

    def find(self, system: System) -> PassageShelf:
        """The passages of a cell's library."""
        return self._shelves.setdefault(id(system.opened), PassageShelf(system.opened.library.store))

    def ranking(
        self, system: System, query: Query, needs: SearchNeeds, kinds: Sequence[Kind], withhold: Withhold | None = None
    ) -> SearchResult:
        """The first hits of a search, as deep as its need is."""
        deepest = max(needs.rank.depth, self.depths.get("rank", 0))
        find = self.find(system)

        def compute() -> Json:
            engine = self._engine(system, query, needs)
            result = engine.search(query, k=deepest, kinds=kinds, withhold=withhold)
            find.keep(result.hits)
            return result_to_json(result, deepest)

        value = self.work.once(replace(needs.rank, depth=deepest), compute)
        return result_from_json(value, find, needs.rank.depth)

    def judged(self, system: System, item: QueryItem, kinds: Sequence[Kind]) -> Mapping[str, Any]:
        """A ranking of units without what the guard withholds, and how much that is."""
        kinds = system.kinds(kinds)
        needs = self.keys.search(system, item.query, kinds, system.searched_depth)
        need = self.keys.guard(system, item, kinds, JUDGED_DEPTH)

        def compute() -> Json:
            hits = self.ranking(system, item.query, needs, kinds).hits

            def clean(found: Sequence[Hit]) -> Guarded:
                return self._guard(item, found) if system.switches.guard else Guarded(tuple(found))

            kept = search_guarded(lambda n: hits[:n], clean, JUDGED_DEPTH, system.searched_depth)
            ranked = rank_units(kept.kept, item.named)
            return {"ranked": [[list(one.unit), one.score] for one in ranked], "withheld": dict(kept.counts)}

        found: Mapping[str, Any] = self.work.once(need, compute)
        return found

    def selected(self, system: System, query: Query, kinds: Sequence[Kind]) -> tuple[Need, Mapping[str, Any]]:
        """The evidence of a question, and its key."""
        kinds = system.kinds(kinds)
        need = self.keys.select(system, query, kinds)

        def compute() -> Json:
            library = _StagedLibrary(self, system, query)
            steps = system.steps
            strategy = make_strategy(library, steps.selector, steps.gather, steps.strategy)
            deadline = Deadline.after(steps.strategy.agent.budget.seconds)
            return gathered_to_json(strategy.gather(query, kinds, deadline))

        return need, self.work.once(need, compute)

    def answered(
        self, system: System, query: Query, evidence: tuple[Need, Callable[[], Json]], repeat: int = 0
    ) -> Mapping[str, Any]:
        """The checked answer from some evidence, which is read only when the answer is not there."""
        generate = self.keys.generate(system, query, evidence[0], repeat)
        known: list[Selected] = []

        def chosen() -> Selected:
            if not known:
                known.append(gathered_from_json(evidence[1](), whole_passages(system)))
            return known[0]

        def draft() -> Json:
            shown = self._seen(system, chosen().evidence)
            need = self.keys.draft(system, query, shown, repeat)
            return self.work.once(need, lambda: draft_to_json(system.steps.generator.generate(query, shown)))

        def check() -> Json:
            found = chosen()
            drafted = draft_from_json(self.work.once(generate, draft))
            drafted = replace(drafted, confidence=drafted.confidence * (1 - found.doubt))
            steps = system.steps
            answer = ground(query, drafted, found.evidence, steps.judge, steps.policy, reviser_of(steps.generator))
            return {**answer_to_json(answer), "withheld": dict(found.withheld)}

        found: Mapping[str, Any] = self.work.once(self.keys.ground(system, generate), check)
        return found

    def _seen(self, system: System, evidence: Evidence) -> Evidence:
        """The evidence as the writer sees it: of `image`, only the beginning of each text that has a picture."""
        if system.switches.evidence != "image" or not system.asks_model:
            return evidence
        hits = [replace(hit, passage=_first_words(hit.passage)) for hit in evidence.hits]
        return replace(evidence, hits=tuple(hits))

    def _engine(self, system: System, query: Query, needs: SearchNeeds) -> SearchEngine:
        """The system's search on collaborators that remember what this query gave.

        Lists of channels that cannot read the query are noted as such, so that a plan's count is the run's.
        """
        vectors = {name: self._vector(query, needs, name) for name in needs.encode}
        for (_, name), need in needs.lists.items():
            if vectors[name] is None:
                self.work.once(replace(need, depth=max(need.depth, self.depths.get("lists", 0))), list)

        def remember(request: ListRequest, depth: int) -> list[Hit] | None:
            need = needs.lists.get((request.kind, request.channel))
            if need is None or ("id" in request.filters and not is_candidate_list(request.channel, request.filters)):
                return None
            return self._list(system, need, request, depth)

        store = RememberedStore(system.opened.library.store, remember)
        reranker = system.engine.reranker
        if reranker is not None and needs.rerank is not None:
            reranker = RememberedReranker(reranker, lambda compute: self._order(needs, compute))
        return system.engine.over(store, _remembering(system, vectors), reranker)

    def _vector(self, query: Query, needs: SearchNeeds, name: str) -> Vector | None:
        encoder = needs.used[name].encoder
        value = self.work.once(needs.encode[name], lambda: vector_to_json(encoder.encode_queries([query])[0]))
        return vector_from_json(value)

    def _list(self, system: System, need: Need, request: ListRequest, depth: int) -> list[Hit]:
        exact = request.prefetch is None
        deepest = max(depth, self.depths.get("lists", 0)) if exact else depth
        find = self.find(system)

        def compute() -> Json:
            store = system.opened.library.store
            hits = store.search(
                request.kind, request.channel, request.vector, deepest, request.filters, request.prefetch
            )
            find.keep(hits)
            return hits_to_json(hits)

        value = self.work.once(replace(need, depth=deepest), compute)
        return hits_from_json(value[:depth], find)

    def _order(self, needs: SearchNeeds, compute: Callable[[], list[Hit]]) -> list[tuple[str, float]]:
        assert needs.rerank is not None
        value = self.work.once(needs.rerank, lambda: [[hit.passage.id, hit.score] for hit in compute()])
        return [(key, score) for key, score in value]


class _StagedLibrary(Library):
    """A library whose searches for one question are remembered. It shares the store of the library it stands for."""

    def __init__(self, stages: Stages, system: System, question: Query) -> None:
        # Not by the library's own __init__, which would wire encoders once more for every question.
        base = system.opened.library
        self.folder, self.settings, self.manifest = base.folder, system.settings, base.manifest
        self._store, self._engine, self._parts = base.store, system.engine, system.parts
        self._stages, self._system, self._question = stages, system, question
        self._thread = threading.get_ident()

    def search_timed(
        self,
        query: Query,
        *,
        k: int,
        kinds: Sequence[Kind] = KINDS,
        rerank: bool | None = None,
        withhold: Withhold | None = None,
    ) -> SearchResult:
        """As the library's own. What a loop searches in threads of its own is a part of its one stage."""
        system = self._system
        if threading.get_ident() != self._thread or rerank is not None:
            plain = system.engine.over(self.store, system.channels, system.engine.reranker)
            return plain.search(query, k=k, kinds=kinds, withhold=withhold)
        shown = shown_to_walk(system, replace(self._question, images=query.images)) if query.images else None
        needs = self._stages.keys.search(system, query, kinds, max(k, system.gathered_depth), shown)
        result = self._stages.ranking(system, query, needs, kinds, withhold)
        return replace(result, hits=result.hits[:k])


def whole_passages(system: System) -> Find:
    """Passages with their word boxes, as an answer's evidence has them."""
    library = system.opened.library
    return lambda ids: {passage.id: passage for passage in library.get(list(ids))}


def _remembering(system: System, vectors: Mapping[str, Vector | None]) -> list[Channel]:
    return [
        replace(one, encoder=RememberedEncoder(one.encoder, vectors[one.name])) if one.name in vectors else one
        for one in system.channels
    ]


def _first_words(passage: Passage, words: int = 12) -> Passage:
    return replace(passage, text=" ".join(passage.text.split()[:words])) if passage.images else passage
