"""What the commands share: common flags, settings from flags, and output."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rag.errors import QueryError, UsageError
from rag.types import KINDS, Kind

if TYPE_CHECKING:
    from indexers.progress import ProgressSink
    from pipelines.config import Origins, Settings

Subcommands = Any  # argparse has no public name for what add_subparsers returns

KIND_NAMES: Mapping[str, Kind] = {f"{kind}s": kind for kind in KINDS} | {kind: kind for kind in KINDS}


def command(
    subcommands: Subcommands, name: str, run: Callable[[argparse.Namespace], int], summary: str
) -> argparse.ArgumentParser:
    """A subcommand with the flags that every command takes."""
    made: argparse.ArgumentParser = subcommands.add_parser(name, help=summary, description=summary)
    made.add_argument("--json", action="store_true", help="print one JSON document on standard output")
    made.add_argument("--config", type=Path, metavar="FILE", help="YAML settings on top of the preset")
    made.add_argument("--preset", metavar="NAME", help="named settings to start from (default: embedded)")
    made.add_argument("--set", action="append", default=[], metavar="A.B=C", help="change one setting; may be repeated")
    made.add_argument("--quiet", action="store_true", help="no progress, no notes")
    made.add_argument("--debug", action="store_true", help="show the traceback of an error")
    made.set_defaults(run=run)
    return made


def add_library(made: argparse.ArgumentParser) -> None:
    """The --library flag."""
    made.add_argument("--library", type=Path, required=True, metavar="DIR", help="the library's folder")


def add_kinds(made: argparse.ArgumentParser) -> None:
    """The --in flag, read by `parse_kinds`."""
    made.add_argument("--in", dest="kinds", metavar="KINDS", help="pages,figures,cases,facts (default: all)")


def add_filters(made: argparse.ArgumentParser) -> None:
    """The --filter flag, read by `parse_filters`."""
    made.add_argument(
        "--filter", action="append", default=[], metavar="KEY=VALUE", help="only passages with this value"
    )


def origins(args: argparse.Namespace) -> Origins:
    """Settings of this call, with where each came from."""
    from pipelines.config import load_settings

    return load_settings(args.preset, args.config, args.set)


def settings(args: argparse.Namespace) -> Settings:
    """Settings of this call."""
    return origins(args).settings


def progress_sink(args: argparse.Namespace) -> ProgressSink:
    """Progress on standard error unless --quiet."""
    from indexers.progress import line_sink, silent

    return silent if args.quiet else line_sink(sys.stderr)


def note(args: argparse.Namespace, text: str) -> None:
    """A line for a person, on standard error."""
    if not args.quiet:
        print(text, file=sys.stderr)


def emit_json(value: object) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def emit_error(message: str) -> None:
    """One readable error line on standard error."""
    print(f"vesalius: {message}", file=sys.stderr)


def parse_kinds(text: str | None) -> tuple[Kind, ...]:
    """`pages,figures` to kinds; every kind when not given."""
    if text is None:
        return KINDS
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in KIND_NAMES]
    if unknown or not names:
        raise UsageError(f"--in {text}: kinds are pages, figures, cases and facts")
    return tuple(dict.fromkeys(KIND_NAMES[name] for name in names))


def add_domain(made: argparse.ArgumentParser) -> None:
    """Declare --domain."""
    made.add_argument("--domain", metavar="NAME", help="the kind of picture asked about, such as radiograph")


def parse_domain(name: str | None) -> str | None:
    """A domain by its exact name, or none. Raises QueryError naming the nearest."""
    from rag.domains.names import parse_domain as parse

    return None if name is None else parse(name)


def parse_filters(pairs: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`key=value` flags to filters; a key given twice accepts either value."""
    from rag.filters import FILTER_FIELDS

    found: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or key not in FILTER_FIELDS:
            raise UsageError(f"--filter {pair}: expected key=value with one of the keys {', '.join(FILTER_FIELDS)}")
        found[key] = (*found.get(key, ()), value)
    return found


def check_images(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Images named on the command line must exist."""
    for path in paths:
        if not path.is_file():
            raise QueryError(f"there is no image {path}")
    return tuple(paths)


def place(document: str, page: int | None, record: str | None) -> str:
    """Where a passage stands, for a person."""
    if page is not None:
        return f"{document}, page {page}"
    return document if record is None else f"{document}, record {record}"


class Failures(NamedTuple):
    """How many rows of a batch failed, of how many."""

    failed: int
    total: int

    @property
    def exit_code(self) -> int:
        """0 when every row went well, else 1."""
        return 1 if self.failed else 0


def write_batch(
    rows: Sequence[Any], work: Callable[[Any], dict[str, Any]], row_id: Callable[[Any], str], out: Path
) -> Failures:
    """Work on every row and write one JSON line for each, in order; a row that fails is written with `error`."""
    from rag.errors import VesaliusError

    failed = 0
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8") as stream:
        for row in rows:
            try:
                result = work(row)
            except (UsageError, VesaliusError) as error:
                if error.exit_code == 3:
                    raise  # the environment is broken: no later row can do better
                failed += 1
                result = {"id": row_id(row), "error": str(error)}
            stream.write(json.dumps(result, ensure_ascii=False) + "\n")
    return Failures(failed, len(rows))
