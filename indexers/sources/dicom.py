"""DICOM files as cases: pictures and report texts come in, who the patient is does not."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from indexers.sources.dicom_files import dicom_files
from indexers.sources.dicom_header import Header, guarded, read_dataset, read_header
from indexers.sources.dicom_pixels import frame_pictures
from indexers.sources.dicom_privacy import age_band, pseudonym, quarantine_reason, study_date
from indexers.sources.dicom_text import case_meta, description, names_patient, report_text
from indexers.sources.identifiers import IdentifierPolicy, find_in_name
from indexers.sources.pdf import write_whole
from indexers.sources.perceptual import with_image_keys
from rag.errors import SourceError, UsageError
from rag.fingerprint import passage_id, sha256_file
from rag.types import CaseLocator, Document, Passage, Skipped, Unit

UNIT_FILES = 16
"""Files per unit, as for the records of other corpora."""
_REPORT_CLASS = "1.2.840.10008.5.1.4.1.1.88."
_WHOLE_SLIDE_MODALITY = "SM"
_MAPS = frozenset({"RTDOSE", "SEG", "REG", "M3D"})
"""Modalities whose pixels are doses, masks and fields, not pictures."""
_FEW_PATIENTS = 3
"""Up to so many patients a folder above the files may be theirs; with more it is nobody's."""
_DATES = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")


@dataclass(frozen=True, slots=True)
class DicomOptions:
    """How DICOM files are read.

    frames: pictures taken of a file with several, evenly spread; 1 is the middle one. side: longest side of a picture,
    in pixels. identifiers: what becomes of identifiers in report texts. burned_in: whether pictures that may show
    the patient's name in their pixels are left out or let in.
    """

    frames: int = 1
    side: int = 2048
    identifiers: IdentifierPolicy = "refuse"
    burned_in: Literal["quarantine", "allow"] = "quarantine"


@dataclass(frozen=True, slots=True)
class _File:
    """A file of a document: its number from 1, a keyed hash of its content, and its header or what is wrong with it."""

    number: int
    path: Path
    content: str
    header: Header | None
    problem: SourceError | None = None
    patient: str | None = None
    studied: date | None = None


