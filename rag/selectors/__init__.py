"""Choosing how many hits become evidence: cuts of sorted scores, steps around them, and their calibration. Pure.

A cut says how many of some sorted scores to keep. A step drops hits with a reason: by a cut, by likeness, by caps. A
`Chain` of steps is a selector. `Calibration` holds the cuts' parameters, fitted on queries whose answers are known;
`make_selector` puts all of it together.
"""

from rag.selectors.calibration import Calibration, FitOptions, Fitted, JudgedList, fit_calibration
from rag.selectors.cuts import Above, Cut, LargestGap, LogRatio, TopK, TopRatio, TwoGroups
from rag.selectors.making import NAMES, SelectionOptions, make_selector
from rag.selectors.reading import FUSED, RANK, SCORE, ScoreReading, domain_of
from rag.selectors.steps import Chain, ClusterCap, Diversity, ScoreCut, Step, word_overlap

__all__ = [
    "FUSED", "NAMES", "RANK", "SCORE", "Above", "Calibration", "Chain", "ClusterCap", "Cut", "Diversity", "FitOptions",
    "Fitted", "JudgedList", "LargestGap", "LogRatio", "ScoreCut", "ScoreReading", "SelectionOptions", "Step", "TopK",
    "TopRatio", "TwoGroups", "domain_of", "fit_calibration", "make_selector", "word_overlap",
]  # fmt: skip
