"""Break builds in every way but killing them, resume them, and look for what is lost, twice or repeated.

Run: python -m benchmarks.faults [--seed 0]

Devices run out of memory at random batches, one device and then all are lost, the store refuses or is slow, and the
disk is full at twenty points: as a limit on the size of every file, and, where the system lets an ordinary user mount a
memory disk in a namespace of its own, as a disk that is really full. After each fault the build is resumed without it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.children import Outcome, run_in_child
from benchmarks.history import record
from benchmarks.small_build import Small, build, differences, repeated
from indexers.devices import DeviceLost, OutOfDeviceMemory, Prepared
from rag.errors import StoreError
from rag.protocols import Store
from rag.types import Point

OFFSETS = 20
MOST_BYTES = 40 << 20
"""The largest limit on a file; a finished small library has none that is larger."""


class Shortages:
    """Raises OutOfDeviceMemory at random, and always for more than `most` items."""

    def __init__(self, rng: random.Random, share: float, most: int) -> None:
        self._rng, self._share, self._most = rng, share, most

    def __call__(self, device: str, batch: Sequence[Prepared]) -> None:
        """Before a forward pass."""
        alone = len(batch) == 1
        if len(batch) > self._most or (not alone and self._rng.random() < self._share):
            raise OutOfDeviceMemory(device)


class Losses:
    """Each device named is lost at its n-th batch, and for good."""

    def __init__(self, after: dict[str, int]) -> None:
        self._left = dict(after)

    def __call__(self, device: str, batch: Sequence[Prepared]) -> None:
        """Before a forward pass."""
        del batch
        if device in self._left:
            self._left[device] -= 1
            if self._left[device] < 0:
                raise DeviceLost("removed")


class Unreliable:
    """A store that refuses some writes, half of them after it has written, and takes its time for others."""

    def __init__(self, store: Store, rng: random.Random, share: float, slow_s: float = 0.02) -> None:
        self._store, self._rng, self._share, self._slow_s = store, rng, share, slow_s
        self.count, self.optimize = store.count, store.optimize

    def upsert(self, points: Sequence[Point]) -> None:
        """Write, or fail before or after writing."""
        time.sleep(self._rng.random() * self._slow_s)
        if self._rng.random() < self._share / 2:
            raise StoreError("connection refused")
        self._store.upsert(points)
        if self._rng.random() < self._share / 2:
            raise StoreError("connection reset before the answer came")


def main() -> None:
    """Print one JSON document; exit 1 when something was lost or is there twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        print(json.dumps(full_memory_disks(args.inside)))
        return
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        figures = dict(scenarios(folder, rng))
        figures |= memory_disks(folder / "disk") or {"full_disk": "no ordinary user may mount a memory disk here"}
    print(json.dumps(record("faults", figures), indent=2))
    wrong = [row for row in figures.values() if isinstance(row, dict) and row["wrong"]]
    sys.exit(1 if wrong else 0)


