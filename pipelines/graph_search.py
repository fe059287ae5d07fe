"""Facts by graph walk: from the concepts that a question names, or that cases like its image show, to citable facts.

One more ranked list of facts beside those found by vectors. It is gated: a question that names no concept of the graph,
and whose image is like no case with findings, gets an empty list and the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from knowledge.asked_relations import asked_relations
from knowledge.walking import Walked, WalkOptions, walk
from pipelines.graph_library import LibraryGraph, case_key, fact_passages
from rag.protocols import Store
from rag.types import ChannelScore, Hit, Kind, Passage, Query, Vector

GRAPH = "graph"
"""The channel of facts that a walk came to."""
_FACT: Kind = "fact"
_FINDING = "has_finding"


@dataclass(frozen=True, slots=True)
class FactWalkOptions:
    """How facts are found by walking.

    channel: fact channel whose cosines say how near a fact is to the question. nearest: least cosine of a fact that is
    kept. cases: the most similar cases whose findings are seeds for an image, each of `case_weight` of a named concept.
    repeat: factor on the score for each better fact with the same head and relation, so that one disease's forty
    phenotypes do not fill the list.
    """

    walk: WalkOptions = field(default_factory=WalkOptions)
    channel: str = "dense"
    nearest: float = 0.5
    cases: int = 5
    case_weight: float = 0.3
    repeat: float = 0.9


@dataclass(frozen=True, slots=True)
class FactWalk:
    """What a walk found: hits, best first; the concepts it began at; and why it found nothing, if so."""

    hits: tuple[Hit, ...] = ()
    named: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    reason: str = ""

    def lists(self) -> dict[str, list[Hit]]:
        """The hits as a channel's ranked list; none when there are none."""
        return {GRAPH: list(self.hits)} if self.hits else {}

    def trace(self) -> dict[str, object]:
        """The walk as JSON values; concepts are names of the library, not words of the question."""
        return {
            "step": "graph",
            "named": list(self.named),
            "shown": list(self.shown),
            "found": len(self.hits),
            "reason": self.reason,
        }


class FactWalker:
    """Walks a library's graph for a question."""

    def __init__(self, graph: LibraryGraph, store: Store, options: FactWalkOptions | None = None) -> None:
        self._graph, self._store = graph, store
        self._options = options or FactWalkOptions()

    def walk(self, query: Query, vectors: Mapping[str, Vector], cases: Sequence[Hit] = ()) -> FactWalk:
        """Facts near to what the question names and, for an image, to what `cases` (found for it, best first) show."""
        named = {link.concept: link.score for link in self._graph.link(query.text)}
        shown = self._shown(cases) if query.images else {}
        seeds = {**shown, **named}
        near = walk(self._graph.graph, seeds, self._options.walk, asked_relations(query.text))
        if not near:
            reason = "the graph holds no concept that is named" + (" or shown by like cases" if query.images else "")
            return FactWalk((), tuple(named), tuple(shown), reason)
        hits = self._hits(query, vectors, near)
        reason = "" if hits else "no fact on the way is near to the question"
        return FactWalk(hits, tuple(named), tuple(shown), reason)

    def _shown(self, cases: Sequence[Hit]) -> dict[str, float]:
        """Findings of the most similar cases, as seeds: the more of these cases have one, the more it weighs."""
        found: Counter[str] = Counter()
        for hit in cases[: self._options.cases]:
            for triple in self._graph.graph.triples_of(case_key(hit.passage)):
                if triple.relation == _FINDING and triple.polarity == "present":
                    found[triple.tail] += 1
        most = max(found.values(), default=1)
        return {key: self._options.case_weight * count / most for key, count in found.items()}

    def _hits(self, query: Query, vectors: Mapping[str, Vector], near: Sequence[Walked]) -> tuple[Hit, ...]:
        nearness = {one.triple: one.nearness for one in near}
        facts = fact_passages(self._graph.graph, [one.triple for one in near])
        if not facts:
            return ()
        vector = vectors.get(self._options.channel)
        wanted = {**query.filters, "id": tuple(facts)}
        if vector is None:
            scored = [(passage, nearness[facts[passage.id]]) for passage in self._store.get(list(facts))]
        else:
            found = self._store.search(_FACT, self._options.channel, vector, len(facts), wanted)
            scored = [
                (hit.passage, hit.score * nearness[facts[hit.passage.id]])
                for hit in found
                if hit.score >= self._options.nearest
            ]
        return self._ranked(scored)

    def _ranked(self, scored: Sequence[tuple[Passage, float]]) -> tuple[Hit, ...]:
        seen: Counter[tuple[str, str]] = Counter()
        damped: list[tuple[float, Passage]] = []
        for passage, score in sorted(scored, key=lambda row: (-row[1], row[0].id)):
            head, relation, _ = passage.fact or ("", "", "")
            damped.append((score * self._options.repeat ** seen[(head, relation)], passage))
            seen[(head, relation)] += 1
        damped.sort(key=lambda row: (-row[0], row[1].id))
        return tuple(
            Hit(passage, score, {GRAPH: ChannelScore(rank, score)})
            for rank, (score, passage) in enumerate(damped, start=1)
        )
