"""The calibration of a library: a file beside its manifest, which holds for the index it was fitted on and no other."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexers.manifest import write_atomic
from rag.errors import ConfigError, IndexMismatch, StoreError, VesaliusError
from rag.grounding.abstention import Abstention
from rag.selectors import Calibration, Fitted, SelectionOptions, make_selector

if TYPE_CHECKING:
    from indexers.manifest import Manifest

__all__ = [
    "FILE", "CalibrationMismatch", "SelectionOptions", "encoders_of", "load_abstention", "load_calibration",
    "make_selector", "save_abstention", "save_calibration",
]  # fmt: skip

FILE = "calibration.json"
logger = logging.getLogger(__name__)


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
    """Write `calibration.json` whole or not at all. What was fitted for abstention on the same index stays in it."""
    known = _read(folder, calibration.fingerprint)
    return _write(folder, asdict(calibration) | {name: known[name] for name in ("abstention",) if name in known})


def load_calibration(folder: Path, fingerprint: str) -> Calibration | None:
    """The calibration of a library folder, None when its selection was never calibrated.

    Raises:
        CalibrationMismatch: it was fitted on an index with another fingerprint.
        StoreError: the file cannot be read.
    """
    data = _read_for(folder, fingerprint)
    data.pop("abstention", None)
    if "entries" not in data:
        return None
    try:
        entries = tuple(Fitted(**entry) for entry in data.pop("entries"))
        return Calibration(**data, entries=entries)
    except (TypeError, AttributeError) as error:
        raise _unreadable(folder / FILE, error) from error


def save_abstention(folder: Path, fingerprint: str, fitted: Mapping[str, Abstention]) -> Path:
    """Write thresholds of confidence by kind of question ("open", "choice"), beside the parameters of selection."""
    known = _read(folder, fingerprint) or {"fingerprint": fingerprint}
    rows = {**known.get("abstention", {}), **{name: asdict(one) for name, one in fitted.items()}}
    return _write(folder, {**known, "abstention": rows})


def load_abstention(folder: Path, fingerprint: str, *, needed: bool = True) -> dict[str, Abstention]:
    """What was fitted for a library, by kind of question; empty when nothing was, or nothing of it is `needed`.

    A file of another index that holds no thresholds of abstention concerns nobody here: it is told in the log, once.

    Raises:
        CalibrationMismatch: thresholds are needed, and those in the file were fitted on an index with another
            fingerprint.
        StoreError: they are needed, and the file cannot be read.
    """
    try:
        return _thresholds(folder, fingerprint)
    except (CalibrationMismatch, StoreError) as error:
        stale = isinstance(error, CalibrationMismatch)
        if needed and not (stale and not _holds_thresholds(folder)):
            raise
        _tell(str(error))
        return {}


def _thresholds(folder: Path, fingerprint: str) -> dict[str, Abstention]:
    rows = _read_for(folder, fingerprint).get("abstention", {})
    try:
        return {name: Abstention.from_row(row) for name, row in rows.items()}
    except (TypeError, AttributeError, ValueError, ConfigError) as error:
        raise _unreadable(folder / FILE, error) from error


def _holds_thresholds(folder: Path) -> bool:
    return bool(json.loads((folder / FILE).read_text(encoding="utf-8")).get("abstention"))


@lru_cache(maxsize=64)
def _tell(message: str) -> None:
    """Log a warning; the same one is not repeated."""
    logger.warning("not used, because this answer does not need it: %s", message)


def _write(folder: Path, data: Mapping[str, Any]) -> Path:
    path = folder / FILE
    write_atomic(path, (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode())
    return path


def _read(folder: Path, fingerprint: str) -> dict[str, Any]:
    """What the file holds for this index; nothing when it is of another, or cannot be read and is to be replaced."""
    try:
        return _read_for(folder, fingerprint)
    except (CalibrationMismatch, StoreError):
        return {}


def _read_for(folder: Path, fingerprint: str) -> dict[str, Any]:
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        stored = data["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, error) from error
    if stored != fingerprint:
        raise CalibrationMismatch(folder, stored=stored, wanted=fingerprint)
    return dict(data)


def _unreadable(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"the calibration {path} cannot be read ({error}); run `vesalius calibrate` again, or remove the file"
    )
