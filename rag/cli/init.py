"""`vesalius init`: a folder to work in, with a configuration file to edit."""

from __future__ import annotations

import argparse
from pathlib import Path

from rag.cli.common import Subcommands, command, emit_json, settings

FILE = "vesalius.yaml"


def add(subcommands: Subcommands) -> None:
    """Declare the command."""
    made = command(subcommands, "init", run, "write a configuration file to edit into a folder")
    made.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="DIR", help="default: this folder")


def run(args: argparse.Namespace) -> int:
    """Write the settings in force; an existing file is left alone."""
    import yaml

    path = args.folder / FILE
    made = not path.exists()
    if made:
        args.folder.mkdir(parents=True, exist_ok=True)
        head = "# Settings of Vesalius. Use with: vesalius ... --config vesalius.yaml\n"
        body = yaml.safe_dump(settings(args).model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        path.write_text(head + body, encoding="utf-8")
    if args.json:
        emit_json({"config": str(path), "written": made})
    else:
        print(f"{path} {'written' if made else 'is there already; left as it is'}")
        print("next: vesalius models pull")
        print(f"      vesalius index build --library library --pages BOOK.pdf --config {path}")
    return 0
