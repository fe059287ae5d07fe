"""Load every benchmark below a folder: how many items, what is missing, the digest, and the seconds it takes.

Run: python -m benchmarks.load_datasets --root DIR [--depth 2]

Each folder that holds data files of its own is tried; one with several forms is loaded form by form.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.history import record
from eval.items import LoadOptions, detect_formats, load_items
from rag.errors import VesaliusError


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the folder of the benchmarks")
    parser.add_argument("--depth", type=int, default=2, help="how many folders down to look")
    args = parser.parse_args()
    rows = {name: found for folder in folders(args.root, args.depth) for name, found in measure(folder, args.root)}
    # Names and values of the data are printed, but stay out of the history.
    details = {name: found.pop("first") for name, found in rows.items()}
    print(json.dumps({**record("load_datasets", rows), "first": details}, indent=2, ensure_ascii=False))


def folders(root: Path, depth: int) -> Iterator[Path]:
    """The folders to load: a folder whose own files, or those of its parts, make a benchmark."""
    if any(
        path.is_file() and path.suffix in {".json", ".jsonl", ".tsv", ".parquet", ".pkl"} for path in root.iterdir()
    ):
        yield root
    elif depth:
        for inner in sorted(path for path in root.iterdir() if path.is_dir()):
            yield from folders(inner, depth - 1)


def measure(folder: Path, root: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """The counts of each form in a folder, with the first things that are missing or wrong."""
    place = folder.relative_to(root).as_posix()
    for form, files in detect_formats(folder).items():
        started = time.perf_counter()
        try:
            found = load_items(folder, LoadOptions(), form)
        except VesaliusError as error:
            yield f"{place}:{form}", {"files": len(files), "first": {"error": str(error)}}
            continue
        yield (
            f"{place}:{form}",
            {
                **found.counts(),
                "seconds": round(time.perf_counter() - started, 3),
                "warnings": list(found.warnings),
                "first": {"missing": found.missing[:3], "problems": found.problems[:3]},
            },
        )


if __name__ == "__main__":
    main()
