"""The index card: quality against bytes for each way of keeping a channel's rows, on the user's own pages and queries.

Every way is tried in a scratch store of the embedded engine that holds the pages' stored rows. With judged queries the
figure is nDCG@5 and its paired difference to all rows in 32 bits; without, it is how much of that exact list is found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from eval.gold import rank_units
from eval.index_card_queries import Asked, CardPages
from eval.index_card_store import FOUND, Scratch, Searched, Setup
from eval.metrics.retrieval import score_ranking
from eval.statistics import UNDEFINED, BootstrapOptions, Estimate, bootstrap, mean_interval
from indexers.encoders.pooling import Grouping
from rag.errors import ConfigError
from rag.types import Storage

Floats = npt.NDArray[np.float64]

STORAGES: tuple[Storage, ...] = ("f32", "f16", "int8", "turbo8", "turbo4", "binary")
CODED: tuple[Storage, ...] = ("int8", "binary")
"""Storage types that keep codes beside their numbers: a first stage reads the codes, the second the numbers."""
EXACT = Setup("f32")
"""What every other setup is compared with: all rows as they are."""


@dataclass(frozen=True, slots=True)
class CardOptions:
    """What is tried, and what counts as good enough.

    `coarse`, `groupings` and `depths` are the rows per page, their making and the depths of first stages; any may be
    empty, and a storage type with codes is tried with them as a first stage too. `margin` is the loss of nDCG@5 that
    is accepted. `agreement` is the share of the exact list that must be found when nothing is judged. `kept` is the
    share of its own exact list that a first stage must keep.

    Raises:
        ConfigError: nothing to try, or a number outside its range.
    """

    storages: tuple[Storage, ...] = STORAGES
    pools: tuple[int, ...] = (1, 2, 3, 4)
    coarse: tuple[int, ...] = (8, 16, 32, 64)
    groupings: tuple[Grouping, ...] = ("similar", "consecutive")
    depths: tuple[int, ...] = (20, 50, 100)
    margin: float = 0.01
    agreement: float = 0.95
    kept: float = 0.99
    bootstrap: BootstrapOptions = field(default_factory=BootstrapOptions)

    def __post_init__(self) -> None:
        unknown = set(self.storages) - set(STORAGES)
        if unknown or not self.storages:
            raise ConfigError(f"storage types {sorted(unknown)} are unknown; they are {', '.join(STORAGES)}")
        if not self.pools or min((*self.pools, *self.coarse, *self.depths)) < 1:
            raise ConfigError("pool factors, coarse rows and depths are numbers of 1 or more")
        if self.margin < 0 or not 0 < self.agreement <= 1 or not 0 < self.kept <= 1:
            raise ConfigError("the margin is 0 or more; the shares to be kept are above 0 and at most 1")

    def setups(self) -> list[Setup]:
        """Every way without a first stage, the exact one first."""
        made = [Setup(storage, pool) for storage in self.storages for pool in self.pools]
        return list(dict.fromkeys([EXACT, *made]))

    def staged(self, base: Setup, n_pages: int) -> list[Setup]:
        """First stages for one way of keeping rows, and those of codes; a depth that keeps every page is none."""
        depths = [depth for depth in self.depths if depth < n_pages]
        coded = [storage for storage in self.storages if storage in CODED]
        means = [
            Setup(base.storage, base.pool, coarse, grouping, depth)
            for grouping in self.groupings
            for coarse in self.coarse
            for depth in depths
        ]
        return [*means, *(Setup(storage, base.pool, depth=depth) for storage in coded for depth in depths)]


@dataclass(frozen=True, slots=True)
class CardRow:
    """A setup's figures. `disk` is bytes per page, `memory` bytes in all; see `Searched`.

    `ndcg` is nDCG@5 and `difference` that minus the exact setup's, on the same queries (undefined when nothing is
    judged); `by_set` and `loss_by_set` are the same per query set, means only. `agreement` is the share of the exact
    list's first ten that the first ten hold; for a first stage, of the list of the same rows without it.
    """

    setup: Setup
    disk: float
    memory: int | None
    p50_ms: float
    ndcg: Estimate
    difference: Estimate
    agreement: Estimate
    by_set: Mapping[str, float] = field(default_factory=dict)
    loss_by_set: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IndexCard:
    """The card: rows without a first stage (the exact one first), rows with one, and which are recommended.

    `recommended` is never None: the exact setup fulfils the rule itself. `first_stage` is None when none was tried or
    none keeps enough.
    """

    rows: tuple[CardRow, ...]
    staged: tuple[CardRow, ...]
    recommended: CardRow
    first_stage: CardRow | None
    options: CardOptions
    judged: int
    queries: int
    pages: CardPages


def make_card(
    pages: CardPages,
    asked: Sequence[Asked],
    options: CardOptions | None = None,
    on_row: Callable[[str], None] | None = None,
) -> IndexCard:
    """Measure every setup. `on_row` hears of each one measured, in words.

    Raises:
        StoreError: the scratch store failed, for example because the disk for temporary files is full.
    """
    options = options or CardOptions()
    told = on_row or _tell_nobody
    judged = [place for place, one in enumerate(asked) if one.item.gold]
    with TemporaryDirectory(prefix="index-card-") as folder:
        scratch = Scratch(pages, asked, Path(folder))
        plain = _search(scratch, options.setups(), told)
        exact = plain[0]
        rows = [_row(one, exact, exact, asked, options) for one in plain]
        best = recommend(rows, options)
        found = _search(scratch, options.staged(best.setup, len(pages.rows)), told)
        staged = [_row(one, exact, _without_stage(one, plain), asked, options) for one in found]
    return IndexCard(
        rows=tuple(rows),
        staged=tuple(staged),
        recommended=best,
        first_stage=recommend_stage(staged, options),
        options=options,
        judged=len(judged),
        queries=len(asked),
        pages=pages,
    )


def _without_stage(one: Searched, plain: Sequence[Searched]) -> Searched:
    """The search of the same rows without a first stage; the exact one when it was not tried."""
    same = (other for other in plain if (other.setup.storage, other.setup.pool) == (one.setup.storage, one.setup.pool))
    return next(same, plain[0])


def recommend(rows: Sequence[CardRow], options: CardOptions) -> CardRow:
    """The row of the fewest bytes that is good enough; the exact row, which comes first, always is.

    Judged: the paired 95 % interval of the difference in nDCG@5 stays above -margin (a test of non-inferiority), and no
    query set's mean falls by more than twice the margin. Not judged: the mean agreement reaches `agreement`.
    """
    good = [rows[0], *(row for row in rows[1:] if _good(row, options))]
    return min(good, key=lambda row: (row.disk, -(row.ndcg.value or 0.0), -(row.agreement.value or 0.0)))


def recommend_stage(rows: Sequence[CardRow], options: CardOptions) -> CardRow | None:
    """The first stage of the least depth, then of the fewest rows, that keeps enough of the exact list.

    One that reads the codes of all rows is left out: its cost grows as that of a search without a first stage.
    """
    good = [row for row in rows if row.setup.coarse and (row.agreement.value or 0.0) >= options.kept]
    return min(good, key=lambda row: (row.setup.depth, row.setup.coarse), default=None)


def _good(row: CardRow, options: CardOptions) -> bool:
    if row.difference.value is None:
        return (row.agreement.value or 0.0) >= options.agreement
    low = row.difference.value if row.difference.low is None else row.difference.low
    return low >= -options.margin and max(row.loss_by_set.values(), default=0.0) <= 2 * options.margin


def _search(scratch: Scratch, setups: Sequence[Setup], told: Callable[[str], None]) -> list[Searched]:
    found = []
    for one in scratch.search(setups):
        found.append(one)
        told(f"{len(found)}/{len(setups)} {one.setup.name}: {one.disk / 1000:.1f} kB/page, {one.p50_ms:.1f} ms")
    return found


def _row(one: Searched, exact: Searched, base: Searched, asked: Sequence[Asked], options: CardOptions) -> CardRow:
    """The figures of one setup; `base` is what its list is compared with."""
    agreement = mean_interval([_share(ours, theirs) for ours, theirs in _lists(one, base)], options.bootstrap)
    judged = [place for place, query in enumerate(asked) if query.item.gold]
    ndcg, difference, means, losses = UNDEFINED, UNDEFINED, dict[str, float](), dict[str, float]()
    if judged:
        table = np.column_stack([_ndcg(one, asked, judged), _ndcg(exact, asked, judged)])
        resampled = bootstrap(table, options.bootstrap, [asked[place].item.cluster for place in judged])
        ndcg, difference = resampled.mean(0), resampled.difference(0, 1)
        sets = [asked[place].item.set_name for place in judged]
        for name in dict.fromkeys(sets):
            ours, theirs = table[[own == name for own in sets]].mean(axis=0).tolist()
            means[name], losses[name] = ours, theirs - ours
    return CardRow(one.setup, one.disk, one.memory, one.p50_ms, ndcg, difference, agreement, means, losses)


def _lists(one: Searched, other: Searched) -> list[tuple[list[str], list[str]]]:
    """The ids that both found for each query."""
    return [
        ([hit.passage.id for hit in ours], [hit.passage.id for hit in theirs])
        for ours, theirs in zip(one.hits, other.hits, strict=True)
    ]


def _share(ours: Sequence[str], theirs: Sequence[str]) -> float:
    """The share of their first ten among our first ten; 1 when they found nothing."""
    return len(set(ours[:FOUND]) & set(theirs[:FOUND])) / len(theirs[:FOUND]) if theirs else 1.0


def _ndcg(one: Searched, asked: Sequence[Asked], judged: Sequence[int]) -> Floats:
    """nDCG@5 of each judged query."""
    values = []
    for place in judged:
        item = asked[place].item
        units = [entry.unit for entry in rank_units(one.hits[place], item.named)]
        values.append(score_ranking(units, dict.fromkeys(item.gold, 1.0))[0])
    return np.array(values, dtype=np.float64)


def _tell_nobody(text: str) -> None:
    del text
