"""From concepts that a question names, and relations that it asks for, to the triples worth reading. Pure.

Three ways find triples, and each triple counts by the best of them:

- The walk: personalised PageRank from the named concepts spreads over what is connected, and a triple counts as much
  as its two ends were visited. This is HippoRAG 2's recipe (https://arxiv.org/abs/2502.14802), triples in the place of
  passages.
- Joints: what links two named concepts, directly or through a third ("which disease of the retina shows night
  blindness?"). The sum of two walks hardly tells such a concept from those near to one of them alone.
- Chains: from a named concept by one relation that is asked for, and on by another ("which symptom has the disease that
  lovastatin treats?"). After one step a walk has lost which way the question turns.

The shares of the three were fitted on the tuning questions of `eval.relational` (docs/graph-evaluation.md).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from knowledge.graph.protocol import RESTART, Graph
from knowledge.triples import Triple

_SCORES: dict[str, float] = {"present": 1.0, "absent": 0.5, "uncertain": 0.5}
"""What is denied or in doubt is worth reading when it speaks of a seed itself, after what is stated. Judgement."""
_MOST_PAIRED = 4
"""Seeds of which all pairs are looked at; a question that names more is a text."""


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """What a triple scores at the most, by how it was found.

    walk: by visits alone. joint: it leads to what joins several seeds. near: a relation that is asked for, at a seed.
    confirmed: the first step of a chain that goes on. onward: its second. other, other_joint: factors on triples whose
    relation is not the one that is asked for.
    """

    walk: float = 0.2
    joint: float = 1.5
    near: float = 0.7
    confirmed: float = 1.0
    onward: float = 1.0
    other: float = 0.3
    other_joint: float = 0.7


@dataclass(frozen=True, slots=True)
class WalkOptions:
    """How far a walk goes.

    restart: chance to return to a seed at each step. concepts: the most visited ones whose triples are looked at. cap:
    triples of one relation and direction at one concept, because hubs have thousands; asked_cap: of a relation that is
    asked for. joints, middles: concepts between seeds, and within chains, that are looked at. most: triples returned.
    """

    restart: float = RESTART
    concepts: int = 40
    cap: int = 20
    asked_cap: int = 200
    joints: int = 40
    middles: int = 100
    most: int = 200
    scores: ScoreOptions = field(default_factory=ScoreOptions)


_DEFAULT = WalkOptions()


@dataclass(frozen=True, slots=True)
class Walked:
    """A triple with how near the walk came to it, in (0, 1], 1 for the nearest."""

    triple: Triple
    nearness: float


def walk(
    graph: Graph, seeds: Mapping[str, float], options: WalkOptions = _DEFAULT, asked: Collection[str] = ()
) -> tuple[Walked, ...]:
    """The triples nearest to the seeds, nearest first, ties by the triple's parts; none when no seed is in the graph.

    `seeds` maps keys to weights, 1 for what is surely meant. `asked` are canonical relations
    (`knowledge.asked_relations`); without any there are no chains, and every relation counts alike.
    """
    walked = _Walk(graph, seeds, options, frozenset(asked))
    if not walked.by_visits():
        return ()
    walked.step()
    walked.join()
    walked.chain()
    scored = sorted(walked.scores.items(), key=lambda row: (-row[1], *_parts(row[0])))
    best = scored[0][1] if scored else 1.0
    return tuple(Walked(triple, score / best) for triple, score in scored[: options.most] if score > 0)


def _parts(triple: Triple) -> tuple[str, ...]:
    return triple.head, triple.relation, triple.tail, triple.polarity, triple.change


class _Walk:
    """One walk: `scores` of the triples found, and `steps`, by concept, which triples lead to it from which seed."""

    def __init__(self, graph: Graph, seeds: Mapping[str, float], options: WalkOptions, asked: frozenset[str]) -> None:
        self._graph, self._options, self._asked = graph, options, asked
        self._seeds = {key: weight for key, weight in seeds.items() if weight > 0}
        self._keys = sorted(self._seeds, key=lambda key: (-self._seeds[key], key))
        self.scores: dict[Triple, float] = {}
        self.steps: dict[str, dict[Triple, str]] = defaultdict(dict)

    def by_visits(self) -> bool:
        """Score what the walk passes by; False when it found no concept to begin at."""
        options = self._options
        visits = dict(self._graph.ppr(self._seeds, restart=options.restart, top_n=options.concepts))
        if not visits:
            return False
        found = dict.fromkeys(self._graph.neighbours(tuple(visits), 1, cap=options.cap))
        for key in self._keys:
            found |= dict.fromkeys(_told(self._graph, key, options.cap))
        scored = {
            triple: _SCORES[triple.polarity] * (visits.get(triple.head, 0.0) + visits.get(triple.tail, 0.0))
            for triple in found
        }
        best = max(scored.values(), default=0.0) or 1.0
        for triple, score in scored.items():
            self._put(triple, options.scores.walk * score / best)
        return True

    def step(self) -> None:
        """The triples at the seeds; more of those relations that are asked for."""
        for key in self._keys:
            rows = dict.fromkeys(self._graph.neighbours((key,), 1, cap=self._options.cap))
            if self._asked:
                cap = self._options.asked_cap
                rows |= dict.fromkeys(self._graph.neighbours((key,), 1, relations=self._asked, cap=cap))
            self._lead(rows, key)
        if self._asked:
            self._score_steps(self.steps, self._options.scores.near)

    def join(self) -> None:
        """What several seeds lead to, and what stands between two of them."""
        joints = {key for key, steps in self.steps.items() if len(set(steps.values())) > 1}
        joints |= self._between()
        chosen = sorted(joints, key=lambda key: (-len(set(self.steps[key].values())), key))[: self._options.joints]
        for joint in chosen:
            for triple in self._graph.triples_of(joint):
                if (seed := _other(triple, joint)) in self._seeds and seed != joint:
                    self.steps[joint][triple] = seed
        scores = self._options.scores
        for joint in chosen:
            reached: dict[str, float] = {}
            for triple, seed in self.steps[joint].items():
                reached[seed] = max(reached.get(seed, 0.0), self._fit(triple, scores.other_joint))
            share = sum(fit * self._seeds[seed] for seed, fit in reached.items()) / len(self._keys)
            for triple in self.steps[joint]:
                self._put(triple, scores.joint * share * self._fit(triple, scores.other_joint))

    def _between(self) -> set[str]:
        """The middle concepts of the paths between two seeds; a path of one triple is scored as it is."""
        found: set[str] = set()
        for start, end in combinations(self._keys[:_MOST_PAIRED], 2):
            for path in self._graph.paths(start, end, 2, self._options.joints):
                if len(path) == 1:
                    self._put(path[0], self._options.scores.joint * min(self._seeds[start], self._seeds[end]))
                else:
                    found |= {key for triple in path for key in (triple.head, triple.tail)} - {start, end}
        return found

    def chain(self) -> None:
        """On from what a relation asked for leads to, by another that is asked for."""
        reached = {
            key: best
            for key, steps in self.steps.items()
            if key not in self._seeds
            and (best := max((self._seeds[seed] for row, seed in steps.items() if self._is_asked(row)), default=0.0))
        }
        middles = sorted(reached, key=lambda key: (-reached[key], key))[: self._options.middles]
        if len(self._asked) < 2 or not middles:
            return
        onward = self._graph.neighbours(tuple(middles), 1, relations=self._asked, cap=self._options.cap // 2 or 1)
        chosen = set(middles)
        for triple in onward:
            middle = triple.head if triple.head in chosen else triple.tail
            came = {self._canonical(row) for row in self.steps[middle] if self._is_asked(row)}
            if _other(triple, middle) not in self._seeds and self._canonical(triple) not in came:
                self._put(triple, self._options.scores.onward * reached[middle])
                self._score_steps([middle], self._options.scores.confirmed)

    def _lead(self, rows: Iterable[Triple], seed: str) -> None:
        for triple in rows:
            self.steps[_other(triple, seed)][triple] = seed

    def _score_steps(self, concepts: Iterable[str], score: float) -> None:
        for concept in concepts:
            for triple, seed in self.steps[concept].items():
                self._put(triple, score * self._seeds[seed] * self._fit(triple, self._options.scores.other))

    def _put(self, triple: Triple, score: float) -> None:
        self.scores[triple] = max(self.scores.get(triple, 0.0), score)

    def _fit(self, triple: Triple, other: float) -> float:
        return _SCORES[triple.polarity] * (1.0 if not self._asked or self._is_asked(triple) else other)

    def _is_asked(self, triple: Triple) -> bool:
        return self._canonical(triple) in self._asked

    def _canonical(self, triple: Triple) -> str:
        return self._graph.relations.canonical(triple.relation)


def _other(triple: Triple, key: str) -> str:
    return triple.tail if triple.head == key else triple.head


def _told(graph: Graph, key: str, cap: int) -> Sequence[Triple]:
    """What no walk follows but the seed's own triples say: descriptions, and what is denied or in doubt."""
    taken: dict[tuple[str, bool, str], int] = {}
    kept = []
    for triple in graph.triples_of(key):
        row = (triple.relation, triple.head == key, triple.polarity)
        taken[row] = taken.get(row, 0) + 1
        if taken[row] <= cap:
            kept.append(triple)
    return kept
