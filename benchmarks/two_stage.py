"""Two-stage search against exact MaxSim over every page, in the embedded engine and beside other scorers.

Run: python -m benchmarks.two_stage [--pages 2000 --rows 700 --dim 128] [--books PDF...] [--coarse clusters-32 ...]

Pages are those of benchmarks.token_pages: real late-interaction rows of book text, replicated or spliced, with noise;
queries are real sentences. For each pooled representation ("a>b" for two of them, one after the other) and depth it
prints recall@10 of the exact list and how many times faster the stages are, measured in turns with the exact search.
The client's local mode and colpali-engine's scorer (where torch is installed) get fewer pages; their times are scaled
by the page, as both look at every page. Progress goes to stderr; the last line, one JSON document, to stdout.
A run that was stopped goes on with the pages it had written when --folder is given.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.history import record
from benchmarks.token_pages import MadePages, RealRows, Rows, coarse_rows, real_rows
from indexers.stores.edge import EdgeStore
from rag.protocols import Store
from rag.testing.points import number_id
from rag.types import Hit, PageLocator, Passage, Point, Prefetch, VectorSpec

FULL, K = "full", 10
OTHERS = 200
"""Pages that the slower scorers get."""
BATCH = 50
WIDER = 5


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=700)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--books", type=Path, nargs="*", default=[])
    parser.add_argument("--source-pages", type=int, default=150, help="real pages that are encoded at the most")
    parser.add_argument("--made", choices=["replicated", "spliced"], default="replicated", help="see token_pages")
    parser.add_argument("--coarse", nargs="*", default=["runs-16", "runs-32", "clusters-32", "clusters-64"])
    parser.add_argument("--storage", default="f16", help="of the full rows")
    parser.add_argument("--coarse-storage", default="f32")
    parser.add_argument("--depths", type=int, nargs="+", default=[25, 50, 100, 200, 400, 800])
    parser.add_argument("-n", type=int, default=20, help="queries")
    parser.add_argument("--graph", action="store_true", help="build the graph of the first representation and use it")
    parser.add_argument("--others", action="store_true", help="measure the client's local mode and colpali-engine too")
    parser.add_argument("--folder", type=Path, help="where the store is kept; a temporary folder otherwise")
    args = parser.parse_args()
    real = real_rows(args.books, args.dim, most_pages=args.source_pages)
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(args, real, args.folder or Path(scratch))
    print(json.dumps(record("two_stage", figures)))


def measure(args: argparse.Namespace, real: RealRows, folder: Path) -> dict[str, Any]:
    """All figures of one run."""
    made = MadePages(real, args.rows, spliced=args.made == "spliced")
    queries = real.queries[: args.n]
    channels = dict.fromkeys(part for name in args.coarse for part in name.split(">"))
    coarse = [VectorSpec(name, "multi", args.dim, args.coarse_storage, args.graph) for name in channels]
    store = EdgeStore.open(folder / "edge", {"page": (VectorSpec(FULL, "multi", args.dim, args.storage), *coarse)})
    try:
        fill(store, made, args.pages)
        if args.graph:
            progress("building graphs")
            store.optimize()
        exact = [search(store, query) for query in queries]
        table = {name: curve(store, queries, exact, prefetches(name, args)) for name in args.coarse}
        seconds = {"edge": median_seconds([partial(search, store, query) for query in queries[:5]])}
    finally:
        store.close()
    shape = {"made": args.made, "pages": args.pages, "rows": args.rows, "dim": args.dim, "storage": args.storage}
    others = compared(made, queries[:5], args, seconds["edge"] / args.pages, folder) if args.others else {}
    return {
        **shape,
        "coarse_storage": args.coarse_storage,
        "graph": args.graph,
        "real_pages": len(real.pages),
        "exact_ms": 1000 * seconds["edge"],
        "curves": table,
        "best": best_of(table),
        "times_slower_per_page_than_edge": others,
    }


def fill(store: Store, made: MadePages, pages: int) -> None:
    """Write the pages that are not there yet."""
    names = [spec.name for spec in store.specs["page"]]
    for start in range(store.count("page") // BATCH * BATCH, pages, BATCH):
        store.upsert([point(made, number, names) for number in range(start, min(start + BATCH, pages))])
        progress(f"{min(start + BATCH, pages)} of {pages} pages written")


def point(made: MadePages, number: int, names: Sequence[str]) -> Point:
    """A made page with its full and pooled rows."""
    rows = made[number]
    passage = Passage(number_id(number), "page", "made", f"page {number}", PageLocator(number + 1))
    return Point(passage, {name: rows if name == FULL else coarse_rows(rows, name) for name in names})


def search(store: Store, query: Rows, prefetch: Prefetch | None = None) -> list[Hit]:
    """The first ten pages."""
    return store.search("page", FULL, query, K, {}, prefetch)


def prefetches(name: str, args: argparse.Namespace) -> list[Prefetch]:
    """The first stages to try on one representation; "a>b" searches a, then b on the best WIDER times as many."""
    depths = [depth for depth in args.depths if depth < args.pages]
    first, _, second = name.partition(">")
    if not second:
        return [Prefetch(first, depth) for depth in depths]
    return [Prefetch(second, depth, Prefetch(first, WIDER * depth)) for depth in depths]


def curve(
    store: Store, queries: Sequence[Rows], exact: Sequence[list[Hit]], stages: Sequence[Prefetch]
) -> dict[int, dict[str, float]]:
    """Recall of the exact list and speed by depth. Exact and two-stage searches take turns on one machine."""
    found: dict[int, dict[str, float]] = {}
    for prefetch in stages:
        recalls = [recall(hits, search(store, query, prefetch)) for query, hits in zip(queries, exact, strict=True)]
        slow, fast = [], []
        for query in queries[:7]:
            slow.append(seconds_of(partial(search, store, query)))
            fast.append(seconds_of(partial(search, store, query, prefetch)))
        found[prefetch.depth] = {
            "recall": round(float(np.mean(recalls)), 4),
            "times_faster": round(float(np.median(slow) / np.median(fast)), 2),
            "ms": round(1000 * float(np.median(fast)), 2),
        }
        progress(f"{prefetch}: {found[prefetch.depth]}")
    return found


def recall(exact: Sequence[Hit], hits: Sequence[Hit]) -> float:
    """The share of the exact list that was found."""
    return len({hit.passage.id for hit in exact} & {hit.passage.id for hit in hits}) / max(len(exact), 1)


def best_of(table: dict[str, dict[int, dict[str, float]]]) -> dict[str, object]:
    """The fastest setting that keeps 99 % of the exact list; empty when none does."""
    good = [
        (row["times_faster"], name, depth, row["recall"])
        for name, rows in table.items()
        for depth, row in rows.items()
        if row["recall"] >= 0.99
    ]
    return dict(zip(("times_faster", "coarse", "depth", "recall"), max(good), strict=True)) if good else {}


def compared(
    made: MadePages, queries: Sequence[Rows], args: argparse.Namespace, edge_page_seconds: float, folder: Path
) -> dict[str, float]:
    """Seconds per page of the other exact scorers, as multiples of the embedded engine's."""
    numbers = range(min(OTHERS, args.pages))
    found = {"qdrant-client local mode": local_mode(made, numbers, queries, args, folder)}
    if importlib.util.find_spec("torch") and importlib.util.find_spec("colpali_engine"):
        found["colpali-engine scorer"] = colpali_scorer([made[number] for number in numbers], queries)
    return {name: round(seconds / len(numbers) / edge_page_seconds, 2) for name, seconds in found.items()}


