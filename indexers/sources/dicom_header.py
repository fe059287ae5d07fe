"""DICOM headers from outside: the few elements that are needed, read with limits, before any pixel is touched.

Private elements, and every element not named here, are never read. pydicom quotes values in its warnings and errors, so
neither leaves this module: messages are our own.
"""

from __future__ import annotations

import logging
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexers.sources.dicom_files import has_magic
from rag.errors import MissingExtra, SourceError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MAX_FILE_BYTES = 2 << 30
MAX_VALUE_BYTES = 1 << 16
"""Longest value of a header element that is looked at."""
_META_START = 132
_META_BYTES = 16384
_LONG_FORMS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_TRANSFER_SYNTAX = (0x0002, 0x0010)
DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.8.1"})
"""Unpacked without limit by the reader: a small file may hold gigabytes. They are rare, and not read."""
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"

KEPT = (
    "Modality", "BodyPartExamined", "ViewPosition", "Laterality", "ImageLaterality", "PatientSex", "PatientAge",
    "StudyDescription", "SeriesDescription", "ProtocolName",
)  # fmt: skip
"""What a case may say, after checks on each. All else that is read serves these checks, pseudonyms and pixels."""
_DATES = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "PatientBirthDate")
_NAMES = (
    "PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "ResponsiblePerson",
    "ReferringPhysicianName", "PerformingPhysicianName", "RequestingPhysician", "NameOfPhysiciansReadingStudy",
    "PhysiciansOfRecord", "OperatorsName", "ConsultingPhysicianName",
)  # fmt: skip
_PHRASES = (
    "PatientID", "OtherPatientIDs", "AccessionNumber", "InstitutionName", "InstitutionAddress", "StationName",
    "PatientAddress", "PatientTelephoneNumbers", "DeviceSerialNumber", "AdmissionID", "StudyID",
)  # fmt: skip
_CHECKED = (
    "SOPClassUID", "ImageType", "BurnedInAnnotation", "RecognizableVisualFeatures", "ConversionType", "Manufacturer",
)  # fmt: skip
_PSEUDONYMISED = ("SOPInstanceUID", "StudyInstanceUID", "IssuerOfPatientID")
_NUMBERS = ("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated")
_WHOLE_SLIDE = ("TotalPixelMatrixColumns",)
_READ = (*KEPT, *_DATES, *_NAMES, *_PHRASES, *_CHECKED, *_PSEUDONYMISED, *_NUMBERS, *_WHOLE_SLIDE)


@dataclass(frozen=True, slots=True)
class PixelShape:
    """What the header promises: rows and columns of a frame, frames, samples of a pixel, bits of a sample."""

    rows: int
    columns: int
    frames: int
    samples: int
    bits: int

    @property
    def frame_pixels(self) -> int:
        """Pixels of one frame."""
        return self.rows * self.columns

    @property
    def n_bytes(self) -> int:
        """Bytes of all frames, unpacked."""
        return self.frame_pixels * self.frames * self.samples * self.bits // 8


@dataclass(frozen=True, slots=True)
class Header:
    """A header as read: texts by keyword, the shape of the pixels if it has any, and what identifies a person.

    Holds identifiers; it stays in memory while a folder is read and goes nowhere else.
    """

    texts: dict[str, str]
    shape: PixelShape | None
    transfer_syntax: str
    file_bytes: int

    def text(self, keyword: str) -> str:
        """An element's value as text, empty when it is absent."""
        return self.texts.get(keyword, "")

    def names(self) -> list[str]:
        """Persons in the header, in DICOM's form: family name, given name and others with carets between them."""
        return [part for keyword in _NAMES for part in self.text(keyword).split("\\") if part]

    def phrases(self) -> list[str]:
        """Numbers and places in the header that identify."""
        return [part for keyword in _PHRASES for part in self.text(keyword).split("\\") if part]


_MUTED = threading.local()


