"""Selectors compared on the same retrieved lists: how much context each keeps, and what is right in it.

A list is searched once per labelled query; every selector then chooses from it. Fitted selectors are fitted on the
other folds of the queries (clusters, such as one patient's, stay together), so no query judges a parameter that it
helped to fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from eval.datasets import QueryItem
from eval.gold import canonical, kinds_of, unit_of
from eval.leakage import Guard, SameOrigin
from eval.retrieval import Searcher
from eval.statistics import BootstrapOptions, Estimate, bootstrap
from rag.errors import QueryError
from rag.protocols import Selector
from rag.selection import FixedK
from rag.selectors import (
    Calibration,
    FitOptions,
    JudgedList,
    SelectionOptions,
    domain_of,
    fit_calibration,
    make_selector,
)
from rag.selectors.calibration import CONFORMAL, LOG_RATIO, RISK, TOP_RATIO, critical_value, folds_of, readable_lists
from rag.selectors.conformal import conformal_quantile
from rag.types import Evidence, Hit, Kind, Query

Floats = npt.NDArray[np.float64]

MEASURES: tuple[str, ...] = ("kept", "words", "hit", "recall", "precision")
"""Per query: hits kept, their words, 1 when a right answer is kept, the share of right answers kept, and the share of
what is kept that is right (0 when nothing is kept)."""
_UNLIMITED = 10**9


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What is compared: the fitted selectors' options, the numbers of a fixed k, and the bounds of all other cuts."""

    fit: FitOptions
    fixed: tuple[int, ...] = (1, 2, 3, 5, 8, 10, 15, 20)
    least: int = 1
    most: int = 20
    bootstrap: BootstrapOptions = field(default_factory=lambda: BootstrapOptions(resamples=2000))


@dataclass(frozen=True, slots=True)
class SelectorFigures:
    """One selector on one query set.

    `measures` has the mean of each of MEASURES. `gain` is the difference in "hit" and in "recall" to a fixed k of the
    same mean size (between two whole k, the two are mixed), query by query.
    """

    measures: Mapping[str, Estimate]
    gain: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class SetComparison:
    """Every selector on one query set, by label; `found` is the share of queries with a right answer in the list."""

    n: int
    found: float
    selectors: Mapping[str, SelectorFigures]


def judge_lists(
    searcher: Searcher, items: Sequence[QueryItem], *, depth: int, guard: Guard | None = None
) -> list[JudgedList]:
    """Search for every labelled item in the kinds its answers lie in (pages, not their figures).

    Raises:
        QueryError: no item has gold.
    """
    guard = guard or SameOrigin()
    judged = [item for item in items if item.gold]
    if not judged:
        raise QueryError('none of the rows has gold, so nothing can be fitted or compared; add "gold" to the rows')
    return [_judge(searcher, item, depth, guard) for item in judged]


def other_records(items: Sequence[QueryItem]) -> list[QueryItem]:
    """The items that name further right answers (`gold_relaxed`), to be asked for those without their own.

    A record's own image or report finds the record; who shows a new case wants others like it.
    """
    others = [replace(item, gold=item.gold_relaxed - item.gold, exclude=item.exclude | item.gold) for item in items]
    return [item for item in others if item.gold]


