"""What an ablation gives: cells, each with a score per question, from which every table and picture is made.

A cell is one setting of the factors. The runner makes results; statistics and reports read them and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Level = str | int | float | bool
"""The value of a factor in a cell, as the experiment file writes it; lists are joined by "+"."""
ArmKind = Literal["factorial", "sanity"]
"""A cell of the design, or a control that is always run: no retrieval, shuffled or oracle evidence, most frequent."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One setting. `id` is stable: it depends on `levels` and `arm` alone. `impossible` says why it cannot be run."""

    id: str
    levels: Mapping[str, Level]
    kind: ArmKind = "factorial"
    arm: str = ""
    impossible: str | None = None

    @property
    def name(self) -> str:
        """The setting in words."""
        return self.arm or ", ".join(f"{factor}={level_text(level)}" for factor, level in self.levels.items())


def level_text(level: Level) -> str:
    """A level as experiment files write it: a switch is on or off."""
    return ("off", "on")[level] if isinstance(level, bool) else str(level)


@dataclass(frozen=True, slots=True)
class ItemResult:
    """One question in one cell. A metric that does not apply is absent; one that failed is None, with `error`.

    cluster: questions of one cluster (a patient, a page) are no independent samples. groups: subgroup by field, such as
    {"set": "review"}. ranks: rank of the first right passage by stage, None when not found. seconds: by stage.
    """

    item: str
    metrics: Mapping[str, float | None]
    cluster: str
    groups: Mapping[str, str] = field(default_factory=dict)
    ranks: Mapping[str, int | None] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    tokens: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class CellResult:
    """A cell and its questions, in the order of the data set; every cell of a run has the same questions."""

    cell: Cell
    items: tuple[ItemResult, ...]


@dataclass(frozen=True, slots=True)
class AblationResult:
    """A whole run. `baseline` is the id of the cell that others are compared with.

    factors: levels by factor, in the order of the file. metrics: names, the first is the main one; larger is better
    unless named in `smaller_is_better`. provenance: versions, fingerprints, seeds, commit, data digests.
    """

    name: str
    factors: Mapping[str, tuple[Level, ...]]
    metrics: tuple[str, ...]
    baseline: str
    cells: tuple[CellResult, ...]
    smaller_is_better: frozenset[str] = frozenset()
    provenance: Mapping[str, str] = field(default_factory=dict)
