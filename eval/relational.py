"""Relational questions made from a concept graph, with the facts that answer them (docs/graph-evaluation.md).

Questions come in two roles that share neither a wording nor an answer: `tune`, on which a search may be fitted, and
`judge`, on which it is reported. Concepts are named by a synonym where the graph knows one, so that the exact words of
a fact do not give it away. Equal graphs and seeds give equal questions.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from eval.relational_templates import TEMPLATES, Role, Shape, Template
from knowledge.graph.protocol import Graph
from knowledge.linking.forms import is_abbreviation, is_linkable, stop_words
from knowledge.linking.words import spelling, words_of
from knowledge.relations import RelationList
from knowledge.triples import Triple

Stated = tuple[str, str, str]
"""A statement in the list's own words: keys of the two concepts, and between them the canonical relation."""
LONGEST_NAME = 60
"""Characters of a concept that a question names; what is longer, or holds a comma, is a description."""
MOST_ANSWERS = 3
"""Answers of a question, so that its facts fit into ten hits."""
MOST_GOLD = 8
_PLAIN = frozenset(",()[]")
"""Characters of descriptions and of names with a remark."""
LEAST_OTHERS = 3
"""Concepts that each named one has by its relation, so that neither alone gives the answer."""


@dataclass(frozen=True, slots=True)
class RelationalQuestion:
    """A question, its shape and relations, the keys it names, and the statements that answer it (all are needed)."""

    id: str
    shape: Shape
    relations: tuple[str, ...]
    text: str
    named: tuple[str, ...]
    gold: tuple[Stated, ...]


@dataclass(frozen=True, slots=True)
class QuestionOptions:
    """role: whose wordings and answers. relational: questions of more than one fact. single: of one. seed: any."""

    role: Role = "judge"
    relational: int = 240
    single: int = 120
    seed: int = 0


_DEFAULT = QuestionOptions()


def stated(triple: Triple, relations: RelationList) -> Stated:
    """What a triple says, whatever its relation is called; an inverted relation with its ends exchanged."""
    meaning = relations.meaning(triple.relation)
    if meaning is None:
        return triple.head, triple.relation, triple.tail
    ends = (triple.tail, triple.head) if meaning.inverted else (triple.head, triple.tail)
    return ends[0], meaning.relation.name, ends[1]


def relational_questions(graph: Graph, options: QuestionOptions = _DEFAULT) -> tuple[RelationalQuestion, ...]:
    """As many questions as the options ask for and the graph can give, spread evenly over the templates of each sort.

    A template that the graph cannot fill (no treatment in it, say) leaves its share to the others.
    """
    made = _Maker(graph, options)
    relational = [template for template in TEMPLATES if template.shape != "single"]
    single = [template for template in TEMPLATES if template.shape == "single"]
    return (*made.spread(relational, options.relational), *made.spread(single, options.single))


@dataclass(slots=True)
class _Index:
    """Named concepts that stand in a relation, both ways."""

    tails: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    heads: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))

    def of(self, key: str, relation: str) -> set[str]:
        """What a concept has by a relation; by "^relation", what has it."""
        found = self.heads.get((key, relation[1:])) if relation[0] == "^" else self.tails.get((key, relation))
        return found or set()

    def having(self, relation: str) -> set[str]:
        """The concepts from which a relation can be followed."""
        table = self.heads if relation[0] == "^" else self.tails
        return {key for key, name in table if name == relation.lstrip("^")}


class _Maker:
    def __init__(self, graph: Graph, options: QuestionOptions) -> None:
        self._graph, self._options = graph, options
        self._index = _indexed(graph)
        self._owners = Counter(
            form.casefold() for concept in graph.concepts() for form in {concept.name, *concept.forms}
        )

    def spread(self, templates: Sequence[Template], count: int) -> list[RelationalQuestion]:
        """Questions of these templates in turn, until there are enough or no template has another one."""
        rows = {number: self._questions(template, number) for number, template in enumerate(templates)}
        found: list[RelationalQuestion] = []
        while rows and len(found) < count:
            for number in list(rows):
                question = next(rows[number], None)
                if question is None:
                    del rows[number]
                else:
                    found.append(question)
        return found[:count]

    def _questions(self, template: Template, number: int) -> Iterator[RelationalQuestion]:
        options = self._options
        rng = random.Random(f"{options.seed}/{options.role}/{template.shape}/{number}")
        seen: set[tuple[str, ...]] = set()
        used: Counter[str] = Counter()
        for named, gold in _FILLS[template.shape](_Draw(self._index, rng, self._mine), template.relations):
            # Hubs would otherwise stand in half of the questions.
            if named in seen or max(used[key] for key in named) >= 2 or not 0 < len(gold) <= MOST_GOLD:
                continue
            seen.add(named)
            used.update(named)
            wordings = template.wordings[options.role]
            text = wordings[len(seen) % len(wordings)].format(**self._names(named, rng))
            name = f"{options.role}/{template.shape}/{'-'.join(template.relations)}/{len(seen)}"
            yield RelationalQuestion(name, template.shape, template.relations, text, named, tuple(sorted(gold)))

    def _mine(self, key: str) -> bool:
        """Whether questions of this role may have this concept as their answer: half of all concepts, by hash."""
        return hashlib.sha256(key.encode()).digest()[0] % 2 == (self._options.role == "judge")

    def _names(self, named: Sequence[str], rng: random.Random) -> dict[str, str]:
        return {place: self._name(key, rng) for place, key in zip("ab", named, strict=False)}

    def _name(self, key: str, rng: random.Random) -> str:
        """Another name of a concept that is its alone and no abbreviation, else its name."""
        concept = self._graph.concept(key)
        if concept is None:
            return key
        forms = [form for form in sorted(concept.forms) if self._usable(form, concept.name)]
        return rng.choice(forms) if forms else concept.name

    def _usable(self, form: str, name: str) -> bool:
        own = self._owners[form.casefold()] == 1 and form.casefold() != name.casefold()
        return own and not is_abbreviation(form) and _nameable(form)


