"""From samples to figures: metrics with intervals per set, per channel and against each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eval.gold import Unit
from eval.metrics.retrieval import HEADLINE_METRICS, METRICS, score_ranking
from eval.samples import FUSED, Outcome, Sample
from eval.statistics import Bootstrap, BootstrapOptions, Estimate, bootstrap, wins_ties_losses
from rag.types import Kind

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SystemFigures:
    """A system on a set: number of queries, of those without any result, and each metric with its interval."""

    n: int
    missing: int
    metrics: Mapping[str, Estimate]

    def as_json(self) -> dict[str, object]:
        """`{"n", "missing", metric: {"value", "low", "high"}}`."""
        return {"n": self.n, "missing": self.missing} | {
            name: figure.as_json() for name, figure in self.metrics.items()
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """The fused system against another one on the same queries, for one metric."""

    difference: Estimate
    ratio: Estimate
    wins: int
    ties: int
    losses: int

    def as_json(self) -> dict[str, object]:
        """`{"difference", "ratio", "wins", "ties", "losses"}`."""
        return {
            "difference": self.difference.as_json(),
            "ratio": self.ratio.as_json(),
            "wins": self.wins,
            "ties": self.ties,
            "losses": self.losses,
        }


@dataclass(frozen=True, slots=True)
class SetReport:
    """The figures of one query set.

    `systems` holds the fused system first, then channels and baselines; `against` compares fused with each of the
    others. `left_out` says why a system has no figures here. `clusters` is how many independent groups
    (patients, images, rows) the intervals rest on.
    """

    systems: Mapping[str, SystemFigures]
    against: Mapping[str, Mapping[str, Comparison]]
    strict: SystemFigures | None
    relaxed: SystemFigures | None
    baselines: tuple[str, ...]
    left_out: Mapping[str, str]
    kinds: tuple[Kind, ...]
    clusters: int
    unjudged: int
    errors: int
    withheld: Mapping[str, int]

    @property
    def fused(self) -> SystemFigures:
        """The whole system's figures."""
        return self.systems[FUSED]

    def as_json(self) -> dict[str, object]:
        """The fused figures at the top, the rest beside them."""
        others = {name: figures.as_json() for name, figures in self.systems.items() if name != FUSED}
        readings = {"strict": self.strict, "relaxed": self.relaxed}
        return self.fused.as_json() | {
            "unjudged": self.unjudged,
            "errors": self.errors,
            "withheld": sum(self.withheld.values()),
            "withheld_by_reason": dict(self.withheld),
            "clusters": self.clusters,
            "kinds": list(self.kinds),
            "by_channel": {name: row for name, row in others.items() if name not in self.baselines},
            "baselines": {name: row for name, row in others.items() if name in self.baselines},
            "against": {
                name: {metric: comparison.as_json() for metric, comparison in row.items()}
                for name, row in self.against.items()
            },
            "left_out": dict(self.left_out),
            **{name: figures.as_json() for name, figures in readings.items() if figures is not None},
        }


@dataclass(frozen=True, slots=True)
class RetrievalReport:
    """A finished run: the figures of each set, the samples behind them, and times in seconds."""

    sets: Mapping[str, SetReport]
    samples: tuple[Sample, ...]
    seconds: Mapping[str, Mapping[str, float]]
    total_seconds: float

    @property
    def failed(self) -> dict[str, str]:
        """The error of each query that failed in some system, by id."""
        return {
            sample.item.id: "; ".join(f"{name}: {text}" for name, text in sample.errors.items())
            for sample in self.samples
            if sample.errors
        }

    def as_json(self) -> dict[str, object]:
        """The document that `vesalius eval retrieval --json` prints."""
        return {
            "sets": {name: report.as_json() for name, report in self.sets.items()},
            "seconds": {"total": round(self.total_seconds, 3), "per_query": self.seconds},
            "failed": [{"id": identity, "error": error} for identity, error in self.failed.items()],
        }


def summarise(
    samples: Sequence[Sample], baselines: Sequence[str], options: BootstrapOptions, total_seconds: float
) -> RetrievalReport:
    """Judge all samples, set by set in order of first appearance."""
    by_set: dict[str, list[Sample]] = {}
    for sample in samples:
        by_set.setdefault(sample.item.set_name, []).append(sample)
    return RetrievalReport(
        sets={name: _report_set(rows, tuple(baselines), options) for name, rows in by_set.items()},
        samples=tuple(samples),
        seconds=_latencies(samples),
        total_seconds=total_seconds,
    )


