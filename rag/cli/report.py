"""`vesalius report`: images of a study in, findings and impression out, every sentence cited."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from rag.cli.answers import add_output, deliver, read_experts, read_text
from rag.cli.common import Subcommands, add_domain, add_library, check_images, command, parse_domain
from rag.errors import UsageError


def add(subcommands: Subcommands) -> None:
    """Declare the command."""
    made = command(subcommands, "report", run, "draft a report on images, each sentence cited from similar cases")
    add_library(made)
    made.add_argument("--image", type=Path, action="append", required=True, metavar="F", help="an image of the study")
    made.add_argument(
        "--prior-image", type=Path, action="append", default=[], metavar="F", help="an image of the study before"
    )
    made.add_argument("--prior-report", type=Path, metavar="F", help="the report on the study before, a text file")
    made.add_argument("--indication", default="", metavar="TEXT", help="why the study was made")
    made.add_argument("--patient", metavar="ID", help="look this patient's earlier records up")
    made.add_argument("--before-day", type=float, metavar="N", help="only records of earlier days than this one")
    add_domain(made)
    add_output(made)


def run(args: argparse.Namespace) -> int:
    """Write one report."""
    from pipelines.report import Reporter, ReportRequest
    from rag.cli.opening import open_library
    from rag.leakage import Guard

    if args.before_day is not None and not args.patient:
        raise UsageError("--before-day chooses among a patient's records; name one with --patient")
    request = ReportRequest(
        check_images(args.image), args.indication, check_images(args.prior_image),
        read_text(args.prior_report, "report") if args.prior_report else "",
        args.patient, args.before_day, parse_domain(args.domain), read_experts(args.expert),
    )  # fmt: skip
    with open_library(args) as library:
        answer = Reporter(library, guard=Guard() if args.guard else None).report(request)
        asked = f"Report on {len(request.images)} image(s); indication: {args.indication.strip() or 'not given'}"
        return deliver(args, library, replace(request.query(), text=asked), answer)
