"""The last run of every benchmark as one table: what `make bench` ends with.

Run: python -m benchmarks.table
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from benchmarks.history import HISTORY


def main() -> None:
    """Print a line for each figure."""
    lines = HISTORY.read_text(encoding="utf-8").splitlines() if HISTORY.is_file() else []
    if not lines:
        raise SystemExit("no benchmark has been run yet: make bench")
    latest = {line["benchmark"]: line for line in map(json.loads, lines)}
    for name, line in latest.items():
        print(f"{name}  ({line['date'][:16]}, commit {line['commit']}, {line['machine']['cores']} cores)")
        rows = list(figures(line["figures"]))
        width = max((len(key) for key, _ in rows), default=0)
        for key, value in rows:
            print(f"  {key:{width}}  {value}")


def figures(found: Any, prefix: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any JSON value
    """Every number of a report under its dotted name; long lists are counted."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield from figures(value, f"{prefix}{key}.")
    elif isinstance(found, list) and len(found) > 12:
        yield prefix.rstrip("."), f"{len(found)} items"
    elif isinstance(found, list):
        for number, value in enumerate(found):
            yield from figures(value, f"{prefix}{number}.")
    elif isinstance(found, float):
        yield prefix.rstrip("."), f"{found:.4g}"
    elif found is not None:
        yield prefix.rstrip("."), str(found)


if __name__ == "__main__":
    main()
