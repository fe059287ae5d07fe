"""Does an answer depend on its evidence as it should? Probes of copying, of over-reliance, and of support. Pure.

Copy-reference: a report or answer that repeats a retrieved reference instead of describing what was asked is a failure
that MMed-RAG (Xia et al., ICLR 2025, https://arxiv.org/abs/2410.13085) and RULE (Xia et al., EMNLP 2024,
https://arxiv.org/abs/2407.05131) describe: the model relies on what was retrieved though it is about another patient.
Over-reliance and its opposite are seen by exchanging the evidence: an answer that stays the same did not come from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean

from rag.grounding.resolving import best_span
from rag.protocols import Generator, Judge
from rag.sentences import content_stems, words
from rag.types import Answer, Draft, DraftClaim, Evidence, Query

_GRAM = 5
"""Words of a run that two texts hardly share by chance."""


@dataclass(frozen=True, slots=True)
class Copying:
    """How much of an answer stands word for word in its references, as shares of its n-grams in [0, 1].

    quoted: in the words that it quotes openly, which is no fault. copied: elsewhere in a passage of the evidence,
    without being quoted. longest: words of the longest unquoted run.
    """

    quoted: float
    copied: float
    longest: int


@dataclass(frozen=True, slots=True)
class Reliance:
    """What becomes of a draft when its evidence is exchanged, all in [0, 1].

    kept: share of the content words of the first draft that the second says too; 1 means that the evidence did not
    matter. follows: share of the second draft's claims that the new evidence supports. stuck: share of the first
    draft's claims that the second repeats although the new evidence does not support them. confidence_lost: how much
    less sure the second is.
    """

    kept: float
    follows: float
    stuck: float
    confidence_lost: float


def copying(answer: Answer, n: int = _GRAM) -> Copying:
    """What of an answer's text is quoted, and what is copied beyond its quotes."""
    text = [words(claim.text) for claim in answer.claims]
    grams = [gram for claim in text for gram in _grams(claim, n)]
    quoted = {gram for citation in answer.citations for gram in _grams(words(citation.quote), n)}
    evidence = {gram for hit in answer.evidence.hits for gram in _grams(words(hit.passage.text), n)}
    if not grams:
        return Copying(0.0, 0.0, 0)
    unquoted = [gram in evidence and gram not in quoted for gram in grams]
    longest = max((_longest_run(claim, evidence - quoted, n) for claim in text), default=0)
    return Copying(sum(gram in quoted for gram in grams) / len(grams), sum(unquoted) / len(grams), longest)


def reliance(generator: Generator, query: Query, evidence: Evidence, other: Evidence, judge: Judge) -> Reliance:
    """The same question drafted from its evidence and from other evidence, compared."""
    first, second = generator.generate(query, evidence), generator.generate(query, other)
    ours = {stem for claim in first.claims for stem in content_stems(claim.text)}
    theirs = {stem for claim in second.claims for stem in content_stems(claim.text)}
    repeated = [claim for claim in first.claims if any(_says(row, claim) for row in second.claims)]
    stuck = [claim for claim in repeated if _support(claim, other, judge) < 0.5]
    return Reliance(
        kept=len(ours & theirs) / len(ours) if ours else 0.0,
        follows=mean(_support(claim, other, judge) for claim in second.claims) if second.claims else 1.0,
        stuck=len(stuck) / len(first.claims) if first.claims else 0.0,
        confidence_lost=max(0.0, first.confidence - second.confidence),
    )


def evidence_support(draft: Draft, evidence: Evidence, judge: Judge) -> float:
    """Mean over the claims of the best support that any passage of some evidence gives; in [0, 1].

    With the evidence of another question, or with evidence that says the opposite, it must fall.
    """
    return mean(_support(claim, evidence, judge) for claim in draft.claims) if draft.claims else 0.0


def exchanged(evidence: Sequence[Evidence]) -> list[Evidence]:
    """The evidence of several questions, each given to the next one; passages of its own question are taken out."""
    moved = [*evidence[1:], *evidence[:1]]
    kept = []
    for own, other in zip(evidence, moved, strict=True):
        ids = {hit.passage.id for hit in own.hits}
        kept.append(replace(other, hits=tuple(hit for hit in other.hits if hit.passage.id not in ids)))
    return kept


def _support(claim: DraftClaim, evidence: Evidence, judge: Judge) -> float:
    spans = [best_span(claim.text, hit.passage, judge) for hit in evidence.hits if hit.passage.text.strip()]
    return max((span.support for span in spans if span is not None), default=0.0)


def _says(row: DraftClaim, claim: DraftClaim) -> bool:
    wanted = set(content_stems(claim.text))
    return bool(wanted) and len(wanted & set(content_stems(row.text))) >= 0.8 * len(wanted)


def _grams(text: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]


def _longest_run(text: Sequence[str], copied: set[tuple[str, ...]], n: int) -> int:
    best = run = 0
    for gram in _grams(text, n):
        run = run + 1 if gram in copied else 0
        best = max(best, run + n - 1 if run else 0)
    return best
