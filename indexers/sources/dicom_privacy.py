"""Pseudonyms for what identifies in a DICOM header, and which pixels may show a patient's name.

De-identification follows the idea of the Basic Application Level Confidentiality Profile (DICOM PS3.15 annex E), turned
round: not a list of what is removed, but a short list of what is kept. Nothing else is even read.
"""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

SALT_FILE = "dicom.salt"
"""Holds the library's secret, in the library folder. Whoever has it can test whether a known patient is inside: it is
never exported."""
_SALT_BYTES = 32
_HEX_DIGITS = 16
_FIRST_YEAR = 1895
"""X-rays were discovered in November of this year; no study is older."""
OLDEST_AGE = 90
"""Ages from here on identify, and become one band (45 CFR 164.514(b)(2)(i)(C))."""


def read_salt(folder: Path) -> bytes | None:
    """The salt of a library, None when it has none yet."""
    try:
        salt = (folder / SALT_FILE).read_bytes()
    except FileNotFoundError:
        return None
    return salt if len(salt) == _SALT_BYTES else None


def library_salt(folder: Path) -> bytes:
    """The salt of a library, made at the first call; only its owner can read the file.

    The same patient has the same pseudonym in every build of a library, and another one in every other library.
    """
    if (known := read_salt(folder)) is not None:
        return known
    folder.mkdir(parents=True, exist_ok=True)
    salt = secrets.token_bytes(_SALT_BYTES)
    unfinished = folder / f".{SALT_FILE}.{os.getpid()}-{secrets.token_hex(4)}"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(salt)
            stream.flush()
            os.fsync(stream.fileno())
        # A link fails when another process was first: then its salt holds.
        with suppress(FileExistsError):
            os.link(unfinished, folder / SALT_FILE)
    finally:
        unfinished.unlink()
    return read_salt(folder) or salt


def pseudonym(salt: bytes, what: str, value: str) -> str:
    """A name that stands for a value in this library: a letter for what it is, and 64 bits of HMAC-SHA-256."""
    digest = hmac.digest(salt, f"{what}\x1f{value}".encode("utf-8", "surrogatepass"), "sha256")
    return f"{what[0]}-{digest.hex()[:_HEX_DIGITS]}"


def study_date(text: str) -> date | None:
    """A DICOM date (20240131, or 2024.01.31 of old files); None for one that cannot be a study's."""
    digits = text.strip().replace(".", "")
    try:
        found = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8])) if len(digits) == len("20240131") else None
    except ValueError:
        return None
    latest = datetime.now(UTC).date() + timedelta(days=1)
    return found if found is not None and date(_FIRST_YEAR, 11, 1) <= found <= latest else None


def age_band(age: str, birth: date | None, studied: date | None) -> str:
    """The age in bands of ten years, from DICOM's form (067Y, 011M) or from the dates; empty when neither is there."""
    text = age.strip().upper()
    years: int | None = None
    if text[:-1].isascii() and text[:-1].isdigit() and text[-1:] in {"D", "W", "M", "Y"}:
        years = int(text[:-1]) if text.endswith("Y") else int(text[:-1]) // {"D": 365, "W": 52, "M": 12}[text[-1]]
    elif birth is not None and studied is not None and studied >= birth:
        years = (studied - birth).days * 100 // 36525
    if years is None:
        return ""
    low = years // 10 * 10
    return f"{OLDEST_AGE} or older" if years >= OLDEST_AGE else f"{low}-{low + 9} years"


_SCREEN_MODALITIES = frozenset({"US", "IVUS", "OT", "DOC", "SC", "SMR"})
"""Ultrasound writes the patient's name on the picture; the others are made from screens and paper."""
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_SCREEN_TYPES = frozenset({"SCREEN SAVE", "SCREENSAVE", "SCREEN", "SECONDARY CAPTURE", "DOSE", "DOSE_INFO", "REPORT"})
_SCREEN_VENDORS = ("vital images", "infinitt", "terarecon", "pacsgear", "vidar", "howtek", "lumisys", "array corp")
"""Workstations and film digitisers: what they send is a copy of a screen or of a labelled film."""


def quarantine_reason(tags: dict[str, str]) -> str:
    """Why pixels may show who the patient is; empty when nothing says so.

    The rules: the header's own flags; then, unless it says that nothing is burned in, modality, class, image type and
    maker. Nobody looks at the pixels.
    """
    image_type = {part.strip().upper() for part in tags.get("ImageType", "").split("\\")}
    burned, recognisable, modality = (
        tags.get(keyword, "").strip().upper()
        for keyword in ("BurnedInAnnotation", "RecognizableVisualFeatures", "Modality")
    )
    maker = tags.get("Manufacturer", "").casefold()
    certain = (
        (burned == "YES", "the header says that text is burned into the pixels"),
        (recognisable == "YES", "the header says that the patient can be recognised in the pixels"),
        ("LABEL" in image_type, "the picture is a slide's label"),
    )
    likely = (
        (tags.get("SOPClassUID", "").startswith(_SECONDARY_CAPTURE), "a secondary capture may have text burned in"),
        (bool(tags.get("ConversionType", "").strip()), "a converted picture may have text burned in"),
        (modality in _SCREEN_MODALITIES, "pictures of this modality usually have text burned in"),
        (bool(image_type & _SCREEN_TYPES), "a copy of a screen may have text burned in"),
        (any(vendor in maker for vendor in _SCREEN_VENDORS), "this maker's pictures are copies of screens or films"),
    )
    rules = certain if burned == "NO" else (*certain, *likely)
    return next((reason for holds, reason in rules if holds), "")
