"""Which files a path given to --pages, --cases or --facts means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from indexers.sources.dicom_files import is_dicom_file
from indexers.sources.fact_files import SUFFIXES, UNSURE_SUFFIXES, form_of, suffix_of
from rag.errors import SourceError, UsageError
from rag.types import Skipped, SourceKind

PAGE_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
_SUFFIXES: dict[SourceKind, tuple[str, ...]] = {
    "pages": (".pdf", *PAGE_IMAGE_SUFFIXES),
    "cases": (".jsonl", ".csv"),
    "facts": (*SUFFIXES, *(f"{suffix}.gz" for suffix in SUFFIXES)),
}
_WORDS_ABOUT_FILES = ("license", "licence", "notice", "readme", "copying", "changelog", "citation")
"""What files that speak of the others are called: they are left out without a word."""


class Discovered(NamedTuple):
    """Source files in the order given, those of a folder by name, and the files that no parser reads."""

    files: tuple[Path, ...]
    skipped: tuple[Skipped, ...]


def discover(paths: Sequence[Path], source: SourceKind) -> Discovered:
    """Resolve files and folders. A folder is walked for files of this source; others in it belong to somebody else.

    A folder with DICOM files stands for all of them as one source of cases, beside its records files. Of the .csv files
    of a folder, those named records.csv are cases and all others facts. Files of a folder of facts whose form is not
    known are skipped, with the reason. A file named twice counts once.
    Raises UsageError for a path that does not exist.
    """
    files: dict[Path, Path] = {}
    skipped: list[Skipped] = []
    for path in paths:
        if path.is_dir():
            found = _in_folder(path, source)
            unknown = _unknown_facts(path) if source == "facts" else {}
            skipped += [Skipped(str(file), "", "discover", reason) for file, reason in unknown.items()]
            found = [file for file in found if file not in unknown]
            if not found:
                skipped.append(
                    Skipped(str(path), "", "discover", f"the folder has no {source} files: {_expected(source)}")
                )
        elif path.is_file():
            found = [path] if _has_suffix(path, source) or _is_dicom(path, source) else []
            if not found:
                skipped.append(Skipped(str(path), "", "discover", f"not a {source} file; expected {_expected(source)}"))
        else:
            raise UsageError(f"--{source} {path}: no such file or folder")
        for file in found:
            files.setdefault(file.resolve(), file)
    return Discovered(tuple(files.values()), tuple(skipped))


def _in_folder(folder: Path, source: SourceKind) -> list[Path]:
    files = _walk(folder)
    found = [file for file in files if _is_wanted(file, source)]
    return [folder, *found] if any(_is_dicom(file, source) for file in files) else found


def _unknown_facts(folder: Path) -> dict[Path, str]:
    """The files of a folder of facts that cannot be used and belong to no other source, with the reason."""
    return {
        file: reason
        for file in _walk(folder)
        if not file.name.lower().startswith(_WORDS_ABOUT_FILES) and (reason := _unknown_fact(file))
    }


def _unknown_fact(file: Path) -> str:
    if not _has_suffix(file, "facts"):
        others: tuple[SourceKind, ...] = ("pages", "cases")
        belongs = any(_has_suffix(file, other) or _is_dicom(file, other) for other in others)
        return "" if belongs else f"not a facts file; expected {_expected('facts')}"
    if suffix_of(file) not in UNSURE_SUFFIXES:
        return ""  # read as facts, and reported there when it holds none
    try:
        form_of(file)
    except SourceError as error:
        return error.reason
    return ""


def _is_dicom(file: Path, source: SourceKind) -> bool:
    return source == "cases" and is_dicom_file(file)


def _walk(folder: Path) -> list[Path]:
    found = (
        file
        for file in folder.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
    return sorted(found, key=lambda file: file.relative_to(folder).as_posix())


def _is_wanted(file: Path, source: SourceKind) -> bool:
    is_records = file.stem.lower() == "records"
    if file.suffix.lower() == ".csv" and is_records != (source == "cases"):
        return False
    return _has_suffix(file, source)


def _has_suffix(file: Path, source: SourceKind) -> bool:
    return file.name.lower().endswith(_SUFFIXES[source])


def _expected(source: SourceKind) -> str:
    return ", ".join((*_SUFFIXES[source], *((".dcm",) if source == "cases" else ())))
