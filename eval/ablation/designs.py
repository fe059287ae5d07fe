"""Designs: which settings of the factors become cells, and the controls beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np

from eval.ablation.experiment import Experiment, Fractional, Listed, level_name, nearest
from eval.ablation.results import Cell, Level
from rag.errors import ConfigError
from rag.fingerprint import digest

QUESTION_ONLY, NO_RETRIEVAL = "question only", "no retrieval"
SHUFFLED_EVIDENCE, SHUFFLED_IMAGE = "shuffled evidence", "shuffled image"
ORACLE, MOST_FREQUENT = "oracle evidence", "most frequent answer"
ARMS = (QUESTION_ONLY, NO_RETRIEVAL, SHUFFLED_EVIDENCE, SHUFFLED_IMAGE, ORACLE, MOST_FREQUENT)
"""The controls of an answer experiment, made with the settings of the baseline."""

Levels = dict[str, Level]
_MOST_CELLS = 5000
_DRAWS = 64


def cell_of(levels: Mapping[str, Level], arm: str = "") -> Cell:
    """The cell of some levels, or a control by its name."""
    named = {factor: f"{type(level).__name__}:{level}" for factor, level in sorted(levels.items())}
    return Cell(digest({"levels": named, "arm": arm})[:10], dict(levels), "sanity" if arm else "factorial", arm)


def factor_levels(experiment: Experiment) -> dict[str, tuple[Level, ...]]:
    """The levels of each factor, in the order of the file."""
    return {factor: tuple(level_name(level) for level in levels) for factor, levels in experiment.factors.items()}


def baseline_levels(experiment: Experiment) -> Levels:
    """The baseline: the levels that the file names, else the first of each factor. Raises ConfigError."""
    _check_levels(experiment, experiment.baseline, "baseline")
    return {factor: experiment.baseline.get(factor, levels[0]) for factor, levels in factor_levels(experiment).items()}


def design_cells(experiment: Experiment) -> list[Cell]:
    """The cells of the design, the baseline first, without those that the file excludes.

    Raises:
        ConfigError: a level or factor is unknown, the baseline is excluded, or there are too many cells.
    """
    base = baseline_levels(experiment)
    for rule in experiment.exclude:
        _check_levels(experiment, rule, "exclude")
        if not rule:
            raise ConfigError("an exclude rule names no factor, so it would exclude every cell")
    every = (cell for cell in _settings(experiment, base) if not _excluded(experiment, cell))
    unique: dict[tuple[object, ...], Levels] = {}
    for levels in every:
        unique.setdefault(tuple((factor, type(level).__name__, level) for factor, level in levels.items()), levels)
        if len(unique) > _MOST_CELLS:
            raise ConfigError(
                f"the design has more than {_MOST_CELLS} cells; use design: {{fractional: N}} or fewer levels"
            )
    cells = list(unique.values())
    if base not in cells:
        raise ConfigError("the baseline is excluded; name another one under `baseline`, or change `exclude`")
    return [cell_of(base), *(cell_of(levels) for levels in cells if levels != base)]


def sanity_cells(experiment: Experiment) -> list[Cell]:
    """The controls, at the levels of the baseline."""
    return [cell_of(baseline_levels(experiment), arm) for arm in ARMS] if experiment.sanity else []


def _settings(experiment: Experiment, base: Levels) -> Iterator[Levels]:
    design, levels = experiment.design, factor_levels(experiment)
    yield base
    if isinstance(design, Listed):
        for row in design.cells:
            _check_levels(experiment, row, "design.list")
            yield {**base, **row}
    elif design == "one-factor":
        for factor, values in levels.items():
            for value in values:
                yield {**base, factor: value}
    else:
        grid = [dict(zip(levels, values, strict=True)) for values in _product(levels)]
        allowed = [cell for cell in grid if not _excluded(experiment, cell)]
        yield from _fraction(allowed, base, design, experiment.seed) if isinstance(design, Fractional) else allowed


def _product(levels: Mapping[str, Sequence[Level]]) -> Iterator[tuple[Level, ...]]:
    size = int(np.prod([len(values) for values in levels.values()] or [1]))
    if size > 100 * _MOST_CELLS:
        raise ConfigError(f"the full design has {size} cells; use fewer levels or design: one-factor")
    return product(*levels.values())


def _fraction(cells: Sequence[Levels], base: Levels, design: Fractional, seed: int) -> list[Levels]:
    """A balanced draw: of some random cells, the one whose levels were used least so far comes next.

    The baseline is always among them. Levels and pairs of levels count alike, so that two-way effects stay estimable.
    """
    rng = np.random.default_rng(seed)
    left = [cell for cell in cells if cell != base]
    chosen, used = [base], Counter(_marks(base))
    while left and len(chosen) < design.fractional:
        tried = rng.permutation(len(left))[:_DRAWS]
        best = min(tried.tolist(), key=lambda place: (sum(used[mark] for mark in _marks(left[place])), place))
        cell = left.pop(best)
        chosen.append(cell)
        used.update(_marks(cell))
    return chosen


def _marks(levels: Levels) -> list[tuple[object, ...]]:
    single = [(factor, str(level)) for factor, level in levels.items()]
    return [*single, *((one, other) for i, one in enumerate(single) for other in single[i + 1 :])]


def _excluded(experiment: Experiment, levels: Levels) -> bool:
    return any(all(levels.get(factor) == level for factor, level in rule.items()) for rule in experiment.exclude)


def _check_levels(experiment: Experiment, levels: Mapping[str, Level], where: str) -> None:
    known = factor_levels(experiment)
    for factor, level in levels.items():
        if factor not in known:
            raise ConfigError(f"{where}: there is no factor {factor!r}{nearest(factor, list(known))}")
        if not any(level == one and isinstance(level, bool) == isinstance(one, bool) for one in known[factor]):
            names = [str(one) for one in known[factor]]
            raise ConfigError(f"{where}: factor {factor} has no level {level!r}{nearest(str(level), names)}")
