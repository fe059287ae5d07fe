"""The command `vesalius`: finds the subcommand, runs it, and turns errors into one line and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from rag.cli import (
    ablate,
    align,
    ask,
    calibrate,
    config,
    demo,
    doctor,
    evaluate,
    explain,
    graph,
    index,
    init,
    models,
    report,
    search,
    trace,
    vlm,
)
from rag.cli.common import emit_error
from rag.errors import VesaliusError

COMMANDS = (
    demo,
    init,
    doctor,
    config,
    models,
    index,
    search,
    ask,
    trace,
    report,
    explain,
    align,
    calibrate,
    evaluate,
    ablate,
    graph,
    vlm,
)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="vesalius",
        description="Medical questions answered from textbook pages, cases and facts, with checked citations.",
        epilog="Exit codes: 0 ok, 1 finished with some items failed, 2 usage or configuration error, "
        "3 something is missing (a model, a library, a server), 130 interrupted with state saved.",
    )
    top.add_argument("--version", action="store_true", help="print the version and exit")
    subcommands = top.add_subparsers(title="commands", metavar="COMMAND")
    for command in COMMANDS:
        command.add(subcommands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    top = parser()
    args = top.parse_args(arguments)
    if args.version:
        from rag import __version__

        print(__version__)
        return 0
    if not hasattr(args, "run"):
        top.print_help()
        return 2
    try:
        return int(args.run(args))
    except VesaliusError as error:
        if args.debug:
            raise
        emit_error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        emit_error("interrupted; what was done is saved, run the same command again to go on")
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`vesalius search ... | head`): no message can reach anyone.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
