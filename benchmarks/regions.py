"""Do the regions of a heat map hold what the question asks about, and how much of the page do they take?

Run: vesalius demo --library DIR, then: python -m benchmarks.regions --library DIR

For every page question of the sample library the gold page is mapped. A question counts as answered when a region
covers half of a line of the gold phrase, or half of the gold figure. Chance is the mean of 200 draws of as many
paragraphs and figures of the same page as there are regions.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Sequence
from functools import reduce
from importlib import resources
from pathlib import Path

import numpy as np

from benchmarks.history import record
from pipelines.heatmaps import LibrarySource, PageMapper
from pipelines.library import Library
from rag.grounding.quotes import line_boxes, locate
from rag.regions import printed_lines
from rag.similarity import page_size
from rag.types import Box, Hit, Passage, Query

DRAWS = 200


def main() -> None:
    """Print one JSON document, as it is written to the history."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", type=Path, required=True, help="the sample library")
    with Library.open(parser.parse_args().library) as library:
        print(json.dumps(record("regions", measure(library)), indent=2))


def measure(library: Library) -> dict[str, object]:
    """Shares of questions answered by the first and by any region, the area these take, and chance."""
    pages, figures = list(library.passages("page")), list(library.passages("figure"))
    mapper, rng = PageMapper(LibrarySource(library), library.parts.channels()), np.random.default_rng(0)
    rows: dict[str, list[list[float]]] = {"text": [], "figure": []}
    seconds = []
    questions = resources.files("pipelines.sample").joinpath("questions/pages.jsonl").read_text("utf-8")
    for question in map(json.loads, questions.splitlines()):
        kind, page, gold = _gold(question["anchor"], pages, figures)
        started = time.perf_counter()
        [found] = mapper.maps(Query(question["text"]), [Hit(page, 1.0)])
        boxes = [region.box for region in found.regions()]
        seconds.append(time.perf_counter() - started)
        first, anywhere = _answered(boxes[:1], gold), _answered(boxes, gold)
        areas = [_area(box, page) for box in boxes]
        chance = _chance(page, found.figures, gold, (len(boxes), rng))
        rows[kind].append([first, anywhere, sum(areas[:1]), sum(areas), *chance])
    names = ("first", "any", "area_first", "area_all", "chance_first", "chance_any")
    means = {kind: dict(zip(names, np.mean(row, axis=0).round(3).tolist(), strict=True)) for kind, row in rows.items()}
    counts = {kind: len(row) for kind, row in rows.items()}
    return {"n": counts, **means, "seconds_per_page": round(float(np.median(seconds)), 4)}


def _gold(anchor: str, pages: Sequence[Passage], figures: Sequence[Passage]) -> tuple[str, Passage, list[Box]]:
    if re.fullmatch(r"(Figure|Table) \d+\.\d+", anchor):
        [figure] = [figure for figure in figures if figure.meta.get("label") == anchor]
        page = next(page for page in pages if page.id == figure.meta["page_id"])
        return "figure", page, [figure.box] if figure.box else []
    page, span = next((page, span) for page in pages if (span := locate(anchor, page.text)))
    return "text", page, list(line_boxes(page, *span))


def _answered(boxes: Sequence[Box], gold: Sequence[Box]) -> bool:
    return any(_covered(wanted, box) >= 0.5 for box in boxes for wanted in gold)


def _covered(wanted: Box, box: Box) -> float:
    width = min(wanted.x1, box.x1) - max(wanted.x0, box.x0)
    height = min(wanted.y1, box.y1) - max(wanted.y0, box.y0)
    return max(width, 0) * max(height, 0) / ((wanted.x1 - wanted.x0) * (wanted.y1 - wanted.y0))


def _area(box: Box, page: Passage) -> float:
    width, height = page_size(page) or (1.0, 1.0)
    return (box.x1 - box.x0) * (box.y1 - box.y0) / (width * height)


def _chance(
    page: Passage, figures: Sequence[Passage], gold: Sequence[Box], drawn: tuple[int, np.random.Generator]
) -> list[float]:
    count, rng = drawn
    places = [reduce(Box.union, [line.box for line in lines]) for lines in printed_lines(page)]
    places += [figure.box for figure in figures if figure.box]
    results = []
    for _ in range(DRAWS):
        picked = [places[i] for i in rng.choice(len(places), min(count, len(places)), replace=False)]
        results.append([_answered(picked[:1], gold), _answered(picked, gold)])
    means: list[float] = np.mean(results, axis=0).tolist()
    return means


if __name__ == "__main__":
    main()
