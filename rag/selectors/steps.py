"""Steps of a selection: each keeps some hits in their order and drops the others with a reason in plain words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from rag.errors import ConfigError
from rag.protocols import Selector
from rag.selectors.cuts import Cut
from rag.selectors.reading import ScoreReading, domain_of
from rag.types import Dropped, Evidence, Hit, Passage, Query

Similarity = Callable[[Passage, Passage], float]
"""How alike two passages are, in [0, 1] or a cosine."""
Clustering = Callable[[Sequence[Passage]], Sequence[str | None]]
"""The cluster of each passage of a list, None for those in none."""


@runtime_checkable
class Step(Protocol):
    """Looks at hits, best first, and says for each why it is dropped; None keeps it."""

    def reasons(self, hits: Sequence[Hit]) -> list[str | None]: ...


@dataclass(frozen=True, slots=True)
class Chain:
    """A selector made of steps and a last selector, which holds the budget. Order is kept."""

    steps: tuple[Step, ...]
    last: Selector

    def select(self, query: Query, hits: Sequence[Hit]) -> Evidence:
        """Each step sees what the ones before it kept."""
        places = list(range(len(hits)))
        reason: dict[int, str] = {}
        for step in self.steps:
            said = step.reasons([hits[place] for place in places])
            reason |= {place: words for place, words in zip(places, said, strict=True) if words is not None}
            places = [place for place in places if place not in reason]
        evidence = self.last.select(query, [hits[place] for place in places])
        dropped = [*(Dropped(hits[place], words) for place, words in reason.items()), *evidence.dropped]
        # Dropped hits come back in the order of the list, whichever step dropped them.
        order = {hit.passage.id: place for place, hit in enumerate(hits)}
        return replace(evidence, dropped=tuple(sorted(dropped, key=lambda row: order[row.hit.passage.id])))


@dataclass(frozen=True, slots=True)
class ScoreCut:
    """Cuts each kind of passage by its own scores.

    `domains` holds cuts for parts of the library ("case/radiology", "case", "page"); a hit belongs to the most specific
    one named, and `cut` serves the kinds that are not named. A part of which no hit has the score that is read is not
    cut at all. `least` hits are kept over all parts, as far as there are any: then the best ranked are taken back.
    `head`: every hit is read, and only those among the first `head` may be kept: a kind that is cut leaves no room for
    hits of another kind that the search ranked far behind. In a list of several kinds these were mostly wrong
    (docs/choose-how-many.md).
    """

    cut: Cut
    reading: ScoreReading = field(default_factory=ScoreReading)
    least: int = 1
    domains: Mapping[str, Cut] = field(default_factory=dict)
    head: int | None = None

    def __post_init__(self) -> None:
        if self.least < 0:
            raise ConfigError(f"selection: least is {self.least}; it must be 0 or more")
        if self.head is not None and self.head < 1:
            raise ConfigError(f"selection: head is {self.head}; it must be at least 1")

    def reasons(self, hits: Sequence[Hit]) -> list[str | None]:
        parts: dict[str, list[int]] = {}
        for place, hit in enumerate(hits):
            parts.setdefault(self._part(hit.passage), []).append(place)
        found: list[str | None] = [None] * len(hits)
        for name, places in parts.items():
            cut = self.domains.get(name, self.cut)
            for place, words in zip(places, self._said(cut, [hits[place] for place in places]), strict=True):
                found[place] = words
        if self.head is not None:
            behind = f"behind the first {self.head} places"
            found[self.head :] = [words or behind for words in found[self.head :]]
        missing = self.least - found.count(None)
        for place in [place for place, words in enumerate(found) if words is not None][: max(0, missing)]:
            found[place] = None
        return found

    def _part(self, passage: Passage) -> str:
        name = domain_of(passage)
        return name if name in self.domains else passage.kind

    def _said(self, cut: Cut, hits: Sequence[Hit]) -> list[str | None]:
        places, scores = self.reading.descending(hits)
        if not places:
            return [None] * len(hits)
        channel = self.reading.channel
        found: list[str | None] = [f"{channel} did not find it"] * len(hits)
        count = cut.count(scores)
        for order, (place, score) in enumerate(zip(places, scores, strict=True)):
            found[place] = None if order < count else f"{cut.words()} ({channel} {score:.4g})"
        return found


@dataclass(frozen=True, slots=True)
class Diversity:
    """Keeps at most `per_kind` hits of each kind, near to the query and unlike one another.

    Maximal marginal relevance: the next hit kept has the greatest share * relevance - (1 - share) * greatest similarity
    to one kept already (Carbonell and Goldstein, 1998, https://doi.org/10.1145/290941.291025). Relevance is the score
    read, stretched to [0, 1] between the best and the worst of the kind; a hit without a score has 0, and where no hit
    has one, rank stands in. Kinds are not compared with one another: a figure may well repeat its page.
    """

    similarity: Similarity
    per_kind: int = 8
    share: float = 0.7
    reading: ScoreReading = field(default_factory=ScoreReading)

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ConfigError(f"selection: the share of relevance is {self.share}; it must be in [0, 1]")
        if self.per_kind < 1:
            raise ConfigError(f"selection: per_kind is {self.per_kind}; it must be at least 1")

    def reasons(self, hits: Sequence[Hit]) -> list[str | None]:
        kinds: dict[str, list[int]] = {}
        for place, hit in enumerate(hits):
            kinds.setdefault(hit.passage.kind, []).append(place)
        found: list[str | None] = [None] * len(hits)
        for places in kinds.values():
            for place, words in zip(places, self._said([hits[place] for place in places]), strict=True):
                found[place] = words
        return found

    def _said(self, hits: Sequence[Hit]) -> list[str | None]:
        relevance = _relevance(hits, self.reading)
        nearest = [0.0] * len(hits)
        like: list[str] = [""] * len(hits)
        left = list(range(len(hits)))
        for _ in range(min(self.per_kind, len(hits))):
            chosen = max(left, key=lambda i: (self.share * relevance[i] - (1 - self.share) * nearest[i], -i))
            left.remove(chosen)
            for other in left:
                alike = self.similarity(hits[chosen].passage, hits[other].passage)
                if not like[other] or alike > nearest[other]:
                    nearest[other], like[other] = alike, hits[chosen].passage.id
        dropped = {i: f"adds less than the {self.per_kind} kept: likeness {nearest[i]:.2f} to {like[i]}" for i in left}
        return [dropped.get(i) for i in range(len(hits))]


@dataclass(frozen=True, slots=True)
class ClusterCap:
    """Keeps at most `most` hits of each cluster of near-duplicate images, the best ranked.

    `clusters_of` names the cluster of each passage of a list; None: it is in none, and is kept.
    """

    clusters_of: Clustering
    most: int = 1

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ConfigError(f"selection: per_cluster is {self.most}; it must be at least 1")

    def reasons(self, hits: Sequence[Hit]) -> list[str | None]:
        seen: Counter[str] = Counter()
        found: list[str | None] = []
        for cluster in self.clusters_of([hit.passage for hit in hits]):
            full = cluster is not None and seen[cluster] >= self.most
            found.append(f"the image of {cluster} already has {self.most} of the hits" if full else None)
            if cluster is not None and not full:
                seen[cluster] += 1
        return found


def word_overlap(first: Passage, second: Passage) -> float:
    """Jaccard similarity of the two passages' sets of words, in [0, 1]; 0 when one has no text."""
    left, right = (set(passage.text.lower().split()) for passage in (first, second))
    return len(left & right) / len(left | right) if left and right else 0.0


def _relevance(hits: Sequence[Hit], reading: ScoreReading) -> list[float]:
    places, scores = reading.descending(hits)
    if not places:
        return [1 - place / len(hits) for place in range(len(hits))]
    spread = scores[0] - scores[-1]
    found = [0.0] * len(hits)
    for place, score in zip(places, scores, strict=True):
        found[place] = (score - scores[-1]) / spread if spread > 0 else 1.0
    return found
