"""Fitting the parameters of cuts on queries whose answers are known. Pure.

Every fitted cut has a critical value per query: the tightest parameter with which the best scored right hit is kept.
The conformal quantile of these values is a parameter that keeps it for a further query with the target probability,
whatever the cut: a threshold, a ratio, or k itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from rag.errors import ConfigError
from rag.selectors.conformal import certified, conformal_quantile
from rag.selectors.cuts import Above, Cut, LogRatio, TopK, TopRatio
from rag.selectors.reading import RANK, ScoreReading, domain_of
from rag.types import Hit

Floats = npt.NDArray[np.float64]

CONFORMAL, LOG_RATIO, TOP_RATIO, FIXED, RISK = "conformal", "log-ratio", "top-ratio", "fixed", "risk"
SCORED: Mapping[str, type[Above] | type[LogRatio] | type[TopRatio]] = {
    CONFORMAL: Above,
    LOG_RATIO: LogRatio,
    TOP_RATIO: TopRatio,
}
"""The fitted cuts that read a score; `fixed` and `risk` read the order alone."""


@dataclass(frozen=True, slots=True)
class JudgedList:
    """What a search gave for a labelled query.

    `right` names, for each hit, the right answer that it is, None when it is none (two hits may be the same answer).
    `gold` is how many right answers there are, found or not. `domain` is where they lie (see `domain_of`). Lists of one
    `cluster` (a patient, an image) are never on both sides of a split.
    """

    id: str
    set_name: str
    cluster: str
    domain: str
    hits: tuple[Hit, ...]
    right: tuple[str | None, ...]
    gold: int

    @property
    def kind(self) -> str:
        """The passage kind of the right answers."""
        return self.domain.partition("/")[0]


@dataclass(frozen=True, slots=True)
class FitOptions:
    """What is fitted: the share of queries whose answer must be kept, the error allowed to `risk`, and the channels.

    `least` queries are needed for a part of the library to have parameters of its own; `folds` of them give the
    figures of held-out queries.
    """

    channels: tuple[str, ...]
    target: float = 0.9
    delta: float = 0.1
    least: int = 30
    folds: int = 5

    def __post_init__(self) -> None:
        for name, value in (("target", self.target), ("delta", self.delta)):
            if not 0 < value < 1:
                raise ConfigError(f"calibration: {name} is {value}; it must be between 0 and 1")
        if self.least < 1 or self.folds < 2:
            raise ConfigError("calibration: needs at least 1 query and 2 folds")


@dataclass(frozen=True, slots=True)
class Fitted:
    """One parameter: of which cut, for which part of the library, read from which channel of which encoder.

    `value` is None when the target cannot be reached (too few queries, or the answer is found too seldom): nothing is
    cut then. `n` queries were used; `found` is the share whose answer was found and can be kept by this cut (ratios
    keep no score of 0 or below). `covered` and `kept` are of held-out queries (`folds`): the share whose answer was
    kept, and the mean number of hits kept.
    """

    selector: str
    channel: str
    domain: str
    encoder: str
    value: float | None
    n: int
    found: float
    covered: float
    kept: float

    def cut(self) -> Cut:
        """The cut with this parameter; one that keeps everything when there is none."""
        if self.value is None:
            return Above(-math.inf)
        if self.selector in SCORED:
            return SCORED[self.selector](self.value)
        return TopK(round(self.value))


@dataclass(frozen=True, slots=True)
class Calibration:
    """The fitted parameters of one library, for searches of `depth` hits."""

    fingerprint: str
    target: float
    delta: float
    depth: int
    entries: tuple[Fitted, ...] = ()

    def cuts(self, selector: str, channel: str) -> dict[str, Cut]:
        """The cut of each part of the library, for one selector and the channel that it reads."""
        return {
            entry.domain: entry.cut()
            for entry in self.entries
            if (entry.selector, entry.channel) == (selector, channel)
        }

    def channels(self, selector: str) -> list[str]:
        """The channels for which a selector was fitted."""
        return sorted({entry.channel for entry in self.entries if entry.selector == selector})


@dataclass(frozen=True, slots=True)
class _Table:
    """The critical value and the scores of each list: one selector, one channel, one part of the library."""

    selector: str
    values: Floats
    scores: tuple[tuple[float, ...], ...]


def fit_calibration(
    lists: Sequence[JudgedList], options: FitOptions, *, fingerprint: str, encoders: Mapping[str, str], depth: int
) -> Calibration:
    """Fit every selector for every part of the library with enough labelled queries.

    `encoders` names the encoder behind "kind.channel". Parts are kinds, and within a kind its domains. Queries whose
    answer was not found count against the target: their critical value is infinite. Queries that a channel cannot read
    (an image, by a text channel) are left out there, because nothing is cut for them.
    """
    entries: list[Fitted] = []
    for domain in _domains(lists, options.least):
        for selector, channel in _pairs(options.channels):
            readable = readable_lists(lists, domain, channel)
            table = _table(readable, domain, selector, channel)
            if len(readable) < options.least or not np.isfinite(table.values).any():
                continue
            encoder = encoders.get(f"{domain.partition('/')[0]}.{channel}", "")
            entries.append(_fit(readable, table, options, Fitted(selector, channel, domain, encoder, None, 0, 0, 0, 0)))
    return Calibration(fingerprint, options.target, options.delta, depth, tuple(entries))


def readable_lists(lists: Sequence[JudgedList], domain: str, channel: str) -> list[JudgedList]:
    """The lists whose answers lie in a part of the library, and of which some hit there has the channel's score."""
    reading = ScoreReading(channel)
    own = [row for row in lists if domain in (row.kind, row.domain)]
    return [row for row in own if reading.descending([row.hits[place] for place in _inside(row, domain)])[0]]


