"""`vesalius explain`: an image and a finding in, the signs that would show it out, every sentence cited."""

from __future__ import annotations

import argparse
from pathlib import Path

from rag.cli.answers import add_output, deliver, read_experts
from rag.cli.common import Subcommands, add_domain, add_library, check_images, command, parse_domain


def add(subcommands: Subcommands) -> None:
    """Declare the command."""
    made = command(subcommands, "explain", run, "explain which signs in an image speak for a finding that is given")
    add_library(made)
    made.add_argument("--image", type=Path, required=True, metavar="F", help="the image")
    made.add_argument("--finding", required=True, metavar="TEXT", help="the finding that it is said to show")
    add_domain(made)
    add_output(made)


def run(args: argparse.Namespace) -> int:
    """Explain one finding."""
    from pipelines.explain import Explainer, ExplainRequest
    from rag.cli.opening import open_library
    from rag.leakage import Guard

    [image] = check_images([args.image])
    request = ExplainRequest(image, args.finding, parse_domain(args.domain), read_experts(args.expert))
    with open_library(args) as library:
        answer = Explainer(library, guard=Guard() if args.guard else None).explain(request)
        return deliver(args, library, request.query(), answer)
