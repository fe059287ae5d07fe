"""`vesalius eval routing`: how well domains are told, and what that does to retrieval."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rag.cli.common import Subcommands, add_library, command, emit_json

if TYPE_CHECKING:
    from pipelines.library import Library
    from rag.types import Matrix


def add(group: Subcommands) -> None:
    """Declare the command."""
    made = command(group, "routing", run, "confusion matrix and calibration of the domain router; aware against blind")
    add_library(made)
    made.add_argument("--folds", type=int, default=5, metavar="N", help="splits by patient (default: 5)")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="which splits (default: 0)")
    made.add_argument("--router-only", action="store_true", help="leave out retrieval, which searches with every case")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from eval.routing_run import RoutingOptions, run_routing
    from rag.cli.opening import open_library
    from rag.errors import UsageError

    if args.folds < 2:
        raise UsageError(f"--folds {args.folds}: two splits are the least")
    with open_library(args) as library:
        options = RoutingOptions(image_metric(library), args.folds, args.seed, retrieval=not args.router_only)
        report = run_routing(library, options)
    if args.json:
        emit_json(report.as_json())
    else:
        print(report.markdown())
    return 0


def image_metric(library: Library) -> Matrix | None:
    """The metric of the library's image channel: what its whitening asks for."""
    from indexers.domains.prototypes import whitening_metric
    from pipelines.fitted import image_whitening

    whitening = image_whitening(library.folder, library.manifest)
    return None if whitening is None else whitening_metric(whitening)
