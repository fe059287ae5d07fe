"""How fast pages are written: the store's batches against a plain loop that writes one page at a time.

Run: python -m benchmarks.upsert [--pages 300 --rows 700 --dim 128]

Both ways write the same made pages (benchmarks.token_pages), one after the other in turns of a few pages, each into a
store of its own, so that both see the same machine. The engine's own rate, given its points ready made, is the third.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import qdrant_edge as engine

from benchmarks.history import record
from benchmarks.token_pages import MadePages, real_rows
from benchmarks.two_stage import FULL, point, progress, seconds_of
from indexers.stores.edge import EdgeStore
from indexers.stores.edge_engine import create_shard, engine_point
from indexers.stores.payload import PassageCodec
from rag.types import Point, VectorSpec

TURN = 50


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=300)
    parser.add_argument("--rows", type=int, default=700)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--books", type=Path, nargs="*", default=[])
    parser.add_argument("--coarse", default="clusters-32")
    parser.add_argument("--storage", default="f16")
    args = parser.parse_args()
    print(json.dumps(record("upsert", measure(args))))


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Pages per second of each way, and the ratio of batches to single writes."""
    specs = (
        VectorSpec(FULL, "multi", args.dim, args.storage),
        VectorSpec(args.coarse, "multi", args.dim, "f32", graph=True),
    )
    made = MadePages(real_rows(args.books, args.dim), args.rows)
    seconds = {"batches": 0.0, "single": 0.0, "engine": 0.0}
    with tempfile.TemporaryDirectory() as scratch:
        batched, single = (EdgeStore.open(Path(scratch) / name, {"page": specs}) for name in ("batched", "single"))
        shard = create_shard(Path(scratch) / "engine", specs)
        for start in range(0, args.pages, TURN):
            points = [point(made, number, [FULL, args.coarse]) for number in range(start, start + TURN)]
            ready = [engine_point(item, dict.fromkeys((FULL, args.coarse), "multi"), CODEC) for item in points]
            seconds["batches"] += seconds_of(lambda points=points: batched.upsert(points))
            seconds["single"] += seconds_of(lambda points=points: one_by_one(single, points))
            seconds["engine"] += seconds_of(
                lambda ready=ready: shard.update(engine.UpdateOperation.upsert_points(ready))
            )
            progress(f"{start + TURN} of {args.pages} pages")
        batched.close()
        single.close()
        shard.close()
    written = -(-args.pages // TURN) * TURN
    return {
        "pages": written,
        "rows": args.rows,
        "dim": args.dim,
        "pages_per_second": {name: round(written / value, 1) for name, value in seconds.items()},
        "batches_times_faster_than_single": round(seconds["single"] / seconds["batches"], 2),
        "share_of_the_engines_rate": round(seconds["engine"] / seconds["batches"], 2),
    }


CODEC = PassageCodec(Path())


def one_by_one(store: EdgeStore, points: list[Point]) -> None:
    """What a loop without batches does."""
    for item in points:
        store.upsert([item])


if __name__ == "__main__":
    main()
