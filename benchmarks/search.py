"""How long a warm search takes, with and without the reranker.

Run: python -m benchmarks.search [--library DIR --queries FILE...]

Without arguments it measures the sample library, which is made when it is not there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.history import record
from eval.datasets import load_queries
from pipelines.library import Library
from rag.types import KINDS, Kind


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--queries", type=Path, action="append", default=[])
    parser.add_argument("--in", dest="kinds", default="page,figure,case,fact")
    parser.add_argument("-n", type=int, default=60, help="queries measured per file")
    args = parser.parse_args()
    folder, queries = (args.library, args.queries) if args.library else sample()
    kinds = tuple(kind for kind in KINDS if kind in args.kinds.split(","))
    with Library.open(folder) as library:
        rows = {path.stem: measure(library, path, kinds, args.n) for path in queries}
    print(json.dumps(record("search", {"kinds": kinds, "seconds": rows}), indent=2))


def measure(library: Library, path: Path, kinds: tuple[Kind, ...], n: int) -> dict[str, dict[str, float]]:
    """Median and 95th percentile seconds per query, in pairs so that both see the same machine."""
    items = load_queries([path]).items[:n]
    library.search(items[0].query, kinds=kinds, rerank=True)  # loads models and shards
    found: dict[bool, list[float]] = {False: [], True: []}
    for item in items:
        for rerank in (False, True):
            started = time.perf_counter()
            library.search(item.query, kinds=kinds, rerank=rerank)
            found[rerank].append(time.perf_counter() - started)
    names = {False: "plain", True: "reranked"}
    return {
        names[rerank]: {"p50": float(np.percentile(times, 50)), "p95": float(np.percentile(times, 95))}
        for rerank, times in found.items()
    }


def sample() -> tuple[Path, list[Path]]:
    """The sample library and its page questions."""
    from pipelines.config import load_settings
    from pipelines.ingest import Sources
    from pipelines.library import build_library
    from pipelines.sample.build import write_sample

    folder = Path(tempfile.gettempdir()) / "vesalius-bench"
    sources = write_sample(folder / "sample")
    build_library(folder, Sources((sources.handbook,), (sources.cases,), (sources.facts,)), load_settings().settings)
    return folder, [sources.queries / "pages.jsonl"]


if __name__ == "__main__":
    main()
