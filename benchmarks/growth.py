"""How query time, memory and disk grow with the pages of a library.

Run: python -m benchmarks.growth [--sizes 1000 5000 20000 50000] [--rows 700 --dim 128] [--folder DIR]

One store grows from size to size; at each it is optimised, opened by a process of its own and searched in two stages,
after one round that warms up. Pages are those of benchmarks.token_pages. Memory is the resident set of that process
after its searches, of which most is the store's files in the page cache; disk counts the blocks in use. Give --folder
to go on where a stopped run was; 50,000 pages of 700 x 128 numbers take some 12 GB in 16 bits and 7 GB in 8.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.history import record
from benchmarks.token_pages import MadePages, real_rows
from benchmarks.two_stage import FULL, fill, progress, search, seconds_of
from indexers.stores.edge import EdgeStore
from rag.types import Prefetch, VectorSpec


def main() -> None:
    """Print one JSON document."""
    args = arguments()
    if args.measure:
        print(json.dumps(measured(args, args.folder)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch)
        rows = [grown(args, folder, size) for size in sorted(args.sizes)]
    first, last = rows[0], rows[-1]
    ratios = {name: round(last[name] / first[name], 2) for name in ("pages", "p50_ms", "rss_mb", "disk_mb")}
    shape = {name: getattr(args, name) for name in ("rows", "dim", "storage", "coarse", "depth", "books")}
    print(json.dumps(record("growth", {**shape, "books": len(args.books), "sizes": rows, "last_to_first": ratios})))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 5000, 20_000, 50_000])
    parser.add_argument("--rows", type=int, default=700)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--books", type=Path, nargs="*", default=[])
    parser.add_argument("--storage", default="f16", help="of the full rows")
    parser.add_argument("--coarse", default="clusters-32")
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("-n", type=int, default=30, help="queries")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--measure", action="store_true", help="search the store in --folder as it is; used by itself")
    return parser.parse_args()


def grown(args: argparse.Namespace, folder: Path, size: int) -> dict[str, Any]:
    """The store filled up to a size, and what a process of its own measures on it."""
    made = MadePages(real_rows(args.books, args.dim), args.rows)
    store = opened(args, folder)
    try:
        fill(store, made, size)
        seconds = seconds_of(store.optimize)
    finally:
        store.close()
    command = [sys.executable, "-m", "benchmarks.growth", "--measure", "--folder", str(folder)]
    for name in ("rows", "dim", "storage", "coarse", "depth", "n"):
        command += [f"--{name}" if len(name) > 1 else f"-{name}", str(getattr(args, name))]
    if args.books:
        command += ["--books", *map(str, args.books)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    row: dict[str, Any] = {**json.loads(done.stdout), "optimise_s": round(seconds, 1), "disk_mb": disk_mb(folder)}
    progress(f"{row}")
    return row


def measured(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Query times and memory of this process, which does nothing else."""
    queries = real_rows(args.books, args.dim).queries[: args.n]
    store, prefetch = opened(args, folder), Prefetch(args.coarse, args.depth)
    try:
        for query in queries:
            search(store, query, prefetch)
        times = [seconds_of(lambda query=query: search(store, query, prefetch)) for query in queries]
        p50, p95 = (round(1000 * float(np.percentile(times, share)), 2) for share in (50, 95))
        return {"pages": store.count("page"), "p50_ms": p50, "p95_ms": p95, "rss_mb": resident_mb()}
    finally:
        store.close()


def opened(args: argparse.Namespace, folder: Path) -> EdgeStore:
    """The store in a folder: full rows, and pooled ones with a graph once they are many."""
    coarse = VectorSpec(args.coarse, "multi", args.dim, "f32", graph=True)
    return EdgeStore.open(folder / "edge", {"page": (VectorSpec(FULL, "multi", args.dim, args.storage), coarse)})


def resident_mb() -> float:
    """Memory of this process that is in RAM now, in MB. Linux only."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return round(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1000, 1)


def disk_mb(folder: Path) -> float:
    """What the files of a folder take on disk, in MB: blocks in use, as the engine's files have holes."""
    return round(sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file()) / 1e6, 1)


if __name__ == "__main__":
    main()
