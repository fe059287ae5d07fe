"""An answer as the plain mapping that `ask --json` prints."""

from __future__ import annotations

from typing import Any

from rag.grounding.ground import DISCLAIMER
from rag.types import Answer, Box, Citation


def answer_to_dict(answer: Answer) -> dict[str, Any]:
    """The documented output of ask, report and explain; every key is always there, null where it does not apply."""
    return {
        "id": answer.id,
        "answer": answer.text,
        "choice": answer.choice,
        "claims": [
            {
                "text": claim.text,
                "citations": list(claim.citations),
                "support": round(claim.support, 4),
                "checks": dict(claim.checks),
            }
            for claim in answer.claims
        ],
        "citations": [_citation(citation) for citation in answer.citations],
        "abstained": answer.abstained,
        "reason": answer.reason,
        "confidence": round(answer.confidence, 4),
        "disclaimer": DISCLAIMER,
        "stop_reason": answer.stop_reason,
        "seconds": {stage: round(seconds, 4) for stage, seconds in answer.seconds.items()},
        "usage": dict(answer.usage),
    }


def _citation(citation: Citation) -> dict[str, Any]:
    passage = citation.passage
    return {
        "n": citation.n,
        "kind": passage.kind,
        "document": passage.document,
        "page": passage.page,
        "record": passage.record,
        "fact": None if passage.fact is None else list(passage.fact),
        "box": _corners(citation.box),
        "quote": citation.quote,
    }


def _corners(box: Box | None) -> list[float] | None:
    return None if box is None else [round(value, 2) for value in (box.x0, box.y0, box.x1, box.y1)]
