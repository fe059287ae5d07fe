"""The calibration of a library: a file beside its manifest, which holds for the index it was fitted on and no other."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from indexers.manifest import write_atomic
from rag.errors import IndexMismatch, StoreError, VesaliusError
from rag.selectors import Calibration, Fitted, SelectionOptions, make_selector

if TYPE_CHECKING:
    from indexers.manifest import Manifest

__all__ = [
    "FILE", "CalibrationMismatch", "SelectionOptions", "encoders_of", "load_calibration", "make_selector",
    "save_calibration",
]  # fmt: skip

FILE = "calibration.json"


class CalibrationMismatch(IndexMismatch):
    """The calibration in a library's folder was fitted on another index."""

    def __init__(self, folder: Path, *, stored: str, wanted: str) -> None:
        VesaliusError.__init__(
            self,
            f"{folder / FILE} was fitted on an index with fingerprint {stored}, but this one has {wanted}; run "
            f"`vesalius calibrate --library {folder} --queries F` again, or remove the file",
        )
        self.field, self.stored, self.wanted = "calibration", stored, wanted


def encoders_of(manifest: Manifest) -> dict[str, str]:
    """The encoder behind each "kind.channel" of a library."""
    return {f"{entry.kind}.{entry.name}": entry.encoder for entry in manifest.channels}


def save_calibration(folder: Path, calibration: Calibration) -> Path:
    """Write `calibration.json` whole or not at all, in place of an older one."""
    path = folder / FILE
    write_atomic(path, (json.dumps(asdict(calibration), indent=2, ensure_ascii=False) + "\n").encode())
    return path


def load_calibration(folder: Path, fingerprint: str) -> Calibration | None:
    """The calibration of a library folder, None when it was never calibrated.

    Raises:
        CalibrationMismatch: it was fitted on an index with another fingerprint.
        StoreError: the file cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        entries = tuple(Fitted(**entry) for entry in data.pop("entries"))
        found = Calibration(**data, entries=entries)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"the calibration {path} cannot be read ({error}); run `vesalius calibrate` again, or remove the file"
        ) from error
    if found.fingerprint != fingerprint:
        raise CalibrationMismatch(folder, stored=found.fingerprint, wanted=fingerprint)
    return found
