"""Read awkward PDFs, every kind and thousands of mutants of valid pages, and say what became of each.

Run: python -m benchmarks.awkward_pdfs [--mutants 2000] [--seed 0] [--workers 2] [--light] [--page-seconds 5]

Every file goes through `PdfParser` as in a build, in several threads. A file passes when it is indexed, wholly or in
part, or refused for a reason of a known class, within its time; the run passes when no file is unclassified, the
parent's memory stays bounded, and no process and no temporary file is left. Exit code 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from benchmarks.awkward_bytes import mutant
from benchmarks.awkward_kinds import MUTANT, PARTLY, WHOLE, AwkwardFile, awkward_files
from benchmarks.history import record
from indexers.sources.pdf import PdfOptions, PdfParser
from indexers.sources.pdf_faults import fault_of
from indexers.sources.pdf_process import PdfLimits
from indexers.sources.pdf_starter import shared_starter
from rag.errors import SourceError
from rag.types import Passage, Skipped

UNCLASSIFIED = "UNCLASSIFIED"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file.

    `outcome` is WHOLE, PARTLY, the name of the PdfFault it was refused for, or UNCLASSIFIED; `reasons` are what a build
    would report; `problems` are what should not be: a text that no store takes, a place outside the numbers, an
    outcome that is wrong for the kind, more time than the limits allow together.
    """

    name: str
    kind: str
    outcome: str
    seconds: float
    reasons: tuple[str, ...]
    problems: tuple[str, ...]


