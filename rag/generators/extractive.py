"""Answers without a language model: the sentences of the evidence that answer, quoted word for word."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from rag.errors import ConfigError
from rag.generators.candidates import Candidate, candidates_of
from rag.generators.choice import ChoiceOptions, choose
from rag.generators.question import asks_what_is_shown, split_question
from rag.generators.scoring import LexicalScorer, SentenceScorer, sigmoid
from rag.sentences import content_stems
from rag.types import Draft, DraftClaim, Evidence, Query


@dataclass(frozen=True, slots=True)
class ExtractiveOptions:
    """How sentences are picked. `midpoint` and `scale` belong to the scorer, the rest does not depend on it.

    midpoint, scale: a score s means the sentence answers with probability 1 / (1 + exp(-(s - midpoint) / scale)).
        The defaults are for the ms-marco cross-encoder's logit. Measured on 128 review questions of two textbooks with
        BM25's 8 best pages: at probability 0.5 it answers 83 %, 88 % of these citing the right section, and none of 20
        questions outside medicine and 10 medical ones that the books do not treat; odd and even questions agree.
    prefilter: sentences per question part that the scorer reads, the best by word overlap.
    rank_weight: log-odds that a sentence loses per unit of ln(1 + rank) of its passage.
    extra_share: a further claim needs this share of the best probability, after `novelty` was taken off: the log-odds
        lost by a sentence that only repeats the words of those picked before.
    """

    max_claims: int = 3
    prefilter: int = 24
    midpoint: float = 0.0
    scale: float = 1.5
    rank_weight: float = 0.2
    extra_share: float = 0.75
    novelty: float = 4.0
    choice: ChoiceOptions = field(default_factory=ChoiceOptions)

    def __post_init__(self) -> None:
        if self.max_claims < 1 or self.prefilter < 1:
            raise ConfigError("generator: max_claims and prefilter must be at least 1")
        if self.scale <= 0:
            raise ConfigError(f"generator: scale is {self.scale}; it must be positive")


LEXICAL_OPTIONS = ExtractiveOptions(midpoint=0.45, scale=0.1, choice=ChoiceOptions(midpoint=0.45, scale=0.1))
"""For `LexicalScorer`, whose scores are shares in [0, 1]. On the same questions two thirds are answered, 77 % of
these citing the right section, and 1 of the 20 and 3 of the 10: use it where no model can be loaded."""


class ExtractiveGenerator:
    """Quotes the sentences that answer each part of a question, or argues for one option of a multiple choice.

    `scorer` says how well a sentence answers; word overlap only decides which sentences it reads.
    """

    def __init__(self, scorer: SentenceScorer, options: ExtractiveOptions | None = None) -> None:
        self.scorer = scorer
        self.options = options or ExtractiveOptions()

    def generate(self, query: Query, evidence: Evidence) -> Draft:
        candidates = candidates_of(evidence)
        if not candidates:
            return Draft(())
        if query.options:
            return choose(query, candidates, self.scorer, self.options.choice)
        if query.images and asks_what_is_shown(query.text):
            pictured = [candidate for candidate in candidates if candidate.passage.kind in {"case", "figure"}]
            return self._from_images(pictured or candidates)
        parts = split_question(query.text)
        picked = [self._ranked(part, candidates) for part in parts]
        chosen = self._pick(picked)
        confidence = sum(sigmoid(ranked[0][1]) for ranked in picked) / len(picked)
        scored = sum(len(ranked) for ranked in picked)
        return Draft(tuple(_claim(c) for c in chosen), confidence=confidence, usage={"sentences_scored": scored})

    def _ranked(self, question: str, candidates: Sequence[Candidate]) -> list[tuple[Candidate, float]]:
        """The candidates worth reading with their log-odds of answering, best first; ties keep evidence order."""
        options = self.options
        overlap = LexicalScorer().score(question, [candidate.context for candidate in candidates])
        order = sorted(range(len(candidates)), key=lambda i: (-overlap[i], i))[: options.prefilter]
        scores = self.scorer.score(question, [candidates[i].context for i in order])
        rows = [
            (
                candidates[i],
                (score - options.midpoint) / options.scale - options.rank_weight * math.log1p(candidates[i].rank),
            )
            for i, score in zip(order, scores, strict=True)
        ]
        return sorted(rows, key=lambda row: (-row[1], row[0].rank, row[0].index))

    def _pick(self, picked: Sequence[list[tuple[Candidate, float]]]) -> list[Candidate]:
        """The best sentence of each part, then further ones that are nearly as good and say something new.

        Greedy maximal marginal relevance (Carbonell and Goldstein, 1998, https://doi.org/10.1145/290941.291025).
        """
        chosen: list[Candidate] = []
        for ranked in picked:
            if len(chosen) < self.options.max_claims and not any(_same(ranked[0][0], other) for other in chosen):
                chosen.append(ranked[0][0])
        needed = self.options.extra_share * max(sigmoid(ranked[0][1]) for ranked in picked)
        rest = [row for ranked in picked for row in ranked[1:]]
        while len(chosen) < self.options.max_claims and rest:
            worth = [score - self.options.novelty * _repeats(candidate, chosen) for candidate, score in rest]
            best = max(range(len(rest)), key=lambda i: (worth[i], -i))
            if sigmoid(worth[best]) < needed:
                break
            candidate, _ = rest.pop(best)
            if not any(_same(candidate, other) for other in chosen):
                chosen.append(candidate)
        return chosen

    def _from_images(self, candidates: Sequence[Candidate]) -> Draft:
        """For an image and no more than "what does it show?": what the texts of similar passages have in common.

        A sentence counts by the share of its words that the other passages' sentences hold, nearer passages counting
        more. Confidence is (1 + agreement) / 2: similarity itself was judged when the passages were found.
        """
        bags = [frozenset(content_stems(candidate.context)) for candidate in candidates]
        near = [1 / (1 + candidate.rank) for candidate in candidates]
        by_passage: dict[str, frozenset[str]] = {}
        for candidate, bag in zip(candidates, bags, strict=True):
            by_passage[candidate.passage.id] = by_passage.get(candidate.passage.id, frozenset()) | bag
        weight = {candidate.passage.id: share for candidate, share in zip(candidates, near, strict=True)}
        agreement = [
            _agreement(bag, candidate.passage.id, by_passage, weight)
            for candidate, bag in zip(candidates, bags, strict=True)
        ]
        order = sorted(range(len(candidates)), key=lambda i: (-(agreement[i] + near[i]), i))
        chosen: list[Candidate] = []
        for i in order:
            if len(chosen) < self.options.max_claims and _repeats(candidates[i], chosen) < 0.8:
                chosen.append(candidates[i])
        return Draft(tuple(_claim(c) for c in chosen), confidence=(1 + agreement[order[0]]) / 2)


def _agreement(bag: frozenset[str], own: str, by_passage: dict[str, frozenset[str]], weight: dict[str, float]) -> float:
    others = [name for name in by_passage if name != own]
    total = sum(weight[name] for name in others)
    if not bag or not total:
        return 0.0
    return sum(weight[name] * len(bag & by_passage[name]) / len(bag) for name in others) / total


def _same(a: Candidate, b: Candidate) -> bool:
    """Whether two quotes overlap in one passage, or say the same words."""
    return (a.passage.id == b.passage.id and a.start < b.end and b.start < a.end) or a.text == b.text


def _repeats(candidate: Candidate, chosen: Sequence[Candidate]) -> float:
    """The largest share of the candidate's content words that a chosen sentence already has."""
    bag = set(content_stems(candidate.text))
    return max((len(bag & set(content_stems(other.text))) / max(1, len(bag)) for other in chosen), default=0.0)


def _claim(candidate: Candidate) -> DraftClaim:
    return DraftClaim(candidate.text, candidate.passage.id, candidate.quote)
