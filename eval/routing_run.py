"""One run over a library: the router judged by splits, then retrieval with and without it on the same splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from eval.routing import RouterFigures, figures_table, judge_images, router_figures
from eval.routing_retrieval import Comparison, Sort, Systems, compare, comparison_table
from indexers.domains.examples import Examples, assign_folds, case_examples, group_of
from indexers.domains.fitting import FitOptions, fit_prototypes
from indexers.domains.prototypes import DomainPrototypes
from rag.routing import BoostOptions, DomainRouter, Route, weigh
from rag.types import Hit, Matrix, Passage, Query

if TYPE_CHECKING:
    from pipelines.library import Library

DEPTH = 100
"""Hits that the blind system hands to the aware one."""


@dataclass(frozen=True, slots=True)
class RoutingOptions:
    """What is measured. metric: of the image channel. retrieval: also search with every case, which takes minutes."""

    metric: Matrix | None = None
    folds: int = 5
    seed: int = 0
    retrieval: bool = True
    fit: FitOptions = field(default_factory=FitOptions)
    boost: BoostOptions = field(default_factory=BoostOptions)
    sure: float = 0.95


@dataclass(frozen=True, slots=True)
class RoutingReport:
    """Figures of the router, and of both systems on image queries and on text queries."""

    router: RouterFigures
    retrieval: tuple[Comparison, ...]

    def as_json(self) -> dict[str, object]:
        """`{"router": ..., "retrieval": {"image": ..., "text": ...}}`."""
        return {"router": self.router.as_json(), "retrieval": {entry.sort: entry.as_json() for entry in self.retrieval}}

    def markdown(self) -> str:
        """The tables."""
        return figures_table(self.router) + ("\n" + comparison_table(self.retrieval) if self.retrieval else "")


def run_routing(library: Library, options: RoutingOptions) -> RoutingReport:
    """Judge the router on the library's own cases.

    Raises:
        UsageError: the library has too few cases that name their domain.
    """
    examples = case_examples(library.store)
    figures = router_figures(
        judge_images(examples, lambda some: _fit(some, options), folds=options.folds, seed=options.seed)
    )
    if not options.retrieval:
        return RoutingReport(figures, ())
    cases = list(library.passages("case"))
    splits = _Splits(library, examples, cases, options)
    blind = library.parts.engine(library.store, rerank=False, routed=False)
    systems = Systems(
        lambda query: list(blind.search(query, k=DEPTH, kinds=("case",)).hits),
        splits.decide,
        lambda hits, route: _weigh(hits, route, options),
    )
    sorts: tuple[Sort, ...] = ("image", "text")
    return RoutingReport(figures, tuple(compare(cases, sort, systems) for sort in sorts))


class _Splits:
    """Routers by split: a case is routed by the one that saw no case of its patient."""

    def __init__(self, library: Library, examples: Examples, cases: Sequence[Passage], options: RoutingOptions) -> None:
        folds = assign_folds(examples.groups, examples.labels, options.folds, options.seed)
        self._fold_of: dict[str, int] = dict(zip(examples.groups, folds.tolist(), strict=True))
        self._routers: list[DomainRouter] = [
            DomainRouter(images=_fit(examples.take(np.flatnonzero(folds != fold)), options), sure=options.sure)
            for fold in range(options.folds)
        ]
        self._vectors = {
            point.passage.id: vector[:1]
            for point in library.store.points([passage.id for passage in cases])
            if isinstance(vector := point.vectors.get("image"), np.ndarray)
        }

    def decide(self, query: Query, passage: Passage) -> Route:
        router = self._routers[self._fold_of.get(group_of(passage), 0)]
        return router.decide(query, image=self._vectors.get(passage.id) if query.images else None)


def _fit(examples: Examples, options: RoutingOptions) -> DomainPrototypes | None:
    return fit_prototypes(examples, metric=options.metric, options=options.fit)


def _weigh(hits: Sequence[Hit], route: Route, options: RoutingOptions) -> Sequence[Hit]:
    return weigh(hits, route, options.boost)[0]