def main() -> None:
    """Print a table and one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--light", action="store_true", help="leave out the kinds that take long")
    parser.add_argument("--page-seconds", type=float, default=5.0)
    args = parser.parse_args()
    limits = PdfLimits(open_seconds=10, survey_seconds=5, page_seconds=args.page_seconds, file_seconds=120)
    files = chosen(args.seed, args.mutants, light=args.light)
    with tempfile.TemporaryDirectory() as scratch:
        temporary = Path(scratch, "tmp")
        temporary.mkdir()
        tempfile.tempdir = str(temporary)
        # Making the files takes more memory than reading them; it is not what is measured.
        with ProcessPoolExecutor(1, get_context("spawn")) as maker:
            maker.submit(write_all, Path(scratch), args.seed, args.mutants, args.light).result()
        started, before = time.monotonic(), _peak_memory()
        outcomes = read_all(files, Path(scratch), limits, args.workers)
        report = summary(outcomes, time.monotonic() - started)
        report |= {
            "parent_rss_growth_mb": round((_peak_memory() - before) / 2**20),
            "child_peak_mb": round(shared_starter().peak_bytes / 2**20),
            "processes_left": len(children_of(shared_starter().pid)),
            "files_left": sum(1 for _ in temporary.rglob("*")) + sum(1 for _ in Path(scratch, "images").rglob(".*")),
        }
        tempfile.tempdir = None
    print(table(outcomes))
    print(json.dumps(report))
    record("awkward_pdfs", {name: value for name, value in report.items() if isinstance(value, int | float)})
    sys.exit(1 if report["problems"] or report["processes_left"] or report["files_left"] else 0)


def chosen(seed: int, count: int, *, light: bool) -> list[AwkwardFile]:
    """Every kind, or when `light` those that take no time, and so many mutants of valid pages from this seed on."""
    return [file for file in awkward_files() if not (light and file.heavy)] + mutants(seed, count)


def write_all(folder: Path, seed: int, count: int, light: bool) -> None:
    """Make the chosen files."""
    for number, file in enumerate(chosen(seed, count, light=light)):
        _path(folder, number).write_bytes(file.make())


def mutants(seed: int, count: int) -> list[AwkwardFile]:
    """Mutants of valid pages from this seed on."""
    return [AwkwardFile("mutant", partial(mutant, n), MUTANT) for n in range(seed, seed + count)]


def read_all(files: Sequence[AwkwardFile], folder: Path, limits: PdfLimits, workers: int) -> list[Outcome]:
    """One outcome per file that `write_all` made, in order."""
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda item: read(item[1], _path(folder, item[0]), limits), enumerate(files)))


def read(file: AwkwardFile, path: Path, limits: PdfLimits) -> Outcome:
    """Parse a file as a build does, and judge what came of it. Its images are removed again."""
    started = time.monotonic()
    passages: list[Passage] = []
    skipped: list[Skipped] = []
    try:
        parser = PdfParser(path.parent / "images", PdfOptions(limits=limits))
        for unit in parser.parse(parser.open(path), ()):
            passages += unit.passages
            skipped += unit.skipped
    except SourceError as error:
        skipped.append(Skipped(str(path), error.locator, error.stage, error.reason))
    seconds = time.monotonic() - started
    reasons = tuple(item.reason for item in skipped)
    outcome = classify(bool(passages), reasons)
    problems = [*wrong_passages(passages), *(f"no class: {reason}" for reason in reasons if fault_of(reason) is None)]
    if outcome not in file.right:
        problems.append(f"{outcome} is not one of {', '.join(file.right)}")
    if seconds > longest(limits):
        problems.append(f"it took {seconds:.1f} s")
    for image in {image for passage in passages for image in passage.images}:
        image.unlink(missing_ok=True)  # two files of the same bytes have the same images
    return Outcome(path.stem, file.kind, outcome, seconds, reasons, tuple(problems))


def classify(indexed: bool, reasons: Sequence[str]) -> str:
    """The outcome of a file of which something was indexed or nothing, for the reasons that a build reports."""
    if indexed:
        return PARTLY if reasons else WHOLE
    fault = fault_of(reasons[0]) if reasons else None
    return fault.name if fault else UNCLASSIFIED


def wrong_passages(passages: Iterable[Passage]) -> Iterator[str]:
    """What later steps could not take: text that is no Unicode, places that are no numbers."""
    for passage in passages:
        boxes = [list(map(float, row)) for row in passage.layout.boxes()] if passage.layout else []
        if passage.box is not None:
            boxes.append([passage.box.x0, passage.box.y0, passage.box.x1, passage.box.y1])
        if any(not math.isfinite(value) for box in boxes for value in box):
            yield f"{passage.id}: a place that is no number"
        try:
            json.dumps([passage.text, *passage.meta.values(), *passage.section], ensure_ascii=False).encode()
        except UnicodeEncodeError:
            yield f"{passage.id}: text that is no Unicode"


def longest(limits: PdfLimits) -> float:
    """Seconds a file may take: its limit, which is looked at between pages, and what may run when it is reached."""
    return limits.file_seconds + 3 * limits.open_seconds + 2 * limits.survey_seconds + 2 * limits.page_seconds


def summary(outcomes: Sequence[Outcome], seconds: float) -> dict[str, object]:
    """Counts of the run, the slowest files and everything that should not be."""
    slowest = sorted(outcomes, key=lambda outcome: -outcome.seconds)[:10]
    reader_died = [item for item in outcomes if any(fault_of(r) is not None and "a crash" in r for r in item.reasons)]
    ordered = sorted(item.seconds for item in outcomes)
    return {
        "files": len(outcomes),
        "kinds": len({item.kind for item in outcomes}),
        "classified": sum(item.outcome != UNCLASSIFIED for item in outcomes),
        "seconds": round(seconds, 1),
        "median_seconds": round(ordered[len(ordered) // 2], 3),
        "p99_seconds": round(ordered[int(0.99 * (len(ordered) - 1))], 2),
        "slowest": [[item.name, item.kind, item.outcome, round(item.seconds, 1)] for item in slowest],
        "reader_died": [[item.name, item.kind, item.reasons[0]] for item in reader_died],
        "problems": [[item.name, item.kind, *item.problems] for item in outcomes if item.problems],
    }


def table(outcomes: Sequence[Outcome]) -> str:
    """Kinds by outcomes, in counts."""
    counts = Counter((item.kind, item.outcome) for item in outcomes)
    totals = Counter(item.outcome for item in outcomes)
    columns = [outcome for outcome, _ in totals.most_common()]
    lines = ["| kind | " + " | ".join(columns) + " |", "|---|" + "--:|" * len(columns)]
    lines += [
        f"| {kind} | " + " | ".join(str(counts[kind, column] or "") for column in columns) + " |"
        for kind in dict.fromkeys(item.kind for item in outcomes)
    ]
    lines.append("| **all** | " + " | ".join(str(totals[column]) for column in columns) + " |")
    return "\n".join(lines)


def children_of(parent: int) -> list[int]:
    """Processes that a process started and has not waited for; none where there is no /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[1]) == parent:
            found.append(int(stat.parent.name))
    return found


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.pdf"


def _peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
