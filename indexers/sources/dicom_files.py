"""Which files are DICOM, told without reading them as such and without following what they say about other files."""

from __future__ import annotations

from pathlib import Path

_MAGIC_AT = 128
_MAGIC = b"DICM"
SUFFIXES = (".dcm", ".dicom")
_DIRECTORY = "dicomdir"


def is_dicom_file(path: Path) -> bool:
    """Whether a file is to be read as DICOM: by its suffix, or by the magic when it has no suffix.

    The end of a name made of a UID (1.2.840.1) is no suffix. A DICOMDIR is none: it holds paths that others wrote.
    """
    name = path.name.casefold()
    if name == _DIRECTORY or not path.is_file():
        return False
    if name.endswith(SUFFIXES):
        return True
    suffix = path.suffix[1:]
    return (not suffix or suffix.isdigit()) and has_magic(path)


def has_magic(path: Path) -> bool:
    """Whether the four letters DICM stand behind a preamble of 128 bytes (PS3.10 7.1)."""
    try:
        with path.open("rb") as stream:
            stream.seek(_MAGIC_AT)
            return stream.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def dicom_files(path: Path) -> list[Path]:
    """The DICOM files that a path means: itself, or those of a folder by name.

    Hidden files and links that lead out of the folder are left out.
    A message about "file 3" of a folder means the third of this list.
    """
    if not path.is_dir():
        return [path]
    root = path.resolve()
    found = (
        file
        for file in path.rglob("*")
        if not any(part.startswith(".") for part in file.relative_to(path).parts)
        and file.resolve().is_relative_to(root)
        and is_dicom_file(file)
    )
    return sorted(found, key=lambda file: file.relative_to(path).as_posix())