def _indexed(graph: Graph) -> _Index:
    index, reported = _Index(), _reported(graph)
    for triple in graph.triples():
        if triple.polarity != "present" or triple.change != "none" or not graph.relations.walked(triple.relation):
            continue
        head, relation, tail = stated(triple, graph.relations)
        if head != tail and _nameable(head) and _nameable(tail) and triple not in reported:
            index.tails[head, relation].add(tail)
            index.heads[tail, relation].add(head)
    return index


def _reported(graph: Graph) -> set[Triple]:
    """The triples that reports state: they are no facts that could be found."""
    found: set[Triple] = set()
    for document in graph.documents():
        triples = graph.triples_in(document)
        if triples and any(row.document == document and row.tier == "report" for row in graph.supports(triples[0])):
            found.update(triples)
    return found


def _nameable(key: str) -> bool:
    """A name of its own: no description, and not a word such as "symptom" that names every concept of its sort."""
    if len(key) > LONGEST_NAME or not _PLAIN.isdisjoint(key) or not is_linkable(key):
        return False
    return not stop_words().issuperset(spelling(word) for word in words_of(key))


Mine = Callable[[str], bool]
"""Whether a question of the role that is made may turn on this concept."""
_Row = tuple[tuple[str, ...], set[Stated]]


@dataclass(frozen=True, slots=True)
class _Draw:
    """What a template is filled from: concepts by relation, chance, and which concepts this role may use."""

    index: _Index
    rng: random.Random
    mine: Mine

    def order(self, keys: Iterable[str]) -> list[str]:
        """The keys of this role in an order by chance."""
        order = sorted(key for key in keys if self.mine(key))
        self.rng.shuffle(order)
        return order

    def one(self, keys: set[str]) -> str:
        return self.rng.choice(sorted(keys))


def _intersections(draw: _Draw, relations: tuple[str, ...]) -> Iterator[_Row]:
    first, second = relations
    index = draw.index
    for answer in draw.order(index.having(first) & index.having(second)):
        a, b = draw.one(index.of(answer, first)), draw.one(index.of(answer, second))
        around = index.of(a, f"^{first}"), index.of(b, f"^{second}")
        answers = around[0] & around[1]
        if len(answers) > MOST_ANSWERS or min(map(len, around)) < LEAST_OTHERS:
            continue
        if a != b and all(map(draw.mine, answers)):
            yield (a, b), {row for key in answers for row in ((key, first, a), (key, second, b))}


def _chains(draw: _Draw, relations: tuple[str, ...]) -> Iterator[_Row]:
    first, second = relations
    for start in draw.order(draw.index.having(first)):
        between = [key for key in draw.index.of(start, first) if key != start and draw.index.of(key, second)]
        gold = {_row(start, first, key) for key in between}
        gold |= {_row(key, second, end) for key in between for end in draw.index.of(key, second)}
        if len(between) <= MOST_ANSWERS:
            yield (start,), gold


def _shared(draw: _Draw, relations: tuple[str, ...]) -> Iterator[_Row]:
    relation = relations[0]
    for answer in draw.order(draw.index.having(f"^{relation}")):
        having = draw.index.of(answer, f"^{relation}")
        if len(having) < LEAST_OTHERS:
            continue
        a, b = draw.rng.sample(sorted(having), 2)
        common = draw.index.of(a, relation) & draw.index.of(b, relation)
        if len(common) <= MOST_ANSWERS:
            yield (a, b), {(key, relation, end) for key in (a, b) for end in common}


def _singles(draw: _Draw, relations: tuple[str, ...]) -> Iterator[_Row]:
    relation = relations[0]
    for start in draw.order(draw.index.having(relation)):
        ends = draw.index.of(start, relation)
        if len(ends) <= MOST_ANSWERS:
            yield (start,), {(start, relation, end) for end in ends}


def _row(start: str, relation: str, end: str) -> Stated:
    return (end, relation[1:], start) if relation[0] == "^" else (start, relation, end)


_FILLS: Mapping[Shape, Callable[[_Draw, tuple[str, ...]], Iterator[_Row]]] = {
    "intersection": _intersections,
    "chain": _chains,
    "shared": _shared,
    "single": _singles,
}