def folds_of(lists: Sequence[JudgedList], folds: int, seed: int = 0) -> list[int]:
    """The fold of each list, in [0, folds); lists of one cluster share a fold."""
    names = sorted({row.cluster for row in lists})
    order = np.random.default_rng(seed).permutation(len(names))
    fold = {names[place]: number % folds for number, place in enumerate(order.tolist())}
    return [fold[row.cluster] for row in lists]


def critical_value(row: JudgedList, domain: str, selector: str, channel: str) -> float:
    """The tightest parameter with which the best scored right hit of a part is kept; infinite when there is none."""
    inside = _inside(row, domain)
    order, scores = ScoreReading(channel).descending([row.hits[place] for place in inside])
    right = [place for place, within in enumerate(order) if row.right[inside[within]] is not None]
    if not right:
        return math.inf
    return SCORED.get(selector, TopK).critical(scores, right[0])


def _domains(lists: Sequence[JudgedList], least: int) -> list[str]:
    counts: dict[str, int] = {}
    for row in lists:
        for name in {row.kind, row.domain}:
            counts[name] = counts.get(name, 0) + 1
    return sorted(name for name, n in counts.items() if n >= least)


def _pairs(channels: Sequence[str]) -> list[tuple[str, str]]:
    return [(FIXED, RANK), (RISK, RANK)] + [(name, channel) for channel in channels for name in SCORED]


def _table(lists: Sequence[JudgedList], domain: str, selector: str, channel: str) -> _Table:
    reading = ScoreReading(channel)
    values = [critical_value(row, domain, selector, channel) for row in lists]
    scores = (reading.descending([row.hits[place] for place in _inside(row, domain)])[1] for row in lists)
    return _Table(selector, np.array(values, dtype=np.float64), tuple(map(tuple, scores)))


def _inside(row: JudgedList, domain: str) -> list[int]:
    return [place for place, hit in enumerate(row.hits) if domain in (hit.passage.kind, domain_of(hit.passage))]


def _fit(lists: Sequence[JudgedList], table: _Table, options: FitOptions, empty: Fitted) -> Fitted:
    fold = np.array(folds_of(lists, options.folds))
    covered, kept = np.zeros(len(lists)), np.zeros(len(lists))
    for number in range(options.folds):
        value = _parameter(table.selector, table.values[fold != number], options)
        cut = replace(empty, value=value).cut()
        for place in np.flatnonzero(fold == number).tolist():
            needed = table.values[place]
            # Without a parameter nothing is cut, and what was found is kept.
            covered[place] = needed < math.inf if value is None else needed <= _loosened(table.selector, value)
            kept[place] = cut.count(table.scores[place])
    return replace(
        empty,
        value=_parameter(table.selector, table.values, options),
        n=len(lists),
        found=float(np.isfinite(table.values).mean()),
        covered=float(covered.mean()),
        kept=float(kept.mean()),
    )


def _parameter(selector: str, values: Floats, options: FitOptions) -> float | None:
    """The fitted parameter of a cut; None when the target cannot be reached."""
    if selector != RISK:
        value = conformal_quantile(values.tolist(), options.target)
        return _loosened(selector, value) if math.isfinite(value) else None
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    # Losses fall with k, so the last column is the safest; behind the last right hit they are all alike.
    losses = values[:, None] > np.arange(1, int(finite.max()) + 1)
    passed = certified(losses.astype(np.float64), 1 - options.target, options.delta)
    return float(passed[0] + 1) if passed else None


def _loosened(selector: str, value: float) -> float:
    """From a critical value to the parameter and back: thresholds are negated, so that greater values keep more."""
    return -value if selector == CONFORMAL else value
