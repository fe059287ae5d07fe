"""The run folder: everything that a figure rests on, written once and never overwritten.

While a run is under way its files lie in `NAME.partial` beside the run folder, samples row by row; when the run is
complete the folder gets its name in one step. An interrupted run leaves the partial folder with the rows done.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import distributions
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import yaml

from rag.errors import UsageError

logger = logging.getLogger(__name__)

SAMPLES = "samples.jsonl"


class RunFolder:
    """A run folder in the making; use it in a `with` block, which names the folder when the block ends well.

    Raises:
        UsageError: the folder exists and holds something, or cannot be made.
    """

    def __init__(self, target: Path) -> None:
        refuse_existing(target)
        self.target = target
        self.partial = _make_partial(target)
        self._samples: TextIO = (self.partial / SAMPLES).open("w", encoding="utf-8")
        self._rows = 0

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._samples.close()
        if kind is None:
            self._publish()
        elif self._rows:
            logger.warning(
                "the run stopped early; its %d finished queries are in %s", self._rows, self.partial / SAMPLES
            )
        else:
            self._discard()

    def add_sample(self, row: Mapping[str, object]) -> None:
        """Append one row to `samples.jsonl`; it is on its way to the disk when the call returns."""
        self._samples.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._samples.flush()
        self._rows += 1

    def write_text(self, name: str, text: str) -> None:
        """Write a text file of the run."""
        (self.partial / name).write_text(text, encoding="utf-8")

    def write_json(self, name: str, document: Mapping[str, object]) -> None:
        """Write a JSON file of the run."""
        self.write_text(name, json.dumps(document, indent=2, ensure_ascii=False) + "\n")

    def write_yaml(self, name: str, document: Mapping[str, object]) -> None:
        """Write a YAML file of the run; what YAML has no form for (paths, tuples) is written as JSON would."""
        plain = json.loads(json.dumps(document, default=str))
        self.write_text(name, yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))

    def _publish(self) -> None:
        try:
            if self.target.is_dir():
                self.target.rmdir()  # an empty folder was given; only Windows refuses to rename onto it
            self.partial.rename(self.target)
        except OSError as error:
            raise UsageError(
                f"{self.target} came into being while the run was under way; the finished run is in {self.partial}"
            ) from error

    def _discard(self) -> None:
        for file in self.partial.iterdir():
            file.unlink()
        self.partial.rmdir()


def refuse_existing(target: Path) -> None:
    """Check, before any work, that a run folder is new.

    Raises:
        UsageError: it is a file, or a folder that holds something.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"run folder {target} exists already and is never overwritten; choose another with --out")


def default_run_folder(command: str, now: datetime, base: Path = Path("runs")) -> Path:
    """A new folder `runs/<time>-<command>`; a second run in the same second gets a number."""
    stem = f"{now.strftime('%Y%m%d-%H%M%S')}-{command}"
    names = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
    return next(base / name for name in names if not (base / name).exists())


def describe_environment(library_fingerprint: str | None = None) -> dict[str, Any]:
    """What a figure may depend on besides the configuration: versions, machine, commit, library.

    It names neither the machine nor its user, so a run folder can be passed on.
    """
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "commit": git_commit(Path(__file__).resolve().parents[1]),
        "library": library_fingerprint,
        "packages": dict(_packages()),
    }


@cache
def _packages() -> tuple[tuple[str, str], ...]:
    """Name and version of what is installed; each metadata file is read once, which takes most of a second in all."""
    read = (found.metadata for found in distributions())
    return tuple(sorted((data["Name"], data["Version"]) for data in read if data["Name"] and data["Version"]))


def git_commit(checkout: Path) -> str | None:
    """The commit of a checkout, with `-dirty` when tracked files differ; None outside one or without git."""
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _make_partial(target: Path) -> Path:
    """A new folder beside the target; a number keeps it apart from what an earlier run left."""
    for number in count(1):
        partial = target.with_name(f"{target.name}.partial" + ("" if number == 1 else f"-{number}"))
        try:
            partial.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise UsageError(f"run folder {target} cannot be made: {error.strerror or error}") from error
        return partial
    raise AssertionError("counting has no end")
