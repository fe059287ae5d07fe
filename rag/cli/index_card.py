"""`vesalius index card`: quality against bytes on the user's own pages and queries, with a recommendation."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rag.cli.common import Subcommands, add_library, command, emit_json, note
from rag.errors import UsageError

if TYPE_CHECKING:
    from eval.datasets import QueryItem
    from eval.index_card import CardOptions, IndexCard
    from rag.protocols import Store
    from rag.retrievers import Channel
    from rag.types import Storage

_PREFERRED = ("visual", "late")


def add(group: Subcommands) -> None:
    """Declare `vesalius index card`."""
    made = command(group, "card", run_card, "measure quality against bytes for each way of storing the pages' rows")
    add_library(made)
    made.add_argument(
        "--queries", type=Path, action="append", default=[], metavar="F", help="query rows with page gold"
    )
    made.add_argument("--channel", metavar="NAME", help="which page channel (default: visual, else late)")
    made.add_argument("--storage", metavar="TYPES", help="f32,f16,int8,turbo8,turbo4,binary (default: all)")
    made.add_argument("--pool", metavar="FACTORS", help="token pooling factors to try (default: 1,2,3,4)")
    made.add_argument("--coarse", metavar="ROWS", help="rows of first stages to try (default: 8,16,32,64); 0: none")
    made.add_argument("--depth", metavar="DEPTHS", help="depths of first stages to try (default: 20,50,100)")
    made.add_argument("-n", type=int, default=200, metavar="N", help="queries of each set at the most (default: 200)")
    made.add_argument("--most-pages", type=int, default=1000, metavar="N", help="pages at the most (default: 1000)")
    made.add_argument("--margin", type=float, default=0.01, help="loss of nDCG@5 that is accepted (default: 0.01)")
    made.add_argument("--out", type=Path, metavar="DIR", help="new folder for report.md, quality.svg and card.json")


def run_card(args: argparse.Namespace) -> int:
    """Measure and print a card."""
    from eval.datasets import load_queries
    from eval.index_card_queries import judged_items
    from eval.index_card_report import card_document, text_table
    from eval.runs import refuse_existing

    if args.n < 1 or args.most_pages < 1:
        raise UsageError("-n and --most-pages must be 1 or more")
    options = _options(args)
    if args.out is not None:
        refuse_existing(args.out)
    items = judged_items(load_queries(args.queries).items, args.n) if args.queries else []
    started = time.perf_counter()
    card = _measure(args, items, options)
    document = card_document(card) | {"seconds": round(time.perf_counter() - started, 1)}
    if args.out is not None:
        _write(args.out, card, document)
    if args.json:
        emit_json(document)
    else:
        print(text_table(card))
    return 0


def _options(args: argparse.Namespace) -> CardOptions:
    from eval.index_card import STORAGES, CardOptions

    names = cast("list[Storage]", [name.strip() for name in args.storage.split(",")]) if args.storage else STORAGES
    coarse = tuple(number for number in _numbers("--coarse", args.coarse, (8, 16, 32, 64)) if number)
    return CardOptions(
        storages=tuple(names),
        pools=_numbers("--pool", args.pool, (1, 2, 3, 4)),
        coarse=coarse,
        depths=_numbers("--depth", args.depth, (20, 50, 100)),
        margin=args.margin,
    )


def _numbers(flag: str, text: str | None, default: tuple[int, ...]) -> tuple[int, ...]:
    if text is None:
        return default
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{flag} {text}: expected whole numbers with commas, for example 1,2,4") from None


def _measure(args: argparse.Namespace, items: list[QueryItem], options: CardOptions) -> IndexCard:
    """Read pages and queries, let go of the library, and measure on copies."""
    from eval.index_card import make_card
    from eval.index_card_queries import encode_items, read_pages, sentence_items
    from indexers.manifest import read_manifest
    from pipelines.compose import Parts
    from rag.cli.opening import library_settings

    manifest = read_manifest(args.library)
    parts = Parts(library_settings(args), args.library)
    manifest.require(parts.manifest())
    channel = _channel(parts.channels(), args.channel)
    store: Store = parts.store(args.library)
    try:
        pages = read_pages(store, channel.name, items, args.most_pages)
    finally:
        store.close()
    asked = encode_items(channel.encoder, items or sentence_items(pages.passages, args.n))
    note(args, f"{len(pages.rows)} pages of channel {channel.name}, {len(asked)} queries")
    return make_card(pages, asked, options, on_row=lambda text: note(args, text))


def _channel(channels: tuple[Channel, ...], name: str | None) -> Channel:
    """The page channel to measure."""
    known = {one.name: one for one in channels if one.kind == "page" and one.spec.form == "multi"}
    wanted = [name] if name else [*_PREFERRED, *known]
    found = next((known[one] for one in wanted if one in known), None)
    if found is None:
        have = ", ".join(known) or "none"
        raise UsageError(f"the library has no page channel {name or 'of many rows'} to measure; it has: {have}")
    return found


def _write(folder: Path, card: IndexCard, document: dict[str, object]) -> None:
    import json

    from eval.index_card_report import write_card

    folder.mkdir(parents=True, exist_ok=True)
    write_card(card, folder)
    (folder / "card.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