def _report_set(samples: Sequence[Sample], baselines: tuple[str, ...], options: BootstrapOptions) -> SetReport:
    judged = [sample for sample in samples if sample.item.gold]
    left_out = _left_out(judged)
    others = dict.fromkeys(name for sample in judged for name in sample.outcomes if name not in {FUSED, *left_out})
    names = [FUSED, *others]
    tables = [_table([(sample.outcomes[name], sample.item.gold) for sample in judged]) for name in names]
    clusters = [sample.item.cluster for sample in judged]
    resampled = bootstrap(np.hstack(tables), options, clusters)
    return SetReport(
        systems={
            name: SystemFigures(len(judged), _missing(judged, name), _estimates(resampled, position))
            for position, name in enumerate(names)
        },
        against={name: _compare(resampled, tables, position) for position, name in enumerate(names) if position},
        strict=_strict(judged, options),
        relaxed=_relaxed(judged, options),
        baselines=baselines,
        left_out=left_out,
        kinds=tuple(dict.fromkeys(kind for sample in samples for kind in sample.kinds)),
        clusters=resampled.clusters,
        unjudged=len(samples) - len(judged),
        errors=sum(bool(sample.errors) for sample in samples),
        withheld=_sum_by_reason(sample.fused.withheld for sample in samples),
    )


def _sum_by_reason(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))


def _left_out(judged: Sequence[Sample]) -> dict[str, str]:
    """The systems that cannot be compared on a set, with the reason: paired figures need the same queries."""
    put = Counter(name for sample in judged for name in sample.outcomes)
    found = Counter(name for sample in judged for name, outcome in sample.outcomes.items() if outcome.ranked)
    partly = {name: f"put to {n} of {len(judged)} queries" for name, n in put.items() if n < len(judged)}
    silent = {name: "found nothing for any query" for name in put if name != FUSED and not found[name]}
    return silent | partly


def _missing(samples: Sequence[Sample], name: str) -> int:
    """How many queries a system has no result for."""
    return sum(not sample.outcomes[name].ranked for sample in samples)


def _table(judgements: Sequence[tuple[Outcome, Collection[Unit]]]) -> Floats:
    """Metrics per query, shape (n_queries, len(METRICS)); every gold unit counts 1."""
    rows = [score_ranking(outcome.units(), dict.fromkeys(gold, 1.0)) for outcome, gold in judgements]
    return np.array(rows, dtype=np.float64).reshape(len(judgements), len(METRICS))


def _estimates(resampled: Bootstrap, position: int) -> dict[str, Estimate]:
    """The metrics of the system at a position; its columns lie together in the order of METRICS."""
    first = position * len(METRICS)
    return {metric: resampled.mean(first + offset) for offset, metric in enumerate(METRICS)}


def _compare(resampled: Bootstrap, tables: Sequence[Floats], position: int) -> dict[str, Comparison]:
    """The fused system, whose columns come first, against the system at a position, for the headline metrics."""
    first = position * len(METRICS)
    return {
        metric: Comparison(
            resampled.difference(offset, first + offset),
            resampled.ratio(offset, first + offset),
            *wins_ties_losses(tables[0][:, offset], tables[position][:, offset]),
        )
        for offset, metric in enumerate(HEADLINE_METRICS)
    }


def _strict(judged: Sequence[Sample], options: BootstrapOptions) -> SystemFigures | None:
    """The fused system on the rows that have a strict gold, judged by it alone."""
    rows = [sample for sample in judged if sample.item.gold_strict]
    return _reading(rows, [sample.item.gold_strict for sample in rows], options) if rows else None


def _relaxed(judged: Sequence[Sample], options: BootstrapOptions) -> SystemFigures | None:
    """The fused system on all rows, with what may count as right counted as right; None when no row has any."""
    if not any(sample.item.gold_relaxed for sample in judged):
        return None
    return _reading(judged, [sample.item.gold | sample.item.gold_relaxed for sample in judged], options)


def _reading(rows: Sequence[Sample], golds: Sequence[Collection[Unit]], options: BootstrapOptions) -> SystemFigures:
    table = _table([(sample.fused, gold) for sample, gold in zip(rows, golds, strict=True)])
    resampled = bootstrap(table, options, [sample.item.cluster for sample in rows])
    return SystemFigures(len(rows), _missing(rows, FUSED), _estimates(resampled, 0))


def _latencies(samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """Seconds per query of each system, failed queries left out: the median and the 95th percentile."""
    times: dict[str, list[float]] = {}
    for sample in samples:
        for name, outcome in sample.outcomes.items():
            if outcome.error is None:
                times.setdefault(name, []).append(outcome.seconds)
    return {
        name: {"p50": round(float(np.percentile(seconds, 50)), 6), "p95": round(float(np.percentile(seconds, 95)), 6)}
        for name, seconds in times.items()
    }
