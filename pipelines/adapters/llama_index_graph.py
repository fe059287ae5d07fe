"""The concept graph as a llama-index `PropertyGraphStore`, for reading.

A denied fact has the label "no RELATION" and an uncertain one "possible RELATION", because llama-index prints labels
and nothing else: a fact must not lose its polarity on the way into a prompt. Each relation says in its properties which
documents support it. Walks (`get_rel_map`) leave denied and uncertain facts out, as the graph's own walks do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from knowledge.graph.protocol import MOST_HOPS, Graph
from knowledge.triples import Concept, Triple, key_of
from rag.errors import MissingExtra, UsageError

try:
    from llama_index.core.graph_stores.types import EntityNode, PropertyGraphStore, Relation
except ImportError as error:
    raise MissingExtra("llama-index", feature="the graph as a llama-index store") from error

_LABELS = {"present": "", "absent": "no ", "uncertain": "possible "}


class ConceptNode(EntityNode):  # type: ignore[misc]  # llama-index is not type-checked
    """A concept as a llama-index node: its id is the concept's key, its text the concept's name."""

    key: str

    def __str__(self) -> str:
        return str(self.name)

    @property
    def id(self) -> str:
        """The concept's key."""
        return self.key


Triplet = tuple[ConceptNode, Any, ConceptNode]


class ReadOnlyGraphStore(PropertyGraphStore):  # type: ignore[misc]  # llama-index is not type-checked
    """Reads a graph through llama-index; documents are added and removed through the library.

    Nodes are asked for by key or by name, relations by their surface name, their canonical name or their label.
    """

    supports_structured_queries = False
    supports_vector_queries = False

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    @property
    def client(self) -> Graph:
        """The graph itself."""
        return self._graph

    def get(self, properties: Mapping[str, Any] | None = None, ids: Sequence[str] | None = None) -> list[ConceptNode]:
        """The concepts with these keys or names (all when `ids` is None) whose properties are these."""
        concepts: Iterable[Concept] = self._graph.concepts() if ids is None else filter(None, map(self._concept, ids))
        nodes = (_node(concept) for concept in concepts)
        return [node for node in nodes if _has(node.properties, properties)]

    def get_triplets(
        self,
        entity_names: Sequence[str] | None = None,
        relation_names: Sequence[str] | None = None,
        properties: Mapping[str, Any] | None = None,
        ids: Sequence[str] | None = None,
    ) -> list[Triplet]:
        """The facts of any polarity at these concepts, with these relations and properties; none when nothing is asked.

        `ids` are concepts' keys, as `entity_names` are.
        """
        named = [*(entity_names or ()), *(ids or ())]
        if not (named or relation_names or properties):
            return []
        around = dict.fromkeys(triple for name in named for triple in self._graph.triples_of(self._key(name)))
        triples = around if named else self._graph.triples()
        wanted = (triple for triple in triples if self._is_named(triple, relation_names))
        found = (self._triplet(triple) for triple in wanted)
        return [triplet for triplet in found if _has(triplet[1].properties, properties)]

    def get_rel_map(
        self, graph_nodes: Sequence[Any], depth: int = 2, limit: int = 30, ignore_rels: Sequence[str] | None = None
    ) -> list[Triplet]:
        """The present facts within `depth` steps (at most 3) of the nodes, nearest and best supported first."""
        if depth < 1 or limit < 1:
            return []
        keys = [self._key(node.id) for node in graph_nodes]
        triples = self._graph.neighbours(keys, min(depth, MOST_HOPS))
        kept = [triple for triple in triples if not (ignore_rels and self._is_named(triple, ignore_rels))]
        return [self._triplet(triple) for triple in kept[:limit]]

    def upsert_nodes(self, nodes: Sequence[Any]) -> None:
        """Not possible here.

        Raises:
            UsageError: always.
        """
        _refuse_changes(len(nodes))

    def upsert_relations(self, relations: Sequence[Any]) -> None:
        """Not possible here.

        Raises:
            UsageError: always.
        """
        _refuse_changes(len(relations))

    def delete(
        self,
        entity_names: Sequence[str] | None = None,
        relation_names: Sequence[str] | None = None,
        properties: Mapping[str, Any] | None = None,
        ids: Sequence[str] | None = None,
    ) -> None:
        """Not possible here.

        Raises:
            UsageError: always.
        """
        _refuse_changes(sum(len(given or ()) for given in (entity_names, relation_names, properties, ids)))

    def structured_query(self, query: str, param_map: Mapping[str, Any] | None = None) -> NoReturn:
        """There is no query language.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"the graph has no query language for {query!r} ({len(param_map or ())} parameters)")

    def vector_query(self, query: Any, **kwargs: Any) -> NoReturn:  # noqa: ANN401  # llama-index's own signature
        """The graph owns no vectors.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"the graph holds no vectors for {type(query).__name__} {sorted(kwargs)}; search the library")

    def _key(self, name: str) -> str:
        return name if self._graph.concept(name) else key_of(name)

    def _concept(self, name: str) -> Concept | None:
        return self._graph.concept(self._key(name))

    def _is_named(self, triple: Triple, names: Sequence[str] | None) -> bool:
        matches = self._graph.relations.matches
        return names is None or any(matches(triple.relation, name) or _label(triple) == name for name in names)

    def _triplet(self, triple: Triple) -> Triplet:
        head, tail = (self._graph.concept(key) or Concept(key, key) for key in (triple.head, triple.tail))
        supports = self._graph.supports(triple)
        properties = {
            "polarity": triple.polarity,
            "change": triple.change,
            "triple_id": triple.id,
            "documents": sorted({support.document for support in supports}),
            "sources": sorted({support.source for support in supports if support.source}),
        }
        relation = Relation(label=_label(triple), source_id=head.key, target_id=tail.key, properties=properties)
        return _node(head), relation, _node(tail)


def _label(triple: Triple) -> str:
    return _LABELS[triple.polarity] + triple.relation


def _node(concept: Concept) -> ConceptNode:
    properties = {"name": concept.name, "domain": concept.domain, "forms": list(concept.forms)}
    return ConceptNode(key=concept.key, name=concept.name, label="concept", properties=properties)


def _has(properties: Mapping[str, Any], wanted: Mapping[str, Any] | None) -> bool:
    """Every wanted property has the wanted value, or holds it when it is a list."""
    return all(
        value in found if isinstance(found := properties.get(name), list) else found == value
        for name, value in (wanted or {}).items()
    )


def _refuse_changes(items: int) -> NoReturn:
    raise UsageError(
        f"the llama-index view of the graph is read-only, {items} items were not changed; "
        "use `vesalius index add` and `vesalius index remove`"
    )
