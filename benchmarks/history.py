"""The history of measurements: what each benchmark found, when, of which commit and on what machine.

One JSON document per line in `history.jsonl` beside this file, which is not committed. Compare ratios, never seconds,
between lines of different machines.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HISTORY = Path(__file__).with_name("history.jsonl")


def record(name: str, figures: Mapping[str, Any], path: Path = HISTORY) -> dict[str, Any]:
    """Append the figures of one run and return the whole line: print that, so that both say the same."""
    line = {
        "benchmark": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": {"cores": os.cpu_count(), "processor": _processor(), "python": platform.python_version()},
        "figures": dict(figures),
    }
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line, ensure_ascii=False) + "\n")
    return line


def commit() -> str:
    """The commit that is checked out, with "+" behind it when files differ from it; "unknown" outside of git."""
    head = _git("rev-parse", "--short", "HEAD")
    return f"{head}+" if head and _git("status", "--porcelain", "--untracked-files=no") else head or "unknown"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=HISTORY.parent, capture_output=True, text=True, check=False, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
