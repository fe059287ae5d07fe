"""`vesalius align`: fit a space in which your images and texts meet, and measure it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.cli.common import Subcommands, command, emit_json, note, settings

if TYPE_CHECKING:
    from eval.alignment import AlignmentReport
    from pipelines.alignment import CasePairs, EncodedCases, FrozenEncoders


def add(subcommands: Subcommands) -> None:
    """Declare the command."""
    top = subcommands.add_parser("align", help="fit an image-text space on your own pairs, and measure it")
    group = top.add_subparsers(title="what to do", metavar="WHAT", required=True)
    made = command(group, "fit", run_fit, "learn heads that bring images and texts of your cases together")
    _add_cases(made)
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the head")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="of splits and training (default: 0)")
    made.add_argument("--folds", type=_folds, default=5, metavar="N", help="splits that judge the head (default: 5)")
    made = command(group, "eval", run_eval, "R@1, R@5, R@10 and median rank both ways, beside chance and the floor")
    _add_cases(made)
    made.add_argument("--head", type=Path, required=True, metavar="DIR", help="a head that `align fit` made")
    made.add_argument(
        "--folds",
        type=_folds,
        metavar="N",
        help="fit anew in N folds (default: 5 if the head was fitted on any of these pairs, else judge it as it is)",
    )


def _add_cases(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--cases", type=Path, nargs="+", action="extend", required=True, metavar="PATH", help="records files or folders"
    )


def _folds(text: str) -> int:
    value = int(text)
    if value < 2:
        raise argparse.ArgumentTypeError("at least 2 folds")
    return value


def run_fit(args: argparse.Namespace) -> int:
    """Judge in folds, fit on all, write; 1 when the head is not activated."""
    from eval.alignment_fit import Fitting, fit

    cases, encoders, encoded = _encoded(args)
    note(args, f"fitting on {len(encoded.pairs)} pairs, {args.folds} folds first")
    report = fit(encoded, encoders.fingerprints, args.out, Fitting(args.seed, args.folds))
    _show(args, cases, encoded, report)
    note(args, f"head: {args.out}")
    return 0 if report.verdict().active and not encoded.skipped else 1


def run_eval(args: argparse.Namespace) -> int:
    """Measure; 1 when the head does not beat chance and the floor."""
    from eval.alignment_fit import Fitting, has_seen, judge, refit, training_of
    from eval.statistics import BootstrapOptions
    from indexers.encoders.aligned.storage import load_head

    load_head(args.head)  # an unusable head is told before minutes of encoding
    cases, encoders, encoded = _encoded(args)
    stored = load_head(args.head, encoders.fingerprints)
    if args.folds or has_seen(encoded, stored):
        report = refit(encoded, Fitting(stored.card.seed, args.folds or 5, training_of(stored)))
    else:
        report = judge(encoded, stored, BootstrapOptions())
    _show(args, cases, encoded, report)
    return 0 if report.verdict().active and not encoded.skipped else 1


def _encoded(args: argparse.Namespace) -> tuple[CasePairs, FrozenEncoders, EncodedCases]:
    from pipelines.alignment import check_pairs, encode_pairs, frozen_encoders, read_pairs

    cases = read_pairs(args.cases)
    check_pairs(cases)
    for skipped in cases.skipped:
        note(args, f"left out: {skipped.path} {skipped.locator}: {skipped.reason}")
    encoders = frozen_encoders(settings(args))

    told = 0

    def tell(done: int, total: int) -> None:
        nonlocal told
        if 10 * done // total > told:
            told = 10 * done // total
            note(args, f"encoded {done} of {total}")

    return cases, encoders, encode_pairs(cases, encoders, tell)


def _show(args: argparse.Namespace, cases: CasePairs, encoded: EncodedCases, report: AlignmentReport) -> None:
    from eval.alignment_report import as_json, as_text

    if not args.json:
        print(as_text(report))
        return
    skipped: list[dict[str, Any]] = [
        {"path": one.path, "locator": one.locator, "stage": one.stage, "reason": one.reason} for one in encoded.skipped
    ]
    emit_json(as_json(report) | {"left_out": dict(cases.left_out), "skipped": skipped})
