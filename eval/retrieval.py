"""Run a retriever over judged queries: the whole system, each channel alone, and a baseline.

A query that fails becomes a sample with its error and scores 0; only a broken environment (a missing model, a store
that is down) ends the run, because it would fail every query alike.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from eval.baselines import Bm25Baseline
from eval.datasets import QueryItem
from eval.gold import Unit, kinds_of, rank_units
from eval.leakage import Guard, SameOrigin
from eval.metrics.retrieval import METRIC_DEPTH
from eval.retrieval_report import RetrievalReport, summarise
from eval.samples import FUSED, Outcome, Sample
from eval.statistics import BootstrapOptions
from rag.errors import ConfigError, EnvironmentProblem, VesaliusError
from rag.leakage import Guarded, search_guarded
from rag.types import KINDS, Hit, Kind, Query

logger = logging.getLogger(__name__)

_DEEPER = 4
"""How many times the depth is looked through for clean hits in place of those withheld."""


class Searcher(Protocol):
    """What is judged: a search that can be limited to passage kinds and to single channels."""

    def search(self, query: Query, *, k: int, kinds: tuple[Kind, ...], channels: tuple[str, ...] | None) -> list[Hit]:
        """The k best hits, best first; `channels` None means the whole system, fused and reranked."""
        ...


@dataclass(frozen=True, slots=True)
class RetrievalOptions:
    """How retrieval is judged.

    `channels` names, per passage kind, the channels that are also run alone. `kinds` is what is searched for rows
    without an `in` of their own; when empty, each set is searched in the kinds that its gold lies in. `depth` is how
    many hits are asked for: more than the metrics look at, because a page and its figures count once. `exclude_leaks`
    switches the leakage guard.

    Raises:
        ConfigError: `depth` is smaller than the metrics need.
    """

    channels: Mapping[Kind, tuple[str, ...]] = field(default_factory=dict)
    kinds: tuple[Kind, ...] = ()
    depth: int = 30
    exclude_leaks: bool = True
    bootstrap: BootstrapOptions = field(default_factory=BootstrapOptions)

    def __post_init__(self) -> None:
        if self.depth < METRIC_DEPTH:
            raise ConfigError(f"a depth of {self.depth} hides ranks that are measured; use at least {METRIC_DEPTH}")


@dataclass(frozen=True, slots=True)
class _Call:
    """One search of an item: under which name, by whom, in which kinds and channels."""

    name: str
    searcher: Searcher
    kinds: tuple[Kind, ...]
    channels: tuple[str, ...] | None


def evaluate_retrieval(
    searcher: Searcher,
    items: Sequence[QueryItem],
    options: RetrievalOptions | None = None,
    *,
    baseline: Bm25Baseline | None = None,
    guard: Guard | None = None,
    on_sample: Callable[[Sample], None] | None = None,
) -> RetrievalReport:
    """Search for every item and judge what came back.

    `guard` replaces the default leakage rule (`SameOrigin`); `options.exclude_leaks=False` switches either off.
    `on_sample` receives each finished query, to be written or counted.

    Raises:
        EnvironmentProblem: a model, a package or the store is missing; samples so far have been handed on.
    """
    options = options or RetrievalOptions()
    guard = (guard or SameOrigin()) if options.exclude_leaks else _show_all
    started = time.perf_counter()
    kinds_of_set = _kinds_by_set(items)
    samples = []
    for item in items:
        kinds = item.kinds or options.kinds or kinds_of_set[item.set_name]
        calls = _calls(kinds, searcher, options.channels)
        if baseline is not None and baseline.applies(item, kinds):
            calls.append(_Call(baseline.name, baseline, kinds, None))
        if not item.gold:
            calls = calls[:1]  # nothing to judge: the fused result is kept, the rest would be time for nothing
        sample = Sample(item, kinds, {call.name: _run(call, item, options.depth, guard) for call in calls})
        samples.append(sample)
        if on_sample is not None:
            on_sample(sample)
    seconds = time.perf_counter() - started
    logger.info("searched for %d queries in %.1f s", len(samples), seconds)
    baselines = () if baseline is None else (baseline.name,)
    return summarise(samples, baselines, options.bootstrap, seconds)


def _show_all(_: QueryItem, hits: Sequence[Hit]) -> Guarded:
    """The guard that withholds nothing."""
    return Guarded(tuple(hits))


def _kinds_by_set(items: Sequence[QueryItem]) -> dict[str, tuple[Kind, ...]]:
    """The kinds that each set's gold lies in; all kinds for a set without gold."""
    named: dict[str, set[Unit]] = {}
    for item in items:
        named.setdefault(item.set_name, set()).update(item.named)
    return {name: kinds_of(units) or KINDS for name, units in named.items()}


def _calls(kinds: tuple[Kind, ...], searcher: Searcher, channels: Mapping[Kind, tuple[str, ...]]) -> list[_Call]:
    """The fused search first, then each channel alone in the kinds that have it."""
    names = dict.fromkeys(name for kind in kinds for name in channels.get(kind, ()))
    alone = [
        _Call(name, searcher, tuple(kind for kind in kinds if name in channels.get(kind, ())), (name,))
        for name in names
    ]
    return [_Call(FUSED, searcher, kinds, None), *alone]


def _run(call: _Call, item: QueryItem, depth: int, guard: Guard) -> Outcome:
    """One search, its result as a ranking of units without what the guard withholds; deeper hits take their places.

    The time is that of the search to `depth`, without looking deeper and without the guard.
    """
    seconds: list[float] = []

    def search(n: int) -> list[Hit]:
        started = time.perf_counter()
        try:
            return call.searcher.search(item.query, k=n, kinds=call.kinds, channels=call.channels)
        finally:
            seconds.append(time.perf_counter() - started)

    try:
        found = search_guarded(search, partial(guard, item), depth, _DEEPER * depth)
    except EnvironmentProblem:
        raise
    except (VesaliusError, ValueError, OSError) as error:
        logger.warning("query %s failed in %s: %s", item.id, call.name, error)
        return Outcome((), seconds[0], error=str(error) or type(error).__name__)
    return Outcome(rank_units(found.kept, item.named), seconds[0], withheld=found.counts)
