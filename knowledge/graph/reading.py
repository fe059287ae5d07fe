"""Reads a graph's arrays back as concepts, triples and supports, and selects triples by number."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from typing import cast

import numpy as np

from knowledge.graph.array_paths import gathered
from knowledge.graph.intake import POLARITIES
from knowledge.graph.links import PRESENT, SYNONYM, Mask, by_relation, walked_triples
from knowledge.graph.protocol import LONGEST_WALKED_NAME, Conflict
from knowledge.graph.rows import Indices
from knowledge.graph.tables import Tables, id_prefix_of
from knowledge.graph.weights import Numbers
from knowledge.relations import RelationList
from knowledge.triples import CHANGES, TIERS, Concept, Support, Tier, Triple


class Reading:
    """What the arrays say. Concepts and triples are passed by number, -1 for one that the graph does not hold."""

    def __init__(self, tables: Tables, relations: RelationList) -> None:
        self._tables, self._relations = tables, relations
        self._texts = tables.texts

    def number(self, key: str) -> int:
        """The number of a concept."""
        code, keys = self._texts.code(key), self._tables.concept[:, 0]
        # A number of the same type: searching for another type would copy the whole array.
        place = int(np.searchsorted(keys, np.int32(code)))
        return place if code >= 0 and place < len(keys) and keys[place] == code else -1

    def key(self, concept: int) -> str:
        """The key of a concept."""
        return self._texts[int(self._tables.concept[concept, 0])]

    def concept(self, key: str) -> Concept | None:
        """A concept with its forms."""
        number, tables = self.number(key), self._tables
        if number < 0:
            return None
        code, name, domain = tables.concept[number].tolist()
        own = tables.form[slice(*tables.form_start[number : number + 2].tolist())].tolist()
        codes = sorted({*own, *self._synonyms(number)} - {name})
        return Concept(
            self._texts[code], self._texts[name], tuple(self._texts[code] for code in codes), self._texts[domain]
        )

    def concepts(self) -> Iterator[Concept]:
        """Every concept but those that stand only as a sentence or a synonym."""
        tables = self._tables
        meant = by_relation(tables, self._names_a_concept)
        long = self._texts.lengths()[tables.concept[:, 0]] > LONGEST_WALKED_NAME
        own = np.zeros(len(tables.concept), np.bool_)
        own[tables.tail[meant]] = True
        own &= ~long
        own[tables.head] = True
        texts = list(self._texts)
        synonyms = self._all_synonyms()
        bounds, forms = tables.form_start.tolist(), tables.form.tolist()
        for number in np.flatnonzero(own).tolist():
            key, name, domain = tables.concept[number].tolist()
            codes = {*forms[bounds[number] : bounds[number + 1]], *synonyms.get(number, ())} - {name}
            yield Concept(texts[key], texts[name], tuple(texts[code] for code in sorted(codes)), texts[domain])

    def triple_of_id(self, wanted: uuid.UUID) -> Triple | None:
        """The triple with this id."""
        prefix = id_prefix_of(wanted.bytes)
        low, high = (np.searchsorted(self._tables.id_prefix, prefix, side) for side in ("left", "right"))
        candidates = self.triples(self._tables.id_triple[low:high].tolist())
        return next((triple for triple in candidates if triple.id == str(wanted)), None)

    def number_of_triple(self, triple: Triple) -> int:
        """The number of a triple."""
        head, tail = self.number(triple.head), self.number(triple.tail)
        if head < 0 or tail < 0:
            return -1
        low, high = np.searchsorted(self._tables.head, np.array([head, head + 1], np.int32))
        candidates = low + np.flatnonzero(self._tables.tail[low:high] == tail)
        return next((n for n in candidates.tolist() if self.triples([n])[0] == triple), -1)

    def all_triples(self) -> Iterator[Triple]:
        """Every triple in order."""
        for start in range(0, len(self._tables.head), 4096):
            yield from self.triples(range(start, min(start + 4096, len(self._tables.head))))

    def triples(self, numbers: Iterable[int]) -> tuple[Triple, ...]:
        """The triples of these numbers, in their order."""
        wanted = np.fromiter(numbers, np.int64)
        tables = self._tables
        heads, tails = tables.head[wanted].tolist(), tables.tail[wanted].tolist()
        names = {concept: self.key(concept) for concept in {*heads, *tails}}
        relations = tables.relation[wanted].tolist()
        surfaces = {code: self._texts[code] for code in set(relations)}
        return tuple(
            Triple(names[head], surfaces[relation], names[tail], POLARITIES[polarity], CHANGES[change])
            for head, relation, tail, (polarity, change) in zip(
                heads, relations, tails, tables.sign[wanted].tolist(), strict=True
            )
        )

    def supports(self, number: int) -> tuple[Support, ...]:
        """The supports of a triple."""
        tables = self._tables
        rows = slice(tables.support_start[number], tables.support_start[number + 1])
        columns = (tables.support[rows], tables.tier[rows], tables.confidence[rows], tables.place[rows])
        return tuple(
            self._support(codes, TIERS[tier], confidence, place)
            for codes, tier, confidence, place in zip(*(column.tolist() for column in columns), strict=True)
        )

    def _support(self, codes: list[int], tier: Tier, confidence: float, place: list[int]) -> Support:
        document, passage, head, tail, source, terms, method = (self._texts[code] for code in codes)
        return Support(document, passage, head, tail, tier, source, terms, method, confidence, place[0], place[1])

    def around(self, concept: int) -> list[int]:
        """Every triple at a concept, in order."""
        entries = self._tables.incidence[slice(*self._tables.incidence_start[concept : concept + 2])]
        return cast("list[int]", np.unique(entries >> 1).tolist())

    def triples_in(self, document: str) -> list[int]:
        """Every triple that a document supports, in order."""
        code = self._texts.code(document)
        rows = np.flatnonzero(self._tables.support[:, 0] == code)
        found = np.searchsorted(self._tables.support_start, rows, "right") - 1
        return cast("list[int]", np.unique(found).tolist())

    def followed(self, wanted: Collection[str] | None) -> Mask:
        """Of each triple: may a walk to the neighbours follow it?"""
        if wanted is None:
            return self._walked
        asked = by_relation(
            self._tables, lambda surface: any(self._relations.matches(surface, name) for name in wanted)
        )
        present: Mask = asked & (self._tables.sign[:, 0] == PRESENT)
        return present

    def capped(self, concepts: Indices, usable: Mask, cap: int) -> Indices:
        """The usable triples at these concepts, of each relation and direction of each concept the best `cap`."""
        entries, _ = gathered(self._tables.incidence_start, concepts)
        entries = entries[self._tables.incidence_rank[entries] < cap]
        triples = np.unique(self._tables.incidence[entries].astype(np.int64) >> 1)
        return triples[usable[triples]]

    def best(self, scores: Numbers, top_n: int) -> tuple[tuple[str, float], ...]:
        """The best concepts with a score; scores that differ by rounding alone are equal."""
        if top_n < 1:
            return ()
        rounded = np.round(scores, 10)
        positive = np.flatnonzero(rounded > 0)
        if len(positive) > top_n:
            edge = np.partition(rounded[positive], -top_n)[-top_n]
            positive = positive[rounded[positive] >= edge]
        order = positive[np.lexsort((positive, -rounded[positive]))][:top_n]
        return tuple((self.key(number), float(scores[number])) for number in order.tolist())

    def conflicts(self) -> tuple[Conflict, ...]:
        """Statements both present and absent; such triples follow each other in the order of the table."""
        tables = self._tables
        said = np.column_stack([tables.head, tables.relation, tables.tail])
        same = np.all(said[1:] == said[:-1], axis=1)
        group = np.concatenate([np.zeros(min(1, len(said)), np.int64), np.cumsum(~same)])
        polarity = tables.sign[:, 0]
        both = np.intersect1d(group[polarity == PRESENT], group[polarity == POLARITIES.index("absent")])
        found = []
        for number in both.tolist():
            triples = self.triples(range(*np.searchsorted(group, [number, number + 1]).tolist()))
            present, absent = ([t for t in triples if t.polarity == sign] for sign in ("present", "absent"))
            found.append(Conflict(tuple(present), tuple(absent)))
        return tuple(found)

    def _names_a_concept(self, surface: str) -> bool:
        meaning = self._relations.meaning(surface)
        return meaning is None or (meaning.relation.tail != "text" and meaning.relation.name != SYNONYM)

    @cached_property
    def _walked(self) -> Mask:
        return walked_triples(self._tables, self._relations)

    @cached_property
    def _synonym(self) -> Mask:
        named = by_relation(self._tables, lambda surface: self._relations.canonical(surface) == SYNONYM)
        present: Mask = named & (self._tables.sign[:, 0] == PRESENT)
        return present

    def _synonyms(self, number: int) -> set[int]:
        """The names of a concept's present synonyms, as strings' numbers."""
        tables = self._tables
        triples = tables.incidence[slice(*tables.incidence_start[number : number + 2].tolist())] >> 1
        triples = triples[self._synonym[triples]]
        others = {*tables.head[triples].tolist(), *tables.tail[triples].tolist()} - {number}
        return set(tables.concept[list(others), 1].tolist())

    def _all_synonyms(self) -> dict[int, set[int]]:
        """The same of every concept that has one."""
        tables, found = self._tables, dict[int, set[int]]()
        head, tail, name = tables.head[self._synonym], tables.tail[self._synonym], tables.concept[:, 1]
        for here, there in ((head, tail), (tail, head)):
            for concept, code in zip(here.tolist(), name[there].tolist(), strict=True):
                found.setdefault(concept, set()).add(code)
        return found