class DicomParser:
    """Parses a DICOM file, or a folder of them as one document; each file is one case.

    Pictures go under `image_folder`. Patients, studies and files get pseudonyms made with `salt`, the library's secret
    (`dicom_privacy.library_salt`); days count from the patient's first study in the document. Nothing that names a
    person leaves this class: documents have pseudonyms too, and messages count files instead of naming them.
    """

    def __init__(self, image_folder: Path, salt: bytes | None = None, options: DicomOptions | None = None) -> None:
        """Without a salt a new one is made: for looking at files only, such as a plan."""
        self._images = image_folder.absolute()
        self._salt = salt or secrets.token_bytes(32)
        self._options = options or DicomOptions()
        self._scanned: tuple[Path, list[_File]] | None = None

    def open(self, path: Path) -> Document:
        files = self._scan(path)
        if not files:
            raise SourceError("the folder has no DICOM files")
        if len(files) == 1 and files[0].problem is not None:
            raise files[0].problem
        self._require_unnamed(path, files)
        self._scanned = (path, files)
        name = "dicom" + pseudonym(self._salt, "document", path.resolve().name)[1:]
        return Document(name, path, self._digest(files).hex(), "cases", -(-len(files) // UNIT_FILES))

    def parse(self, document: Document, done: Container[str]) -> Iterator[Unit]:
        known = self._scanned
        files = known[1] if known is not None and known[0] == document.path else self._scan(document.path)
        first_days = _first_days(files)
        seen: set[str] = set()
        for start in range(0, len(files), UNIT_FILES):
            part = files[start : start + UNIT_FILES]
            key = f"{self._digest(part).hex()[:32]}:d{start // UNIT_FILES:06d}"
            if key in done:
                seen.update(self._record(file) for file in part)
            else:
                yield self._unit(document, key, part, seen, first_days)

    def _scan(self, path: Path) -> list[_File]:
        return [self._file(number, file) for number, file in enumerate(dicom_files(path), 1)]

    def _file(self, number: int, path: Path) -> _File:
        content = ""
        try:
            content = hmac.digest(self._salt, sha256_file(path).encode(), "sha256").hex()
            header = read_header(path)
        except OSError:
            return _File(number, path, content, None, SourceError("the file cannot be read"))
        except SourceError as error:
            return _File(number, path, content, None, error)
        days = (study_date(header.text(keyword)) for keyword in _DATES)
        studied = next((day for day in days if day is not None), None)
        return _File(number, path, content, header, patient=self._patient(header), studied=studied)

    def _patient(self, header: Header) -> str | None:
        """By number within its issuer, else by name and birthday; None when the header has neither."""
        number = header.text("PatientID").strip()
        who = f"{header.text('IssuerOfPatientID')}\x1f{number}" if number else ""
        if not number and (name := header.text("PatientName").strip(" ^")):
            who = f"{name.casefold()}\x1f{header.text('PatientBirthDate')}"
        return pseudonym(self._salt, "patient", who) if who else None

    def _record(self, file: _File) -> str:
        instance = file.header.text("SOPInstanceUID").strip() if file.header is not None else ""
        return pseudonym(self._salt, "instance", instance or file.content)

    def _digest(self, files: Sequence[_File]) -> bytes:
        return hashlib.sha256("\n".join(file.content for file in files).encode()).digest()

    def _require_unnamed(self, path: Path, files: Sequence[_File]) -> None:
        """A library notes the paths it was built from, so a path must not say whose files they are."""
        if self._options.identifiers == "allow":
            return
        patients = {file.patient for file in files}
        parts = path.parts if len(patients) <= _FEW_PATIENTS else path.parts[-1:]
        headers = [file.header for file in files if file.header is not None]
        if find_in_name(path.name) or names_patient(parts, headers):
            raise UsageError(
                "a path given to --cases holds a patient identifier (the files' own headers name it too, or it has the "
                "form of one), and a library keeps the paths of its sources; rename or copy it, give the folder above "
                "it, or set cases.identifiers=allow"
            )

    def _unit(
        self, document: Document, key: str, files: Sequence[_File], seen: set[str], first_days: dict[str, date]
    ) -> Unit:
        passages: list[Passage] = []
        skipped: list[Skipped] = []
        for file in files:
            record = self._record(file)
            place = (str(document.path), f"file {file.number}")
            if record in seen:
                skipped.append(Skipped(*place, "parse", "an earlier file of the folder is the same instance"))
                continue
            seen.add(record)
            try:
                passages.append(self._passage(document, file, record, first_days))
            except SourceError as error:
                skipped.append(Skipped(*place, error.stage, error.reason))
        return Unit(key, tuple(passages), tuple(skipped))

    def _passage(self, document: Document, file: _File, record: str, first_days: dict[str, date]) -> Passage:
        header = file.header
        if header is None:
            raise file.problem or SourceError("the file cannot be read")
        age = age_band(header.text("PatientAge"), study_date(header.text("PatientBirthDate")), file.studied)
        meta = case_meta(header, age)
        text, images = description(header, meta), tuple[Path, ...]()
        if header.text("SOPClassUID").startswith(_REPORT_CLASS):
            text = self._report(file.path, header)
        else:
            images = self._pictures(document, file, record)
        study = header.text("StudyInstanceUID").strip()
        first = first_days.get(file.patient) if file.patient is not None else None
        day = float((file.studied - first).days) if first is not None and file.studied is not None else None
        locator = CaseLocator(record, file.patient, pseudonym(self._salt, "study", study) if study else None, day)
        identity = passage_id(file.content, "case", f"{document.name}:{record}")
        return with_image_keys(Passage(identity, "case", document.name, text, locator, images, meta))

    def _report(self, path: Path, header: Header) -> str:
        with guarded("the content of the report is damaged or cut off", "parse"):
            content = read_dataset(path, ("ContentSequence",)).get("ContentSequence")
            return report_text(content, header, self._options.identifiers)

    def _pictures(self, document: Document, file: _File, record: str) -> tuple[Path, ...]:
        assert file.header is not None
        if self._options.burned_in == "quarantine" and (reason := quarantine_reason(file.header.texts)):
            raise SourceError(
                f"quarantined: {reason}; look at it, then set cases.burned_in=allow or clean the file",
                stage="identifiers",
            )
        if file.header.text("Modality").strip().upper() in _MAPS:
            raise SourceError("the pixels are a map of values, not a picture", stage="image")
        if _is_tiled(file.header):
            raise SourceError("the tiles of a whole slide are not read; export an overview", stage="image")
        pictures = frame_pictures(file.path, file.header, self._options.frames, self._options.side)
        folder = self._images / document.sha256[:16]
        paths = tuple(folder / f"{record}-{number}.png" for number in range(1, len(pictures) + 1))
        for path, picture in zip(paths, pictures, strict=True):
            write_whole(path, picture)
        return paths


def _is_tiled(header: Header) -> bool:
    if header.text("Modality").strip().upper() != _WHOLE_SLIDE_MODALITY or header.shape is None:
        return False
    whole = header.text("TotalPixelMatrixColumns").strip()
    return whole.isdigit() and int(whole) > header.shape.columns


def _first_days(files: Sequence[_File]) -> dict[str, date]:
    first: dict[str, date] = {}
    for file in files:
        if file.patient is not None and file.studied is not None:
            first[file.patient] = min(first.get(file.patient, file.studied), file.studied)
    return first
