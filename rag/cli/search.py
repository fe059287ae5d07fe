"""`vesalius search`: find passages for a text, an image or both."""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.cli.common import (
    Subcommands,
    add_domain,
    add_filters,
    add_kinds,
    add_library,
    check_images,
    command,
    emit_json,
    note,
    parse_domain,
    parse_filters,
    parse_kinds,
    place,
    write_batch,
)
from rag.errors import QueryError, UsageError

if TYPE_CHECKING:
    from pipelines.heatmaps import PageMapper
    from pipelines.library import Library
    from pipelines.search import SearchResult
    from rag.rows import Row
    from rag.types import Kind, Query


_PRIOR = "an earlier image of --image's patient: finds other patients' pairs of images that changed alike"


def add(subcommands: Subcommands) -> None:
    """Declare the command."""
    made = command(subcommands, "search", run, "find pages, figures, cases and facts for a text or an image")
    add_library(made)
    made.add_argument("text", nargs="?", default="", metavar="TEXT", help="what to look for")
    made.add_argument("--image", type=Path, action="append", default=[], metavar="F", help="an image to look for")
    made.add_argument("--prior-image", type=Path, action="append", default=[], metavar="F", help=_PRIOR)
    add_kinds(made)
    add_domain(made)
    made.add_argument("-k", type=int, default=10, metavar="N", help="how many hits (default 10)")
    add_filters(made)
    made.add_argument("--no-rerank", action="store_true", help="leave out the cross-encoder (faster)")
    made.add_argument("--queries", type=Path, metavar="IN.jsonl", help="many queries, one JSON object per line")
    made.add_argument("--out", type=Path, metavar="OUT.jsonl", help="where the results of --queries go")
    made.add_argument("--heatmap", type=Path, metavar="DIR", help="draw where on its pages the query was found")


def run(args: argparse.Namespace) -> int:
    """Search once, or for every row of a file."""
    from rag.cli.opening import open_library

    if args.k < 1:
        raise UsageError(f"-k {args.k}: it must be 1 or more")
    kinds = parse_kinds(args.kinds)
    filters = parse_filters(args.filter)
    if args.queries:
        return _batch(args, filters)
    query = _query(args, filters)
    with open_library(args) as library:
        row = _Search(args, library).row(query, kinds)
    if args.heatmap:
        note(args, f"heat maps are in {args.heatmap}")
    if args.json:
        emit_json(row)
    else:
        _show(row)
    return 0


def _query(args: argparse.Namespace, filters: dict[str, tuple[str, ...]]) -> Query:
    from rag.types import Query

    images = check_images(args.image)
    if not args.text.strip() and not images:
        raise QueryError("nothing to search for: give a text, or an image with --image")
    prior = check_images(args.prior_image)
    if prior and not images:
        raise UsageError("--prior-image needs --image: a pair is a current and an earlier image")
    return Query(text=args.text, images=images, prior_images=prior, filters=filters, domain=parse_domain(args.domain))


def _batch(args: argparse.Namespace, filters: dict[str, tuple[str, ...]]) -> int:
    from rag.cli.opening import open_library
    from rag.rows import read_rows, row_id

    if args.out is None:
        raise UsageError("--queries needs --out FILE for its results")
    rows = list(read_rows(args.queries))
    with open_library(args) as library:
        started = time.perf_counter()
        failures = write_batch(rows, partial(_search_row, _Search(args, library), filters), row_id, args.out)
    seconds = time.perf_counter() - started
    note(args, f"{failures.total} queries in {seconds:.1f} s, {failures.failed} failed; results in {args.out}")
    if args.json:
        emit_json({"out": str(args.out), "n": failures.total, "failed": failures.failed, "seconds": seconds})
    return failures.exit_code


def _search_row(search: _Search, filters: dict[str, tuple[str, ...]], row: Row) -> dict[str, Any]:
    from dataclasses import replace

    from rag.rows import kinds_of_row, query_from_row

    query = query_from_row(row, search.args.queries.parent)
    query = replace(query, filters=filters, domain=query.domain or parse_domain(search.args.domain))
    return search.row(query, parse_kinds(kinds_of_row(row) or search.args.kinds))


class _Search:
    """What each query of a call goes through: search, then heat maps where they are asked for."""

    def __init__(self, args: argparse.Namespace, library: Library) -> None:
        self.args, self._library = args, library
        # Made before the first search, so that a library without maps is refused at once.
        self._mapper = _mapper(library) if args.heatmap else None
        self._folders: set[str] = set()

    def row(self, query: Query, kinds: tuple[Kind, ...]) -> dict[str, Any]:
        """The result of one query as the interface prints it."""
        from rag.rows import hit_to_row, pair_to_row

        rerank = False if self.args.no_rerank else None
        result = self._library.search_timed(query, k=self.args.k, kinds=kinds, rerank=rerank)
        hits = [hit_to_row(hit, rank) for rank, hit in enumerate(result.hits, start=1)]
        if self._mapper is not None:
            self._add_regions(self._mapper, query, result, hits)
        seconds = {stage: round(value, 6) for stage, value in result.seconds.items()}
        found: dict[str, Any] = {"id": query.id, "hits": hits, "seconds": seconds}
        if result.route is not None:
            found["route"] = {**result.route.trace(), "left_out": len(result.dropped)}
        if result.walk is not None:
            found["graph"] = result.walk.trace()
        if query.prior_images:
            pairs = self._library.pairs(query, self.args.k)
            found["pairs"] = [pair_to_row(pair, rank) for rank, pair in enumerate(pairs, start=1)]
        return found

    def _add_regions(self, mapper: PageMapper, query: Query, result: SearchResult, hits: list[dict[str, Any]]) -> None:
        from pipelines.heatmap_files import query_folder, write_heatmaps

        maps = mapper.maps(query, result.hits)
        for found in maps:
            hits[found.rank - 1]["regions"] = [region.row() for region in found.regions()]
        folder = self.args.heatmap
        if self.args.queries:
            folder = query_folder(folder, query.id, self._folders)
        write_heatmaps(folder, query, maps, mapper)


def _mapper(library: Library) -> PageMapper:
    from pipelines.heatmaps import LibrarySource, PageMapper

    return PageMapper(LibrarySource(library), library.parts.channels())


def _show(row: dict[str, Any]) -> None:
    if not row["hits"]:
        print("nothing found")
    for hit in row["hits"]:
        where = place(hit["document"], hit["page"], hit["record"])
        channels = " ".join(f"{name}:{score['rank']}" for name, score in hit["channels"].items())
        text = " ".join(hit["text"].split())
        print(f"{hit['rank']:3}. {hit['kind']:6} {where}  [{channels}]")
        if text:
            print(f"     {text[:160]}{'...' if len(text) > 160 else ''}")
    for pair in row.get("pairs", ()):
        print(
            f"{pair['rank']:3}. pair   {pair['document']}, {pair['prior']} then {pair['current']}  {pair['score']:.3f}"
        )
    print("seconds: " + ", ".join(f"{stage} {value:.3f}" for stage, value in row["seconds"].items()))