class _Muted(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        del record
        return not getattr(_MUTED, "reading", False)


_FILTER = _Muted()


@contextmanager
def guarded(reason: str, stage: str) -> Iterator[None]:
    """Turn whatever a damaged file makes pydicom raise into one SourceError, and keep its log and warnings silent."""
    _MUTED.reading = True
    logging.getLogger("pydicom").addFilter(_FILTER)
    # Not within `catch_warnings`: its restoring is not safe between threads.
    warnings.filterwarnings("ignore", module=r"pydicom|indexers\.sources\.dicom|PIL")
    try:
        yield
    except SourceError:
        raise
    except NotImplementedError:
        raise SourceError("the pixels are packed in a way that cannot be unpacked here", stage=stage) from None
    except (
        ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
        SyntaxError, TypeError, ValueError, Warning, struct.error, zlib.error,
    ):  # fmt: skip
        # Without its cause, which quotes values of the header.
        raise SourceError(reason, stage=stage) from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] in {"pydicom", "PIL"}:
            raise SourceError(reason, stage=stage) from None
        raise
    finally:
        _MUTED.reading = False


def read_dataset(path: Path, keywords: tuple[str, ...]) -> Dataset:
    """The named elements of a file, pixels left alone. Raises MissingExtra without pydicom."""
    try:
        from pydicom import dcmread
    except ImportError as error:
        raise MissingExtra("dicom", feature="reading DICOM files") from error
    return dcmread(path, stop_before_pixels=True, specific_tags=list(keywords), defer_size=MAX_VALUE_BYTES)


def read_header(path: Path) -> Header:
    """Read and check a header. Raises SourceError, with no value of the file in its message."""
    with guarded("the header is damaged or cut off", "open"):
        size = path.stat().st_size
        if not has_magic(path):
            raise SourceError("not a DICOM file: the letters DICM are missing at byte 128")
        if size > MAX_FILE_BYTES:
            raise SourceError(f"the file is larger than {MAX_FILE_BYTES >> 30} GB")
        syntax = _transfer_syntax(path)
        if syntax in DEFLATED:
            raise SourceError("deflated DICOM files are not read; convert the file to an uncompressed one")
        dataset = read_dataset(path, _READ)
        texts = {keyword: text for keyword in _READ if (text := _text(dataset, keyword))}
        if texts.get("SOPClassUID") == _DIRECTORY_CLASS:
            raise SourceError("a DICOMDIR is not followed; give the folder with its files")
        return Header(texts, _shape(texts), syntax, size)


def _transfer_syntax(path: Path) -> str:
    """The transfer syntax of the file meta group (PS3.10 7.1), whose elements are explicit little endian."""
    with path.open("rb") as stream:
        stream.seek(_META_START)
        data = stream.read(_META_BYTES)
    at = 0
    while at + 12 <= len(data):
        group, element, form, short = struct.unpack_from("<HH2sH", data, at)
        if group != _TRANSFER_SYNTAX[0]:
            break
        length, start = (struct.unpack_from("<I", data, at + 8)[0], at + 12) if form in _LONG_FORMS else (short, at + 8)
        if (group, element) == _TRANSFER_SYNTAX:
            return data[start : start + length].decode("ascii", "replace").strip("\0 ")
        at = start + length
    raise SourceError("the file does not say how it is encoded (no transfer syntax)")


def _text(dataset: Dataset, keyword: str) -> str:
    """A value as text, several joined with backslashes; empty when it is absent, too long or malformed."""
    try:
        raw: Any = dataset.get_item(keyword)
        if raw is None or (getattr(raw, "length", 0) or 0) > MAX_VALUE_BYTES:
            return ""
        value: Any = dataset[keyword].value
        parts = value if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue" else [value]
        return "\\".join("" if part is None else str(part) for part in parts)
    except (ArithmeticError, AttributeError, LookupError, NotImplementedError, OSError, TypeError, ValueError):
        return ""


def _shape(texts: dict[str, str]) -> PixelShape | None:
    if "Rows" not in texts or "Columns" not in texts:
        return None
    numbers = [_number(texts.get(keyword, "")) for keyword in _NUMBERS]
    rows, columns, frames, samples, bits = numbers
    shape = PixelShape(rows, columns, max(frames, 1), max(samples, 1), bits or 8)
    return shape if shape.frame_pixels else None


def _number(text: str) -> int:
    try:
        return max(int(text.partition("\\")[0].strip() or 0), 0)
    except ValueError:
        return 0
