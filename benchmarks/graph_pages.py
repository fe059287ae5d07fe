"""What facts and the graph do to questions that a page answers: nDCG@5 over all kinds, with and without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from eval.datasets import QueryItem, load_queries
from eval.gold import rank_units
from eval.metrics.retrieval import gains_of, ndcg_at
from eval.statistics import bootstrap
from knowledge.linking.facets import expand, facets
from pipelines.compose import Parts
from pipelines.graph_library import LibraryGraph, open_graph
from pipelines.library import Library
from pipelines.search import SearchEngine
from rag.types import KINDS, Hit, Kind, Query

ALONE, PLAIN, WALKED, EXPANDED = "without facts", "facts, without graph", "facts and graph", "facts, graph, expanded"
_BOOKS: tuple[Kind, ...] = ("page", "figure", "case")
_DEPTH = 30
System = Callable[[Query], Sequence[Hit]]


def page_figures(library: Library, paths: Sequence[Path], sample: int = 0) -> dict[str, object]:
    """nDCG@5 of every system by set, facts among the pages counted as wrong, and its paired differences.

    `sample`: as many questions of each file, spread evenly; 0 takes all.
    """
    systems = _systems(library)
    return {path.stem: _figures(_spread(load_queries([path]).items, sample), systems) for path in paths}


def _systems(library: Library) -> dict[str, System]:
    settings = library.parts.settings
    off = settings.model_copy(update={"graph": settings.graph.model_copy(update={"enabled": False})})
    plain = Parts(off, library.folder).engine(library.store, rerank=settings.rerank.enabled)
    walked, graph = library.engine(), open_graph(library.folder)
    systems = {
        ALONE: _searching(plain, _BOOKS),
        PLAIN: _searching(plain, KINDS),
        WALKED: _searching(walked, KINDS),
    }
    if graph is not None:
        wide = _searching(walked, KINDS)
        systems[EXPANDED] = lambda query: wide(expanded(query, graph))
    return systems


def _searching(engine: SearchEngine, kinds: Sequence[Kind]) -> System:
    return lambda query: engine.search(query, k=_DEPTH, kinds=kinds).hits


def expanded(query: Query, graph: LibraryGraph) -> Query:
    """The question with what is known of the concepts that it names behind it."""
    links = graph.link(query.text)
    known = {}
    for key in {link.concept for link in links}:
        concept = graph.graph.concept(key)
        if concept is not None:
            known[key] = facets(concept, graph.graph.triples_of(key))
    return replace(query, text=expand(query.text, links, known))


def _spread(items: Sequence[QueryItem], sample: int) -> Sequence[QueryItem]:
    judged = [item for item in items if item.gold]
    return judged[:: max(1, len(judged) // sample)][:sample] if sample else judged


def _figures(items: Sequence[QueryItem], systems: dict[str, System]) -> dict[str, object]:
    values = np.array([[_ndcg(item, search(item.query)) for search in systems.values()] for item in items])
    drawn, names = bootstrap(values), list(systems)
    means = {name: round(float(mean), 4) for name, mean in zip(names, drawn.means, strict=True)}
    pairs = [(PLAIN, ALONE), (WALKED, PLAIN), (WALKED, ALONE), (EXPANDED, WALKED)]
    gains = {
        f"{first} minus {second}": drawn.difference(names.index(first), names.index(second)).as_json()
        for first, second in pairs
        if first in names
    }
    return {"n": len(items), "ndcg@5": means, **gains}


def _ndcg(item: QueryItem, hits: Sequence[Hit]) -> float:
    grades = dict.fromkeys(item.gold, 1.0)
    ranked = [entry.unit for entry in rank_units(hits, item.named)]
    return ndcg_at(gains_of(ranked, grades), list(grades.values()), 5)
