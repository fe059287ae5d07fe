"""Kill a build at random moments, resume it, and compare with an unbroken one.

Run: python -m benchmarks.kill [--kills 25] [--pages PATH]...

Compares passage ids, payload checksums, and the top ten of some queries, and counts the units that were done twice.
Without sources it uses the sample library's.
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
from pathlib import Path

from pipelines.library import Library
from pipelines.sample.build import write_sample
from rag.types import KINDS, Query

QUERIES = ("air bronchogram", "loop diuretic", "goblet cells", "cloudy optic disc", "granuloma", "heparin", "cataract")


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    for kind in ("pages", "cases", "facts"):
        parser.add_argument(f"--{kind}", action="append", default=[])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sources = [f"--{kind}={path}" for kind in ("pages", "cases", "facts") for path in getattr(args, kind)]
        if not sources:
            made = write_sample(folder / "sample")
            sources = [f"--pages={made.handbook}", f"--cases={made.cases}", f"--facts={made.facts}"]
        started = time.monotonic()
        build(folder / "whole", sources)
        seconds = time.monotonic() - started
        kills = break_and_resume(folder / "broken", sources, args.kills, seconds, random.Random(args.seed))
        whole, broken = describe(folder / "whole"), describe(folder / "broken")
        same = {name: whole[name] == broken[name] for name in whole}
        print(json.dumps({"kills": kills, "build_s": round(seconds, 1), "same": same, "points": len(whole["points"])}))
        sys.exit(0 if all(same.values()) else 1)


def command(folder: Path, sources: list[str]) -> list[str]:
    """The build's command line."""
    return [sys.executable, "-m", "rag.cli.app", "index", "build", "--library", str(folder), "--quiet", *sources]


def build(folder: Path, sources: list[str]) -> None:
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
    build(folder, sources)
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