def scenarios(folder: Path, rng: random.Random) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each kind of fault with what it led to."""
    base = Small(folder / "base", documents=3, pages=100)
    yield "out_of_memory", broken(replace(base, folder=folder / "memory", before=Shortages(rng, 0.3, 5)))
    one = {"simulated:1": rng.randrange(1, 8)}
    yield "one_device_lost", broken(replace(base, folder=folder / "one", before=Losses(one), devices=3))
    every = {"simulated:0": rng.randrange(1, 5), "simulated:1": rng.randrange(1, 8)}
    yield "every_device_lost", broken(replace(base, folder=folder / "every", before=Losses(every)))
    for name, share in (("store_refuses_some", 0.2), ("store_refuses_most", 0.8)):
        yield name, broken(replace(base, folder=folder / name, wrap=partial(Unreliable, rng=rng, share=share)))
    yield "file_size_limit", limits(replace(base, folder=folder / "limits"))


def broken(small: Small) -> dict[str, Any]:
    """Build with the fault, then without it."""
    outcome = run_in_child(lambda: build(small).devices)
    return {"error": outcome.error, "devices": shown(outcome.value), **resumed(small)}


def shown(figures: Mapping[str, float] | None) -> dict[str, float]:
    """Figures of the devices, rounded."""
    return {name: round(value, 3) for name, value in (figures or {}).items()}


def resumed(small: Small) -> dict[str, Any]:
    """Finish a build without the fault, and tell what is wrong or was done again."""
    sound = Small(small.folder, small.documents, small.pages)
    outcome = run_in_child(lambda: build(sound).counts)
    if outcome.error or outcome.killed:
        return {"wrong": {"resume": outcome.error or "killed"}}
    wrong = run_in_child(lambda: differences(sound)).value
    return {
        "wrong": {what: n for what, n in wrong.items() if n},
        "repeated": {step: n for step, (n, _) in repeated(small.folder).items()},
    }


def limits(small: Small, offsets: int = OFFSETS) -> dict[str, Any]:
    """Builds under a limit on the size of every file, each then resumed without it."""

    def limited(case: Small, most: int) -> Callable[[], dict[str, int]]:
        def work() -> dict[str, int]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
            return build(case).counts

        return work

    ends: list[str] = []
    wrong: dict[str, Any] = {}
    for number in range(offsets):
        most = int(4096 * (MOST_BYTES / 4096) ** (number / (offsets - 1)))
        case = replace(small, folder=small.folder / str(number))
        outcome = run_in_child(limited(case, most))
        after = resumed(case)["wrong"]
        ends.append(ended(outcome))
        wrong |= {f"{number}: {what}": n for what, n in after.items()}
        shutil.rmtree(case.folder)
    return {"ends": counted(ends), "wrong": wrong}


def memory_disks(folder: Path) -> dict[str, Any] | None:
    """`full_memory_disks` in a process that may mount; None where the system does not allow it."""
    folder.mkdir()
    command = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-m", "benchmarks.faults"]
    if shutil.which("unshare") is None:
        return None
    done = subprocess.run([*command, "--inside", str(folder)], capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def full_memory_disks(folder: Path) -> dict[str, Any]:
    """Twenty builds on disks that are nearly full, each resumed after room was made.

    Once with the reserve that a build keeps, which ends it with an error; and once without, where the engine's mapped
    files end the process.
    """
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512m", "tmpfs", str(folder)], check=True, capture_output=True)
    whole = Small(folder / "whole", 3, 100)
    build(whole)
    needed = used(folder)
    shutil.rmtree(whole.folder)
    reserve = whole.options.reserve_bytes
    return {
        "full_disk": {"needed_mb": round(needed / 1e6, 1), **full_disk(folder, needed, reserve)},
        "full_disk_without_reserve": full_disk(folder, needed, 0),
    }


def full_disk(folder: Path, needed: int, reserve: int) -> dict[str, Any]:
    """Builds with room for one part after the other of what they need, beside the reserve."""
    ends: list[str] = []
    wrong: dict[str, Any] = {}
    for number in range(OFFSETS):
        case = Small(folder / str(number), 3, 100)
        case = replace(case, options=replace(case.options, reserve_bytes=reserve))
        fill(folder / "filler", reserve + int(needed * (number + 0.5) / OFFSETS))
        outcome = run_in_child(lambda case=case: build(case).counts)  # type: ignore[misc]
        (folder / "filler").unlink()
        after = resumed(case)["wrong"]
        ends.append(ended(outcome))
        wrong |= {f"{number}: {what}": n for what, n in after.items()}
        shutil.rmtree(case.folder)
    return {"ends": counted(ends), "wrong": wrong}


def used(folder: Path) -> int:
    """Bytes used on the disk of a folder."""
    state = os.statvfs(folder)
    return (state.f_blocks - state.f_bfree) * state.f_frsize


def fill(path: Path, left: int) -> None:
    """Fill the disk but for so many bytes."""
    state = os.statvfs(path.parent)
    with path.open("wb") as stream:
        for _ in range(max(state.f_bavail * state.f_frsize - left, 0) >> 20):
            stream.write(bytes(1 << 20))


def ended(outcome: Outcome) -> str:
    """How a build under a fault ended, without figures and names of files."""
    if outcome.killed:
        return "killed"
    name, _, text = outcome.error.partition(": ")
    return "finished" if not outcome.error else f"{name}: {text.split('(')[0].split('/')[0].strip()[:60]}"


def counted(ends: Sequence[str]) -> dict[str, int]:
    """How often each end came."""
    return {end: list(ends).count(end) for end in dict.fromkeys(ends)}


if __name__ == "__main__":
    main()
