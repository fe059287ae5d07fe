"""`vesalius doctor`: is everything here that a build and a question need?"""

from __future__ import annotations

import argparse
import importlib.metadata
import shutil
import sys
from typing import NamedTuple

from rag.cli.common import Subcommands, command, emit_json, settings

PACKAGES = ("numpy", "onnxruntime", "pymupdf", "qdrant-edge-py", "qdrant-client", "tokenizers", "pillow", "pydantic")
OPTIONAL = {
    "torch": "models", "colpali-engine": "models", "sentence-transformers": "models", "rapidocr": "ocr",
    "llama-index-core": "llama-index", "vllm": "vllm", "pydicom": "dicom", "openai": "vlm",
}  # fmt: skip
PYMUPDF_FLOOR = (2, 0)
"""PyMuPDF 2.0 carries MuPDF 1.28, the first with the fix of CVE-2026-3308 (out-of-bounds read on hostile images)."""


class Check(NamedTuple):
    """One thing looked at: `ok` None means optional and absent."""

    name: str
    ok: bool | None
    detail: str


def add(subcommands: Subcommands) -> None:
    """Declare the command."""
    command(subcommands, "doctor", run, "check packages, models, disk space and settings")


def run(args: argparse.Namespace) -> int:
    """Look at everything; exit 3 when something needed is missing."""
    checks = [*_packages(), *_models(args)]
    failed = [check for check in checks if check.ok is False]
    if args.json:
        emit_json({"ok": not failed, "checks": [check._asdict() for check in checks]})
    else:
        for check in checks:
            mark = {True: "ok  ", False: "FAIL", None: "-   "}[check.ok]
            print(f"{mark} {check.name}: {check.detail}")
    return 3 if failed else 0


def _packages() -> list[Check]:
    checks = [Check("python", sys.version_info >= (3, 11), sys.version.split()[0])]
    for name in PACKAGES:
        version = _version(name)
        checks.append(Check(name, version is not None, version or f"not installed; run: pip install {name}"))
    found = _version("pymupdf") or "0"
    if tuple(int(part) for part in found.split(".")[:2]) < PYMUPDF_FLOOR:
        checks.append(Check("pymupdf version", False, f"{found} has known holes; run: pip install 'pymupdf>=2.0'"))
    for name, extra in OPTIONAL.items():
        version = _version(name)
        checks.append(Check(name, True if version else None, version or f"optional; extra '{extra}'"))
    return checks


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _models(args: argparse.Namespace) -> list[Check]:
    from pipelines.compose import Parts

    parts = Parts(settings(args))
    needed = set(parts.model_names())
    checks = []
    for status in parts.models.status():
        if status.name in needed:
            present = status.state == "present"
            remedy = "" if present else "; run `vesalius models pull`"
            checks.append(Check(f"model {status.name}", present, f"{status.state}; {status.licence}{remedy}"))
    free = shutil.disk_usage(parts.cache if parts.cache.exists() else parts.cache.anchor).free / 2**30
    checks.append(Check("disk", free > 1, f"{free:.1f} GiB free at the model cache {parts.cache}"))
    return checks