def local_mode(
    made: MadePages, numbers: range, queries: Sequence[Rows], args: argparse.Namespace, folder: Path
) -> float:
    """Median seconds of an exact search in the client's local mode."""
    from qdrant_client import QdrantClient

    from indexers.stores.server import ServerStore

    store = ServerStore(
        QdrantClient(":memory:"), "bench", {"page": (VectorSpec(FULL, "multi", args.dim, "f32"),)}, folder
    )
    store.upsert([point(made, number, [FULL]) for number in numbers])
    return median_seconds([partial(search, store, query) for query in queries])


def colpali_scorer(pages: Sequence[Rows], queries: Sequence[Rows]) -> float:
    """Median seconds of colpali-engine's own scorer over pages held in memory."""
    import torch

    from indexers.encoders.visual.torch_library import load_library

    load_library("colpali_engine", "the comparison with its scorer")
    from colpali_engine.utils.processing_utils import BaseVisualRetrieverProcessor

    tensors = [torch.from_numpy(rows) for rows in pages]
    score = BaseVisualRetrieverProcessor.score_multi_vector
    return median_seconds([lambda query=query: score([torch.from_numpy(query)], tensors) for query in queries])


def median_seconds(calls: Sequence[Callable[[], object]]) -> float:
    """Median seconds of some calls, after one that warms up."""
    calls[0]()
    return float(np.median([seconds_of(call) for call in calls]))


def seconds_of(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def progress(text: str) -> None:
    """A line on stderr."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
