"""How well the encode pipeline keeps a device busy, with a simulated device and everything else real.

Run: python -m benchmarks.pipeline [--pages PATH] [--copies 1] [--seconds 0.04]... [--model FOLDER]

Pages are really rendered, prepared, written to the embedded store and marked; the device sleeps for each page. For each
service time it prints, all of the same run: the share of time in which the device was idle between its first and its
last batch; the overhead, which is the whole wall time (from opening the file to the closed store) against the service
time of all pages; and the padding. `render_alone_pages_per_s` is what the same parsers reach with nothing behind them:
no pipeline is faster. Page sizes of a mixed library are simulated for the padding of batches. With --model a checkpoint
(a tiny one: benchmarks.tiny_checkpoints) encodes the pages instead, and its own forward passes are the service time.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.history import record
from benchmarks.simulated import MOST_PATCHES, SimulatedEncoder, patch_grid
from indexers.build import PipelineOptions
from indexers.devices import Prepared
from indexers.pipeline.batches import MOST_ITEMS, Limit, Waiting
from indexers.pipeline.crew import Crew
from indexers.pipeline.encode import Assembly, ChannelGroups, Item
from indexers.pipeline.render import RenderPool, plan_parts
from indexers.pipeline.statistics import BuildClock
from indexers.pipeline.work import Work
from pipelines.compose import Parsers
from pipelines.config import load_settings
from pipelines.ingest import BuildOptions, Sources, find_sources, ingest
from pipelines.sample.build import write_sample
from rag.retrievers import Channel
from rag.types import Document, Query, Unit

SERVICE_S = (0.04, 0.05, 0.07, 0.01)
"""Seconds per page of a 3B model: 0.04 to 0.07 on an H100; 0.01 stands for a much faster one."""


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=Path, help="a PDF; without it the sample handbook")
    parser.add_argument("--copies", type=int, default=1, help="index the PDF so many times, as different documents")
    parser.add_argument("--seconds", type=float, action="append", default=[], help="service time of one page")
    parser.add_argument("--model", help="a checkpoint's folder, for a real encoder instead of the simulated ones")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0, help="parsers at work at once; 0: one per core")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        book = args.pages or write_sample(folder / "sample").handbook
        books = copies(book, folder / "books", args.copies)
        options = PipelineOptions(render_workers=args.workers)
        figures: dict[str, Any] = {"render_alone_pages_per_s": render_alone(books, folder / "alone", options)}
        if args.model:
            figures[Path(args.model).name] = measure(books, folder / "model", real_channel(args.model), options)
        for number, seconds in enumerate(() if args.model else args.seconds or SERVICE_S):
            devices = [f"simulated:{n}" for n in range(args.devices)]
            encoder = SimulatedEncoder(seconds, devices, free=MOST_ITEMS * MOST_PATCHES * 2)
            place = folder / str(number)
            figures[f"{seconds:g} s per page"] = measure(books, place, encoder.channel(), options, seconds)
        figures["simulated_sizes"] = {name: padding(sizes) for name, sizes in mixes(random.Random(0)).items()}
        print(json.dumps(record("pipeline", figures), indent=2))


def copies(book: Path, folder: Path, n: int) -> tuple[Path, ...]:
    """Copies of a PDF that differ in a comment at their end, so that each is a document of its own."""
    folder.mkdir()
    made = []
    for number in range(n):
        path = folder / f"book{number}.pdf"
        path.write_bytes(book.read_bytes() + f"% copy {number}\n%%EOF\n".encode())
        made.append(path)
    return tuple(made)


def render_alone(books: Sequence[Path], folder: Path, options: PipelineOptions) -> float:
    """Pages per second of the parsers with nothing behind them."""
    found, _ = find_sources(Sources(pages=tuple(books)), Parsers(load_settings().settings, folder))
    workers = options.renderers(on_device=True)
    parts = plan_parts(found, {source.document.sha256: () for source in found}, None, workers)
    pool = RenderPool(parts, BuildClock())
    crew, started = Crew(), time.perf_counter()

    def work() -> None:
        pool.work(drop, drop, crew.stopped)

    crew.start("render", [work] * workers, lambda: None)
    crew.wait(lambda: None)
    return round(sum(source.document.units for source in found) / (time.perf_counter() - started), 1)


def real_channel(model: str) -> Channel:
    """The channel of a checkpoint, loaded: loading is not measured."""
    from indexers.encoders.visual.opening import VisualOptions, open_visual

    encoder = open_visual(VisualOptions(model=model))
    encoder.encode_queries([Query(text="warm up")])
    return Channel("page", encoder.spec, encoder, encoder.specs[1:])


def drop(item: Work | Document) -> None:
    """Nothing more happens to it."""
    del item


def measure(
    books: Sequence[Path], folder: Path, channel: Channel, options: PipelineOptions, seconds: float | None = None
) -> dict[str, Any]:
    """Build a library and compare its wall time with the service time of its pages, or of its forward passes."""
    from indexers.stores.edge import EdgeStore

    started = time.perf_counter()
    found = find_sources(Sources(pages=tuple(books)), Parsers(load_settings().settings, folder))
    kinds = ("page", "figure", "case", "fact")
    store = EdgeStore.open(folder / "store", dict.fromkeys(kinds, channel.specs), root=folder)
    report = ingest(folder, store, [channel], found, BuildOptions(pipeline=options))
    store.close()
    wall = time.perf_counter() - started
    pages = report.counts["page"]
    devices = len(getattr(channel.encoder, "devices", ("",)))
    service = (report.seconds["forward"] if seconds is None else pages * seconds) / devices
    return {
        "pages": pages,
        "pages_per_s": round(pages / wall, 1),
        "device_idle_percent": round(100 * report.devices["device_idle"], 1),
        "overhead_percent": round(100 * (wall / service - 1), 1),
        "padding_percent": round(100 * report.devices["padding"], 2),
        "items_per_batch": round(report.devices["items_per_batch"], 1),
        "wall_s": round(wall, 1),
        "service_s": round(service, 1),
        "stage_s": {name: round(value, 1) for name, value in report.seconds.items()},
    }


def mixes(rng: random.Random) -> dict[str, list[int]]:
    """Patches of pages in the order of reading: books one after the other, and pages of every shape at random."""
    shapes = {
        "letter": (935, 1210),
        "A4": (909, 1286),
        "slide": (1100, 825),
        "small": (660, 1000),
        "poster": (800, 2400),
    }
    patches = {name: across * down for name, (w, h) in shapes.items() for across, down in [patch_grid(w, h)]}
    books = [patches[name] for name in ("letter", "A4", "slide", "small", "poster") for _ in range(200)]
    mixed = rng.choices([*patches.values()], [50, 30, 10, 8, 2], k=1000)
    crops = [across * down for _ in range(1000) for across, down in [patch_grid(*rng.choices(range(60, 1300), k=2))]]
    return {"books in turn": books, "shapes at random": mixed, "figure crops of any size": crops}


def padding(sizes: Sequence[int], ready: int = 64) -> dict[str, float]:
    """Padding when a device takes batches out of so many prepared pages, and when it took them in order."""
    encoder = SimulatedEncoder()
    work = Work(Document("sizes", Path("sizes.pdf"), "0" * 64, "pages", 1), Unit("u", ()))
    assembly = Assembly(work, ChannelGroups.of([encoder.channel()]))
    coming = iter([Item(assembly, 0, encoder, Prepared("p", size, None)) for size in sizes])
    limit = Limit(MOST_ITEMS, 1 << 30)
    waiting, batches = Waiting(), []
    while True:
        for item in coming:
            waiting.add(item)
            if len(waiting) >= ready:
                break
        batch = waiting.take(limit, full=True) or waiting.take(limit)
        if not batch:
            break
        batches.append([item.patches for item in batch])
    in_order = [sizes[start : start + MOST_ITEMS] for start in range(0, len(sizes), MOST_ITEMS)]
    return {
        "padding_percent": round(100 * padded(batches), 2),
        "items_per_batch": round(len(sizes) / len(batches), 1),
        "padding_percent_in_order": round(100 * padded(in_order), 2),
    }


def padded(batches: Sequence[Sequence[int]]) -> float:
    """Share of padding in all batches."""
    return 1 - sum(map(sum, batches)) / sum(len(batch) * max(batch) for batch in batches)


if __name__ == "__main__":
    main()
