"""From a selector's name and options to a selector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

from rag.errors import ConfigError
from rag.protocols import Selector
from rag.selection import FixedK
from rag.selectors.calibration import CONFORMAL, LOG_RATIO, RISK, TOP_RATIO, Calibration
from rag.selectors.clusters import image_clusters
from rag.selectors.cuts import Above, Cut, LargestGap, LogRatio, TopK, TopRatio, TwoGroups
from rag.selectors.reading import FUSED, RANK, ScoreReading
from rag.selectors.steps import Chain, ClusterCap, Clustering, Diversity, ScoreCut, Similarity, Step, word_overlap

SelectorName = Literal["fixed", "gap", "mixture", "log-ratio", "top-ratio", "conformal", "risk"]
NAMES: tuple[str, ...] = get_args(SelectorName)


@dataclass(frozen=True, slots=True)
class SelectionOptions:
    """What a selector is made of besides its name.

    channel: the score that cuts read ("fused", "score", "rank" or a channel's name). least, most: hits kept, in all.
    value: the cut's parameter, instead of the calibrated one (log-ratio: gamma; top-ratio: the ratio; conformal: the
    threshold; risk: k). buffer: hits kept behind the largest gap. per_document, per_cluster: caps. per_kind: with it,
    maximal marginal relevance keeps so many unlike hits of each kind, relevance counting `share`.
    """

    channel: str = FUSED
    least: int = 2
    most: int = 8
    value: float | None = None
    buffer: int = 0
    budget_words: int = 6000
    per_document: int | None = None
    per_cluster: int | None = None
    per_kind: int | None = None
    share: float = 0.7
    clusters_of: Clustering = image_clusters
    similarity: Similarity = word_overlap

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most or self.most < 1:
            raise ConfigError(
                f"selection: least {self.least} and most {self.most} are impossible; use 0 <= least <= most, most >= 1"
            )


def make_selector(name: str, options: SelectionOptions, calibration: Calibration | None = None) -> Selector:
    """The selector of a name: caps of clusters, then its cut, then diversity, then document caps and the word budget.

    Raises:
        ConfigError: the name is unknown, or the selector needs a parameter that neither `options.value` nor
            `calibration` has.
    """
    if name not in NAMES:
        raise ConfigError(f"there is no selector {name!r}; selectors are: {', '.join(NAMES)}")
    steps: list[Step] = []
    if options.per_cluster is not None:
        steps.append(ClusterCap(options.clusters_of, options.per_cluster))
    if name != "fixed":
        steps.append(_score_cut(name, options, calibration))
    if options.per_kind is not None:
        reading = ScoreReading(options.channel)
        steps.append(Diversity(options.similarity, options.per_kind, options.share, reading))
    last = FixedK(options.most, options.budget_words, options.per_document)
    return Chain(tuple(steps), last) if steps else last


def _score_cut(name: str, options: SelectionOptions, calibration: Calibration | None) -> ScoreCut:
    reading = ScoreReading(RANK if name == RISK else options.channel)
    cut_by = partial(ScoreCut, reading=reading, least=options.least, head=options.most)
    if name == "gap":
        return cut_by(LargestGap(max(1, options.least), options.most, options.buffer))
    if name == "mixture":
        return cut_by(TwoGroups())
    if options.value is not None:
        return cut_by(_cut(name, options.value))
    cuts = calibration.cuts(name, reading.channel) if calibration is not None else {}
    if not cuts:
        fitted = calibration.channels(name) if calibration is not None else []
        known = f"; it was calibrated for {', '.join(fitted)}" if fitted else ""
        raise ConfigError(
            f"selector {name} has no parameter for the score {reading.channel!r}{known}; run `vesalius calibrate "
            "--library DIR --queries F` or set its value"
        )
    # A kind without labelled queries is not cut: only `most` and the budget hold.
    return cut_by(TopK(options.most), domains=cuts)


def _cut(name: str, value: float) -> Cut:
    cuts: dict[str, Callable[[float], Cut]] = {CONFORMAL: Above, LOG_RATIO: LogRatio, TOP_RATIO: TopRatio}
    return cuts[name](value) if name in cuts else TopK(round(value))
