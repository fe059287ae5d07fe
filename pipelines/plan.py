"""What a dry run of a build says: work to do and why, bytes, seconds, device hours and disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from indexers.manifest import Difference
from rag.types import Skipped, SourceKind

State = Literal["new", "partial", "complete", "changed"]

REMEDY = (
    "build with --fresh (deletes the library first) or run `vesalius index rebuild` (builds beside it, then switches)"
)


@dataclass(frozen=True, slots=True)
class DocumentPlan:
    """One document: its units, those done already, and why the others have to be done."""

    document: str
    source: SourceKind
    units: int
    done: int
    state: State
    why: str = ""


@dataclass(frozen=True, slots=True)
class Rebuild:
    """Why a library cannot be gone on with: everything in which it differs from what is asked for."""

    reasons: tuple[Difference, ...]
    settings: tuple[Difference, ...]
    remedy: str = REMEDY


@dataclass(frozen=True, slots=True)
class SourceRate:
    """Seconds per unit of a source kind, of which so many on devices, and where the figure comes from."""

    seconds: float
    device_seconds: float
    origin: str


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes free where the library stands, and bytes that the build may need there."""

    where: str
    free: int
    need: int

    @property
    def enough(self) -> bool:
        """Whether there is room."""
        return self.free >= self.need


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What a build would do. `absent`: documents of the library that are not among the sources; a build keeps them."""

    library: Path
    documents: tuple[DocumentPlan, ...]
    skipped: tuple[Skipped, ...]
    rebuild: Rebuild | None
    absent: tuple[str, ...]
    bytes_by_part: Mapping[str, int]
    rates: Mapping[str, SourceRate]
    devices: tuple[str, ...]
    disk: Disk
    warnings: tuple[str, ...]

    def units_to_do(self, source: str | None = None) -> int:
        """Units that a build has to do, of one source kind or of all."""
        rows = [row for row in self.documents if source in (None, row.source)]
        return sum(row.units if self.rebuild else max(row.units - row.done, 0) for row in rows)

    @property
    def seconds(self) -> float:
        """Wall time of the build."""
        return sum(self.units_to_do(source) * rate.seconds for source, rate in self.rates.items())

    @property
    def device_hours(self) -> float:
        """Hours of device time, all devices together."""
        return sum(self.units_to_do(source) * rate.device_seconds for source, rate in self.rates.items()) / 3600

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "library": str(self.library),
            "documents": [asdict(row) for row in self.documents],
            "units_to_do": self.units_to_do(),
            "skipped": [asdict(item) for item in self.skipped],
            "rebuild": asdict(self.rebuild) if self.rebuild else None,
            "absent": list(self.absent),
            "bytes": {**self.bytes_by_part, "total": sum(self.bytes_by_part.values())},
            "seconds": round(self.seconds, 1),
            "rates": {source: asdict(rate) for source, rate in self.rates.items()},
            "device_hours": round(self.device_hours, 3),
            "devices": list(self.devices),
            "disk": {**asdict(self.disk), "enough": self.disk.enough},
            "warnings": list(self.warnings),
        }
