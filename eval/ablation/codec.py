"""What stages make, as JSON values and back. Numbers come back exactly as they were."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from eval.ablation.cache import Json
from eval.gold import unit_of
from pipelines.gathering import Gathered
from pipelines.graph_search import FactWalk
from pipelines.search import SearchResult
from rag.routing import Route
from rag.types import (
    Answer,
    ChannelScore,
    Draft,
    DraftClaim,
    Dropped,
    Evidence,
    Hit,
    Passage,
    SparseVector,
    Vector,
)

Find = Callable[[Sequence[str]], Mapping[str, Passage]]
"""Passages by id."""


def vector_to_json(vector: Vector | None) -> Json:
    """A vector; None for a query that the encoder cannot read."""
    if vector is None:
        return None
    if isinstance(vector, SparseVector):
        return {"indices": list(vector.indices), "values": list(vector.values)}
    rows = np.ascontiguousarray(vector, dtype="<f4")
    return {"shape": list(rows.shape), "f4": base64.b64encode(rows.tobytes()).decode("ascii")}


def vector_from_json(value: Json) -> Vector | None:
    """What `vector_to_json` wrote."""
    if value is None:
        return None
    if "indices" in value:
        return SparseVector(tuple(value["indices"]), tuple(value["values"]))
    rows = np.frombuffer(base64.b64decode(value["f4"]), dtype="<f4").reshape(value["shape"])
    return rows.astype(np.float32)


def hits_to_json(hits: Sequence[Hit]) -> Json:
    """Hits by passage id, score, and rank and score in each channel; passages stay in the library."""
    return [
        [hit.passage.id, hit.score, {name: [one.rank, one.score] for name, one in hit.channels.items()}] for hit in hits
    ]


def hits_from_json(value: Json, find: Find) -> list[Hit]:
    """What `hits_to_json` wrote, with passages that `find` reads."""
    passages = find([row[0] for row in value])
    return [
        Hit(passages[key], score, {name: ChannelScore(*one) for name, one in channels.items()})
        for key, score, channels in value
    ]


def result_to_json(result: SearchResult, depth: int) -> Json:
    """A search result with its first `depth` hits. Seconds are kept beside the value, not in it."""
    route, walk = result.route, result.walk
    return {
        "hits": hits_to_json(result.hits[:depth]),
        "dropped": [[row.reason, *hits_to_json([row.hit])] for row in result.dropped],
        "route": None if route is None else asdict(route),
        "walk": None
        if walk is None
        else {"hits": hits_to_json(walk.hits), "named": walk.named, "shown": walk.shown, "reason": walk.reason},
    }


def result_from_json(value: Json, find: Find, k: int) -> SearchResult:
    """The first k hits of what `result_to_json` wrote."""
    route, walk = value["route"], value["walk"]
    return SearchResult(
        tuple(hits_from_json(value["hits"][:k], find)),
        {},
        None
        if route is None
        else Route(**{**route, **{name: tuple(route[name]) for name in ("reasons", "documents")}}),
        tuple(Dropped(hits_from_json([row], find)[0], reason) for reason, row in value["dropped"]),
        None
        if walk is None
        else FactWalk(
            tuple(hits_from_json(walk["hits"], find)), tuple(walk["named"]), tuple(walk["shown"]), walk["reason"]
        ),
    )


@dataclass(frozen=True, slots=True)
class Selected:
    """The evidence of a question, the share of confidence lost on the way, and what was withheld, by reason."""

    evidence: Evidence
    doubt: float
    withheld: Mapping[str, int]


def gathered_to_json(gathered: Gathered) -> Json:
    """Gathered evidence; what was dropped is counted by reason, not kept."""
    evidence = gathered.evidence
    guard = next((event for event in gathered.events if event.get("step") == "guard"), {})
    return {
        "hits": hits_to_json(evidence.hits),
        "units": [list(unit_of(hit.passage)) for hit in evidence.hits],
        "notes": dict(evidence.notes),
        "budget_words": evidence.budget_words,
        "dropped": len(evidence.dropped),
        "withheld": dict(guard.get("withheld", {})),
        "events": [_plain(event) for event in gathered.events],
        "doubt": gathered.doubt,
    }


def gathered_from_json(value: Json, find: Find) -> Selected:
    """What `gathered_to_json` wrote."""
    evidence = Evidence(tuple(hits_from_json(value["hits"], find)), (), value["budget_words"], value["notes"])
    return Selected(evidence, value["doubt"], value["withheld"])


def draft_to_json(draft: Draft) -> Json:
    """A draft."""
    return {**asdict(draft), "usage": dict(draft.usage)}


def draft_from_json(value: Json) -> Draft:
    """What `draft_to_json` wrote."""
    return Draft(
        tuple(DraftClaim(**claim) for claim in value["claims"]), value["choice"], value["confidence"], value["usage"]
    )


def answer_to_json(answer: Answer) -> Json:
    """An answer as scores and reports read it; passages by id and unit, quotes word for word."""
    return {
        "text": answer.text,
        "choice": answer.choice,
        "abstained": answer.abstained,
        "reason": answer.reason,
        "confidence": answer.confidence,
        "stop_reason": answer.stop_reason,
        "claims": [
            {"text": one.text, "citations": list(one.citations), "support": one.support, "checks": dict(one.checks)}
            for one in answer.claims
        ],
        "citations": [
            {"n": one.n, "passage": one.passage.id, "unit": list(unit_of(one.passage)), "quote": one.quote}
            for one in answer.citations
        ],
        "evidence": [evidence_row(hit) for hit in answer.evidence.hits],
        "usage": dict(answer.usage),
        "failed_checks": [list(event.get("failed", ())) for event in answer.trace if event.get("step") == "ground"],
    }


def evidence_row(hit: Hit, words: int = 60) -> dict[str, Any]:
    """A piece of evidence for a reader: where it stands, and how it begins."""
    passage = hit.passage
    return {
        "passage": passage.id,
        "unit": list(unit_of(passage)),
        "kind": passage.kind,
        "document": passage.document,
        "page": passage.page,
        "record": passage.record,
        "fact": None if passage.fact is None else list(passage.fact),
        "score": hit.score,
        "text": " ".join(passage.text.split()[:words]),
    }


def _plain(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event without what a clock says: two runs of one question give the same."""
    return {key: value for key, value in event.items() if "second" not in key}
