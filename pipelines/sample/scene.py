"""What a drawing shows: the parameters that an image and its report share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing drawn into an image.

    `side` is the patient's side (`right` lies on the left of a chest film), `zone` the place within it,
    `size` the extent from 0 (just visible) to 1 (extreme).
    """

    name: str
    side: str = ""
    zone: str = ""
    size: float = 0.5


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that decides one drawing: the same scene always gives the same pixels.

    `kind` is `chest`, `tissue` or `fundus`; `traits` are numbers of the patient (heart size, pigmentation, ...).
    """

    kind: str
    seed: int
    findings: tuple[Finding, ...] = ()
    side: str = "right"
    traits: Mapping[str, float] = field(default_factory=dict)

    def trait(self, name: str, default: float) -> float:
        """The patient's value of a trait, or the default where the scene leaves it open."""
        return float(self.traits.get(name, default))

    def named(self, name: str) -> tuple[Finding, ...]:
        """All findings of one name, in the order they were given."""
        return tuple(finding for finding in self.findings if finding.name == name)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Scene:
        """The scene that a row of a data file describes; an unknown key is an error."""
        findings = tuple(Finding(**item) for item in row.get("findings", ()))
        rest = {key: value for key, value in row.items() if key != "findings"}
        return cls(findings=findings, **rest)
