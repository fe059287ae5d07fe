"""`vesalius config show`: the settings in force, and where each comes from."""

from __future__ import annotations

import argparse

from rag.cli.common import Subcommands, command, emit_json, origins


def add(subcommands: Subcommands) -> None:
    """Declare the command."""
    top = subcommands.add_parser("config", help="show the settings in force")
    group = top.add_subparsers(title="actions", metavar="ACTION", required=True)
    made = command(group, "show", run, "print every setting")
    made.add_argument("--origin", action="store_true", help="say where each value comes from")


def run(args: argparse.Namespace) -> int:
    """Print the settings."""
    from pipelines.config import flat_settings

    found = origins(args)
    flat = flat_settings(found.settings)
    if args.json:
        if args.origin:
            emit_json({key: {"value": value, "origin": _origin(found.origin, key)} for key, value in flat.items()})
        else:
            emit_json(found.settings.model_dump(mode="json"))
        return 0
    for key, value in flat.items():
        print(f"{key}: {value}" + (f"    # {_origin(found.origin, key)}" if args.origin else ""))
    return 0


def _origin(origin: dict[str, str], key: str) -> str:
    return origin.get(key, "default")