def compare_selectors(lists: Sequence[JudgedList], options: CompareOptions) -> dict[str, SetComparison]:
    """Figures of every selector for every set, in order of first appearance."""
    makers = _makers(options)
    folds = np.array(folds_of(lists, options.fit.folds))
    tables = {label: np.full((len(lists), len(MEASURES)), np.nan) for label in makers}
    for number in range(options.fit.folds):
        others = [row for row, fold in zip(lists, folds, strict=True) if fold != number]
        depth = max(len(row.hits) for row in lists)
        calibration = fit_calibration(others, options.fit, fingerprint="", encoders={}, depth=depth)
        selectors = {label: maker(calibration) for label, maker in makers.items()}
        for place in np.flatnonzero(folds == number).tolist():
            for label, selector in selectors.items():
                if selector is not None:
                    tables[label][place] = _measure(selector, lists[place])
    sets: dict[str, list[int]] = {}
    for place, row in enumerate(lists):
        sets.setdefault(row.set_name, []).append(place)
    return {name: _compare_set(lists, places, tables, options) for name, places in sets.items()}


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often a conformal threshold keeps the answer of queries it was not fitted on, over random splits.

    `n` queries fit the threshold, chosen so that `target` is met exactly when no scores are equal; the `rest` judge it.
    `mean` and `spread` are of the coverages of all splits; `error` is the standard error of the mean. In `unreached`, a
    share of the splits, so many answers were not found that no threshold reaches the target: nothing is cut then, and
    the mean falls below the target.
    """

    domain: str
    channel: str
    target: float
    splits: int
    n: int
    rest: int
    mean: float
    spread: float
    error: float
    unreached: float

    @property
    def holds(self) -> bool:
        """Whether the mean lies within three standard errors of the target."""
        return abs(self.mean - self.target) <= 3 * self.error


def conformal_coverage(
    values: Sequence[float], target: float, *, domain: str = "", channel: str = "", splits: int = 1000, seed: int = 0
) -> Coverage | None:
    """Split critical values (see `rag.selectors.calibration.critical_value`) at random, fit on a part, judge the rest.

    The number fitted on is the greatest of at most half of them for which (n + 1) * target is whole: then the expected
    coverage of a further query is exactly the target, instead of up to 1 / (n + 1) above. None when there is no such
    number.
    """
    every = np.asarray(values, dtype=np.float64)
    whole = [n for n in range(1, len(every) // 2 + 1) if abs((n + 1) * target - round((n + 1) * target)) < 1e-9]
    if not whole:
        return None
    n = whole[-1]
    rng = np.random.default_rng(seed)
    shares, bounds = np.empty(splits), np.empty(splits)
    for split in range(splits):
        order = rng.permutation(len(every))
        bounds[split] = conformal_quantile(every[order[:n]].tolist(), target)
        rest = every[order[n:]]
        shares[split] = np.mean((rest <= bounds[split]) & np.isfinite(rest))
    spread = float(shares.std(ddof=1))
    mean, error = float(shares.mean()), spread / splits**0.5
    unreached = float(np.mean(np.isinf(bounds)))
    return Coverage(domain, channel, target, splits, n, len(every) - n, mean, spread, error, unreached)


def coverages(lists: Sequence[JudgedList], options: FitOptions) -> list[Coverage]:
    """`conformal_coverage` of every channel for every part of the library that has enough labelled queries."""
    made = fit_calibration(lists, options, fingerprint="", encoders={}, depth=0)
    found = []
    for entry in (entry for entry in made.entries if entry.selector == CONFORMAL and entry.value is not None):
        readable = readable_lists(lists, entry.domain, entry.channel)
        values = [critical_value(row, entry.domain, CONFORMAL, entry.channel) for row in readable]
        measured = conformal_coverage(values, options.target, domain=entry.domain, channel=entry.channel)
        found += [measured] if measured is not None else []
    return found


def _judge(searcher: Searcher, item: QueryItem, depth: int, guard: Guard) -> JudgedList:
    kinds: tuple[Kind, ...] = tuple(kind for kind in kinds_of(item.gold) if kind != "figure")
    found = searcher.search(item.query, k=depth, kinds=kinds, channels=None)
    hits = guard(item, found).kept
    units = [canonical(unit_of(hit.passage), item.gold) for hit in hits]
    right = tuple("/".join(unit) if unit in item.gold else None for unit in units)
    return JudgedList(item.id, item.set_name, item.cluster, _domain(hits, right, kinds[0]), hits, right, len(item.gold))


def _domain(hits: Sequence[Hit], right: Sequence[str | None], kind: Kind) -> str:
    """Where the answers lie: with the first right hit; if none was found, where most hits of their kind lie."""
    for hit, unit in zip(hits, right, strict=True):
        if unit is not None:
            return domain_of(hit.passage)
    counts = Counter(domain_of(hit.passage) for hit in hits if hit.passage.kind == kind)
    return counts.most_common(1)[0][0] if counts else kind


def _makers(options: CompareOptions) -> dict[str, Callable[[Calibration], Selector | None]]:
    """A maker of each selector compared, by label; None where a channel could not be calibrated."""
    makers: dict[str, Callable[[Calibration], Selector | None]] = {}
    for k in options.fixed:
        makers[f"fixed k = {k}"] = _maker("fixed", "rank", replace(options, least=min(options.least, k), most=k))
    makers[RISK] = _maker(RISK, "rank", options)
    for channel in options.fit.channels:
        for name in (CONFORMAL, LOG_RATIO, TOP_RATIO, "gap", "mixture"):
            makers[f"{name} of {channel}"] = _maker(name, channel, options)
    return makers


def _maker(name: str, channel: str, options: CompareOptions) -> Callable[[Calibration], Selector | None]:
    chosen = SelectionOptions(channel, options.least, options.most, budget_words=_UNLIMITED)

    def make(calibration: Calibration) -> Selector | None:
        if name in (CONFORMAL, LOG_RATIO, TOP_RATIO, RISK) and not calibration.cuts(name, channel):
            return None
        return make_selector(name, chosen, calibration)

    return make


def _measure(selector: Selector, row: JudgedList) -> list[float]:
    evidence = selector.select(Query(text="unused", id=row.id), row.hits)
    right = [unit for unit in _right_of(evidence, row) if unit is not None]
    kept = len(evidence.hits)
    words = sum(len(hit.passage.text.split()) for hit in evidence.hits)
    return [kept, words, float(bool(right)), len(set(right)) / row.gold, len(right) / kept if kept else 0.0]


def _compare_set(
    lists: Sequence[JudgedList], places: Sequence[int], tables: Mapping[str, Floats], options: CompareOptions
) -> SetComparison:
    rows = [lists[place] for place in places]
    curves = _fixed_curves(rows, max(options.most, *options.fixed))
    own = {label: table[list(places)] for label, table in tables.items()}
    own = {label: table for label, table in own.items() if np.isfinite(table).all()}
    columns = [np.hstack([table, _at_size(curves, float(table[:, 0].mean()))]) for table in own.values()]
    resampled = bootstrap(np.hstack(columns), options.bootstrap, [row.cluster for row in rows])
    width = len(MEASURES) + 2
    figures = {}
    for number, label in enumerate(own):
        first = number * width
        means = {name: resampled.mean(first + offset) for offset, name in enumerate(MEASURES)}
        gain = {
            name: resampled.difference(first + MEASURES.index(name), first + len(MEASURES) + offset)
            for offset, name in enumerate(("hit", "recall"))
        }
        figures[label] = SelectorFigures(means, gain)
    found = float(np.mean([any(unit is not None for unit in row.right) for row in rows]))
    return SetComparison(len(rows), found, figures)


def _fixed_curves(rows: Sequence[JudgedList], most: int) -> Floats:
    """Hit and recall of a fixed k for each list, shape (n_queries, most + 1, 2), k from 0."""
    curves = np.zeros((len(rows), most + 1, 2))
    fixed = FixedK(most, _UNLIMITED)
    for number, row in enumerate(rows):
        units = _right_of(fixed.select(Query(text="unused"), row.hits), row)
        for k in range(1, most + 1):
            seen = {unit for unit in units[:k] if unit is not None}
            curves[number, k] = bool(seen), len(seen) / row.gold
    return curves


def _right_of(evidence: Evidence, row: JudgedList) -> list[str | None]:
    named = {hit.passage.id: unit for hit, unit in zip(row.hits, row.right, strict=True)}
    return [named[hit.passage.id] for hit in evidence.hits]


def _at_size(curves: Floats, size: float) -> Floats:
    """What a fixed k of this mean size gives each query, shape (n_queries, 2)."""
    low = int(size)
    high = min(low + 1, curves.shape[1] - 1)
    share = size - low
    mixed: Floats = (1 - share) * curves[:, low] + share * curves[:, high]
    return mixed
