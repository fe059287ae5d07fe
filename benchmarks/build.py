"""How well the stages of a build overlap, and what an index weighs.

Run: python -m benchmarks.build [--pages PATH]...

Prints wall time against the sum of the encoders' own forward times in the same run, pages per second, and megabytes
per 1,000 pages. Without arguments it builds from the sample handbook.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.history import record
from pipelines.config import load_settings
from pipelines.ingest import Sources
from pipelines.library import build_library
from pipelines.sample.build import write_sample


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=Path, action="append", default=[])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        paths = args.pages or [write_sample(Path(scratch) / "sample").handbook]
        folder = Path(scratch) / "library"
        report = build_library(folder, Sources(pages=tuple(paths)), load_settings().settings)
        pages = report.counts["page"]
        seconds = report.seconds
        print(
            json.dumps(
                record(
                    "build",
                    {
                        "pages": pages,
                        "figures": report.counts["figure"],
                        "seconds": {name: round(value, 2) for name, value in seconds.items()},
                        "wall_to_forward": round(seconds["wall"] / seconds["forward"], 3),
                        "pages_per_s": round(pages / seconds["wall"], 2),
                        "store_mb_per_1000_pages": round(size(folder / "store") / pages / 1000, 1),
                        "images_mb_per_1000_pages": round(size(folder / "images") / pages / 1000, 1),
                    },
                ),
                indent=2,
            )
        )


def size(folder: Path) -> int:
    """Bytes of disk that the files of a folder use."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
