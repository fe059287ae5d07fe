"""Domain-aware against domain-blind retrieval over the pooled cases of a library, image and text queries apart.

A query is a case's own image, or its own text; the case itself is taken out of the ranking. Right are the other cases
of its patient or study. A hit is of a wrong domain when its record says another domain than the query's case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from eval.metrics.retrieval import gains_of, ndcg_at
from eval.statistics import Estimate, mean_interval, paired_ratio
from indexers.domains.examples import group_of
from rag.domains.names import Domain
from rag.domains.records import domain_of
from rag.routing import Route
from rag.types import Hit, Passage, Query

Sort = Literal["image", "text"]
Search = Callable[[Query], Sequence[Hit]]
Decide = Callable[[Query, Passage], Route]
Weigh = Callable[[Sequence[Hit], Route], Sequence[Hit]]
DEPTH = 10


@dataclass(frozen=True, slots=True)
class Comparison:
    """Figures of one sort of query: domain-blind, domain-aware, and the ratio of aware to blind.

    n_ndcg counts queries with another case of their patient or study; n_wrong those whose case names an image domain.
    wrong: share of the first ten hits that are of another domain.
    """

    sort: Sort
    n_ndcg: int
    n_wrong: int
    ndcg: tuple[Estimate, Estimate, Estimate]
    wrong: tuple[Estimate, Estimate, Estimate]
    by_domain: Mapping[str, tuple[int, float, float]]

    def as_json(self) -> dict[str, object]:
        """`{"ndcg@10": {"n", "blind", "aware", "ratio"}, "wrong_domain@10": ..., "by_domain": {name: ...}}`."""
        return {
            "ndcg@10": {"n": self.n_ndcg} | _named(self.ndcg),
            "wrong_domain@10": {"n": self.n_wrong} | _named(self.wrong),
            "by_domain": {
                name: {"n": n, "blind_wrong": blind, "aware_wrong": aware}
                for name, (n, blind, aware) in self.by_domain.items()
            },
        }


@dataclass(frozen=True, slots=True)
class _Row:
    """One query: its group and domain, whether anything is right, and [blind, aware] nDCG and wrong share."""

    group: str
    domain: Domain | None
    judged: bool
    ndcg: tuple[float, float]
    wrong: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Systems:
    """The three steps compared: search gives the blind list; decide and weigh make the aware one of it."""

    search: Search
    decide: Decide
    weigh: Weigh


def compare(cases: Sequence[Passage], sort: Sort, systems: Systems) -> Comparison:
    """Both systems on one query per case that has an image (or a text)."""
    sizes: dict[str, int] = {}
    for passage in cases:
        sizes[group_of(passage)] = sizes.get(group_of(passage), 0) + 1
    rows = [
        _judge(passage, query, sizes[group_of(passage)] - 1, systems)
        for passage in cases
        if (query := query_of(passage, sort)) is not None
    ]
    judged = [row for row in rows if row.judged]
    placed = [row for row in rows if row.domain not in (None, "unknown")]
    names = sorted({str(row.domain) for row in placed})
    return Comparison(
        sort,
        len(judged),
        len(placed),
        _pair([row.ndcg for row in judged], [row.group for row in judged]),
        _pair([row.wrong for row in placed], [row.group for row in placed]),
        {name: _means([row.wrong for row in placed if row.domain == name]) for name in names},
    )


def query_of(passage: Passage, sort: Sort) -> Query | None:
    """The case's own image or text as a query; None when it has none."""
    if sort == "image":
        return Query(id=passage.id, images=passage.images[:1]) if passage.images else None
    return Query(id=passage.id, text=passage.text) if passage.text.strip() else None


def _judge(passage: Passage, query: Query, n_right: int, systems: Systems) -> _Row:
    own, group = domain_of(passage), group_of(passage)
    blind = [hit for hit in systems.search(query) if hit.passage.id != passage.id]
    aware = systems.weigh(blind, systems.decide(query, passage))
    lists = [[hit.passage for hit in hits[:DEPTH]] for hits in (blind, aware)]
    scores = [_ndcg(found, group, n_right) for found in lists]
    shares = [_wrong(found, own) for found in lists]
    return _Row(group, own, n_right > 0, (scores[0], scores[1]), (shares[0], shares[1]))


def _ndcg(found: Sequence[Passage], group: str, n_right: int) -> float:
    grades = {passage.id: float(group_of(passage) == group) for passage in found}
    return ndcg_at(gains_of([passage.id for passage in found], grades), [1.0] * n_right, DEPTH)


def _wrong(found: Sequence[Passage], own: Domain | None) -> float:
    """The share of hits that tell another domain; 0 when nothing was found."""
    domains = [domain_of(passage) for passage in found]
    return float(np.mean([domain is not None and domain != own for domain in domains])) if domains else 0.0


def _pair(values: Sequence[tuple[float, float]], groups: Sequence[str]) -> tuple[Estimate, Estimate, Estimate]:
    if not values:
        none = Estimate(None, None, None)
        return none, none, none
    table: npt.NDArray[np.float64] = np.array(values)
    blind, aware = table[:, 0], table[:, 1]
    return (
        mean_interval(blind, clusters=groups),
        mean_interval(aware, clusters=groups),
        paired_ratio(aware, blind, clusters=groups),
    )


def _means(values: Sequence[tuple[float, float]]) -> tuple[int, float, float]:
    blind, aware = np.mean(values, axis=0).tolist()
    return len(values), blind, aware


def _named(three: tuple[Estimate, Estimate, Estimate]) -> dict[str, object]:
    return {name: figure.as_json() for name, figure in zip(("blind", "aware", "ratio"), three, strict=True)}


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """Both figures of every sort of query as Markdown."""
    rows = ["| queries | figure | n | blind | aware | aware / blind |\n|---|---|---|---|---|---|\n"]
    for entry in comparisons:
        for name, n, three in (
            ("nDCG@10", entry.n_ndcg, entry.ndcg),
            ("wrong domain in the top 10", entry.n_wrong, entry.wrong),
        ):
            rows.append(f"| {entry.sort} | {name} | {n} | {' | '.join(_shown(figure) for figure in three)} |\n")
        for domain, (n, blind, aware) in entry.by_domain.items():
            rows.append(f"| {entry.sort} | wrong domain: {domain} | {n} | {blind:.3f} | {aware:.3f} | |\n")
    return "".join(rows)


def _shown(figure: Estimate) -> str:
    if figure.value is None:
        return "undefined"
    bounds = [("?" if bound is None else f"{bound:.3f}") for bound in (figure.low, figure.high)]
    return f"{figure.value:.3f} [{', '.join(bounds)}]"
