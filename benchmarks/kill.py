"""Kill builds at random moments and at every named step, resume them, and look for what is lost, twice or repeated.

Run: python -m benchmarks.kill [--kills 200] [--steps]            a small library, simulated devices: minutes
     python -m benchmarks.kill --real [--kills 25] [--pages PATH]...

The first form runs the real stages, store and journal with encoders that cost nothing, and counts every passage that
was parsed, encoded or written again. The second form builds with the real models through the command line, and compares
passage ids, payload checksums, and the top ten of some queries with an unbroken build; without sources it uses the
sample library's.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.children import Outcome, run_in_child
from benchmarks.history import record
from benchmarks.small_build import Small, build, differences, repeated
from indexers.pipeline.faults import STEPS, VARIABLE
from pipelines.library import Library
from pipelines.sample.build import write_sample
from rag.types import KINDS, Query

QUERIES = ("air bronchogram", "loop diuretic", "goblet cells", "cloudy optic disc", "granuloma", "heparin", "cataract")
TIMES = (1, 2, 5)
"""Each named step kills the build at these of its times."""
LONGEST_S = 1.5
"""A build is killed at a random moment up to so many seconds after its start."""


def main() -> None:
    """Print one JSON document; exit 1 when something was lost or is there twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", action="store_true", help="the real models, through the command line")
    parser.add_argument("--steps", action="store_true", help="only the named steps")
    for kind in ("pages", "cases", "facts"):
        parser.add_argument(f"--{kind}", action="append", default=[])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if args.real or args.pages or args.cases or args.facts:
            right = real(folder, args)
        else:
            kills = 0 if args.steps else 200 if args.kills is None else args.kills
            figures = random_kills(folder, kills, random.Random(args.seed)) | {"steps": named_kills(folder)}
            print(json.dumps(record("kill", figures), indent=2))
            right = not figures["wrong"] and not any(step["wrong"] for step in figures["steps"].values())
        sys.exit(0 if right else 1)


def random_kills(folder: Path, wanted: int, rng: random.Random, pages: int = 1000) -> dict[str, Any]:
    """Kill builds of small libraries, one library after the other, until there were enough kills."""
    kills, libraries = 0, 0
    wrong: Counter[str] = Counter()
    again: Counter[str] = Counter()
    units = 0
    started = time.monotonic()
    while kills < wanted:
        small = Small(folder / f"random{libraries}", documents=6, pages=pages, seconds=0.02)
        libraries += 1
        outcome = Outcome(killed=True)
        while outcome.killed:
            seconds = rng.uniform(0, LONGEST_S) if kills < wanted else None
            outcome = finished(run_in_child(lambda small=small: build(small), seconds))  # type: ignore[misc]
            kills += outcome.killed
        wrong += Counter(finished(run_in_child(lambda small=small: differences(small))).value)  # type: ignore[misc]
        again += Counter({step: n for step, (n, _) in repeated(small.folder).items()})
        units += small.documents * small.pages
    return {
        "kills": kills,
        "libraries": libraries,
        "units": units,
        "seconds": round(time.monotonic() - started, 1),
        "wrong": {what: n for what, n in wrong.items() if n},
        "repeated_per_kill": {step: round(n / max(kills, 1), 2) for step, n in again.items()},
        "repeated_share": {step: round(n / max(units, 1), 4) for step, n in again.items()},
    }


def named_kills(folder: Path, pages: int = 60, times: Sequence[int] = TIMES) -> dict[str, Any]:
    """Kill one build at each named step, several times each, and finish it."""
    found: dict[str, Any] = {}
    for step in STEPS:
        small = Small(folder / step, pages=pages)
        reached = []
        for time_reached in times:
            os.environ[VARIABLE] = f"{step}:{time_reached}"
            outcome = finished(run_in_child(lambda small=small: build(small)))  # type: ignore[misc]
            reached.append(outcome.killed)
        del os.environ[VARIABLE]
        finished(run_in_child(lambda small=small: build(small)))  # type: ignore[misc]
        wrong = finished(run_in_child(lambda small=small: differences(small))).value  # type: ignore[misc]
        found[step] = {"kills": sum(reached), "wrong": {what: n for what, n in wrong.items() if n}}
        found[step]["repeated"] = {what: n for what, (n, _) in repeated(small.folder).items()}
    return found


def finished(outcome: Outcome) -> Outcome:
    """The outcome, unless the child failed by itself."""
    if outcome.error:
        raise SystemExit(f"a build failed: {outcome.error}")
    return outcome


def real(folder: Path, args: argparse.Namespace) -> bool:
    """Break a build with the real models; true when it ends like an unbroken one."""
    sources = [f"--{kind}={path}" for kind in ("pages", "cases", "facts") for path in getattr(args, kind)]
    if not sources:
        made = write_sample(folder / "sample")
        sources = [f"--pages={made.handbook}", f"--cases={made.cases}", f"--facts={made.facts}"]
    started = time.monotonic()
    complete(folder / "whole", sources)
    seconds = time.monotonic() - started
    wanted = 25 if args.kills is None else args.kills
    kills = break_and_resume(folder / "broken", sources, wanted, seconds, random.Random(args.seed))
    whole, broken = describe(folder / "whole"), describe(folder / "broken")
    same = {name: whole[name] == broken[name] for name in whole}
    points: Any = whole["points"]
    figures = {"kills": kills, "build_s": round(seconds, 1), "same": same, "points": len(points)}
    print(json.dumps(record("kill-real", figures)))
    return all(same.values())


def command(folder: Path, sources: list[str]) -> list[str]:
    """The build's command line."""
    return [sys.executable, "-m", "rag.cli.app", "index", "build", "--library", str(folder), "--quiet", *sources]


def complete(folder: Path, sources: list[str]) -> None:
    """Build to the end."""
    done = subprocess.run(command(folder, sources), capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"the build failed with {done.returncode}: {done.stderr}")


def break_and_resume(folder: Path, sources: list[str], wanted: int, seconds: float, rng: random.Random) -> int:
    """Start and kill until a build ends by itself or enough kills are done, then finish it; returns the kills."""
    kills = 0
    for _ in range(wanted):
        child = subprocess.Popen(
            command(folder, sources), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            # Two seconds go by before the first unit; then a run should do about one part in `wanted` of the work.
            child.wait(timeout=rng.uniform(0.5, 4.0 + 2 * seconds / wanted))
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            kills += 1
    complete(folder, sources)
    return kills


def describe(folder: Path) -> dict[str, object]:
    """What must be equal: stored points with checksums, verification, and search results."""
    from indexers.journal import passage_checksum

    with Library.open(folder) as library:
        points = {passage.id: passage_checksum(passage) for kind in KINDS for passage in library.passages(kind)}
        hits = {text: [hit.passage.id for hit in library.search(Query(text=text), k=10)] for text in QUERIES}
        return {"points": points, "verified": library.verify(), "hits": hits}


if __name__ == "__main__":
    main()
