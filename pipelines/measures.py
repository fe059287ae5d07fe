"""What a library weighs on disk, and how fast its builds were: what a plan starts from and what a status shows."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from indexers.journal import Journal
from indexers.manifest import write_atomic

RATES = "rates.json"
_KEPT = 10
_FEWEST_UNITS = 2
"""A build of a single unit measures the loading of models, not the rate."""


@dataclass(frozen=True, slots=True)
class BuildRate:
    """What one build did: units of each source kind, wall seconds, and when it ended (UTC, ISO 8601)."""

    units: Mapping[str, int]
    seconds: float
    ended: str

    def seconds_per_unit(self, source: str) -> float:
        """Wall seconds per unit of a source kind that it did."""
        return self.seconds / self.units[source]


@contextmanager
def recorded_rate(folder: Path) -> Iterator[None]:
    """Measure the build inside the block, and write down what it did if it did something and ended well."""
    before, started = _units(folder), time.perf_counter()
    yield
    seconds = time.perf_counter() - started
    done = Counter(_units(folder))
    done.subtract(before)
    units = {source: count for source, count in done.items() if count > 0}
    if sum(units.values()) < _FEWEST_UNITS:
        return
    ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    builds = [*read_rates(folder), BuildRate(units, round(seconds, 3), ended)]
    text = json.dumps([asdict(build) for build in builds[-_KEPT:]], indent=1)
    write_atomic(folder / RATES, (text + "\n").encode())


def read_rates(folder: Path) -> list[BuildRate]:
    """The last builds of a library, oldest first; nothing when none was measured or the record is damaged."""
    try:
        rows = json.loads((folder / RATES).read_text(encoding="utf-8"))
        return [BuildRate(dict(row["units"]), float(row["seconds"]), str(row["ended"])) for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def recent_rate(builds: Sequence[BuildRate], source: str) -> BuildRate | None:
    """The last build that did this source kind alone; None when there was none."""
    return next((build for build in reversed(builds) if set(build.units) == {source}), None)


def _units(folder: Path) -> Mapping[str, int]:
    """Units done, by source kind."""
    found: Counter[str] = Counter()
    if (folder / "journal.sqlite").is_file():
        journal = Journal(folder / "journal.sqlite")
        try:
            for row in journal.documents():
                found[str(row["source"])] += int(str(row["units_done"]))
        finally:
            journal.close()
    return found


def folder_bytes(folder: Path) -> dict[str, int]:
    """Bytes on disk of a library: store, images, journal, and everything else in its folder."""
    parts = {"store": 0, "images": 0, "journal": 0, "other": 0}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            first = path.relative_to(folder).parts[0]
            part = "journal" if first.startswith("journal.sqlite") else first if first in parts else "other"
            # Blocks, not length: the engine makes sparse files of many megabytes that take next to nothing.
            parts[part] += path.stat().st_blocks * 512
    return parts
