"""`vesalius align`: fit a space in which your images and texts meet, or tune a model that has one, and measure it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.cli.common import Subcommands, command, emit_json, note, settings

if TYPE_CHECKING:
    from eval.alignment_figures import AlignmentReport
    from pipelines.aligned_channel import FrozenEncoders
    from pipelines.alignment import CasePairs, EncodedCases, Notify


def add(subcommands: Subcommands) -> None:
    """Declare the command."""
    top = subcommands.add_parser("align", help="fit an image-text space on your own pairs, and measure it")
    group = top.add_subparsers(title="what to do", metavar="WHAT", required=True)
    made = command(group, "fit", run_fit, "learn heads that bring images and texts of your cases together")
    _add_cases(made)
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the head or the tuned model")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="of splits and training (default: 0)")
    made.add_argument(
        "--folds",
        type=_at_least(2),
        default=5,
        metavar="N",
        help="splits that judge the head (default: 5); of a tuned model, one of N parts judges it",
    )
    _add_tuning(made.add_argument_group("fine-tuning a model of open_clip instead (needs the extra `models`)"))
    made = command(group, "eval", run_eval, "R@1, R@5, R@10 and median rank both ways, beside chance and the floor")
    _add_cases(made)
    made.add_argument("--head", type=Path, required=True, metavar="DIR", help="a head or tuned model of `align fit`")
    made.add_argument(
        "--folds",
        type=_at_least(2),
        metavar="N",
        help="fit anew in N folds (default: 5 if the head was fitted on any of these pairs, else judge it as it is)",
    )


def _add_cases(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--cases", type=Path, nargs="+", action="extend", required=True, metavar="PATH", help="records files or folders"
    )
    made.add_argument("--domain", metavar="NAME", help="only the pairs whose records name this domain")


def _add_tuning(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--model", metavar="CHECKPOINT", help="a folder or hub id of open_clip, or ARCHITECTURE/FILE")
    group.add_argument("--method", choices=["lora", "full"], help="thin matrices beside the weights, or all of them")
    group.add_argument("--epochs", type=_at_least(1), metavar="N", help="passes over the pairs at the most (20)")
    group.add_argument("--rank", type=_at_least(1), metavar="N", help="width of the thin matrices of lora (8)")
    group.add_argument("--batch", type=_at_least(2), metavar="N", help="pairs at once; memory grows with it (32)")


def _at_least(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"at least {least}")
        return value

    return parse


def run_fit(args: argparse.Namespace) -> int:
    """Judge in folds, fit on all, write; 1 when the head is not activated."""
    from eval.alignment_fit import Fitting, fit

    if args.model is not None:
        return _tune(args)
    _refuse_tuning(args)
    cases, encoders, encoded = _encoded(args)
    note(args, f"fitting on {len(encoded.pairs)} pairs, {args.folds} folds first")
    report = fit(encoded, encoders.fingerprints, args.out, Fitting(args.seed, args.folds))
    _show(args, cases, encoded, report)
    note(args, f"head: {args.out}")
    return _code(encoded, report)


def _refuse_tuning(args: argparse.Namespace) -> None:
    from rag.errors import UsageError

    given = [name for name in ("method", "epochs", "rank", "batch") if getattr(args, name) is not None]
    if given:
        raise UsageError(f"--{given[0]} is for fine-tuning: name the model to tune with --model")


def _tune(args: argparse.Namespace) -> int:
    from eval.alignment_tuning import Watchers, fit_tuned
    from indexers.encoders.tuning.options import TuningOptions
    from pipelines.tuning import Tuning

    given = {name: getattr(args, name) for name in ("method", "epochs", "rank", "batch")}
    options = TuningOptions(seed=args.seed, **{name: value for name, value in given.items() if value is not None})
    tuning = Tuning(args.model, options, args.folds, settings(args).clip.devices)
    cases = _pairs(args)

    def trained(epoch: int, recall: float, best: float) -> None:
        note(args, f"epoch {epoch}: R@10 {recall:.3f} of the pairs held back, best {best:.3f}")

    encoded, report = fit_tuned(cases, tuning, args.out, Watchers(_teller(args), trained))
    _show(args, cases, encoded, report)
    note(args, f"model: {args.out}; use it with --set clip.model={args.out} and channel clip")
    return _code(encoded, report)


def run_eval(args: argparse.Namespace) -> int:
    """Measure; 1 when the head does not beat chance and the floor."""
    from eval.alignment_fit import Fitting, has_seen, judge, refit, training_of
    from eval.statistics import BootstrapOptions
    from indexers.encoders.aligned.storage import load_head
    from pipelines.tuning import read_card

    card = read_card(args.head)
    if card is not None:
        from eval.alignment_tuning import judge_tuned

        cases = _pairs(args)
        encoded, report = judge_tuned(cases, args.head, card, settings(args).clip.devices, _teller(args))
        _show(args, cases, encoded, report)
        return _code(encoded, report)
    load_head(args.head)  # an unusable head is told before minutes of encoding
    cases, encoders, encoded = _encoded(args)
    stored = load_head(args.head, encoders.fingerprints)
    if args.folds or has_seen(encoded, stored):
        report = refit(encoded, Fitting(stored.card.seed, args.folds or 5, training_of(stored)))
    else:
        report = judge(encoded, stored, BootstrapOptions())
    _show(args, cases, encoded, report)
    return _code(encoded, report)


def _code(encoded: EncodedCases, report: AlignmentReport) -> int:
    return 0 if report.verdict().active and not encoded.skipped else 1


def _pairs(args: argparse.Namespace) -> CasePairs:
    from pipelines.alignment import check_pairs, of_domain, read_pairs

    cases = read_pairs(args.cases)
    if args.domain is not None:
        cases = of_domain(cases, args.domain)
    check_pairs(cases)
    for skipped in cases.skipped:
        note(args, f"left out: {skipped.path} {skipped.locator}: {skipped.reason}")
    return cases


def _encoded(args: argparse.Namespace) -> tuple[CasePairs, FrozenEncoders, EncodedCases]:
    from pipelines.alignment import encode_pairs, frozen_encoders

    cases = _pairs(args)
    encoders = frozen_encoders(settings(args))
    return cases, encoders, encode_pairs(cases, encoders, _teller(args))


def _teller(args: argparse.Namespace) -> Notify:
    """Says how far encoding is, at every tenth."""
    told = 0

    def tell(done: int, total: int) -> None:
        nonlocal told
        if 10 * done // total != told:
            told = 10 * done // total
            note(args, f"encoded {done} of {total}")

    return tell


def _show(args: argparse.Namespace, cases: CasePairs, encoded: EncodedCases, report: AlignmentReport) -> None:
    from eval.alignment_report import as_json, as_text

    if not args.json:
        print(as_text(report))
        return
    skipped: list[dict[str, Any]] = [
        {"path": one.path, "locator": one.locator, "stage": one.stage, "reason": one.reason} for one in encoded.skipped
    ]
    emit_json(as_json(report) | {"left_out": dict(cases.left_out), "skipped": skipped})
