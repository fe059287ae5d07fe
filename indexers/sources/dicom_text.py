"""What a DICOM file says in words: terms for its codes, and descriptions of which only known words are kept.

A free text of a header may hold anything; a word list lets in what describes an examination and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from indexers.sources.dicom_header import Header
from indexers.sources.identifiers import DIRECT, IdentifierPolicy, describe, find_identifiers, mask
from rag.errors import SourceError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_MODALITIES: dict[str, tuple[str, str]] = {
    "CR": ("X-ray", "radiology"), "DX": ("X-ray", "radiology"), "RG": ("X-ray", "radiology"),
    "CT": ("CT", "radiology"), "MR": ("MRI", "radiology"), "MG": ("mammography", "radiology"),
    "PT": ("PET", "radiology"), "NM": ("nuclear medicine", "radiology"), "XA": ("angiography", "radiology"),
    "RF": ("fluoroscopy", "radiology"), "PX": ("panoramic X-ray", "radiology"), "IO": ("dental X-ray", "radiology"),
    "US": ("ultrasound", "radiology"), "IVUS": ("intravascular ultrasound", "radiology"),
    "OP": ("fundus photograph", "ophthalmology"), "OPT": ("optical coherence tomography", "ophthalmology"),
    "SM": ("slide microscopy", "pathology"), "GM": ("microscopy", "pathology"), "ES": ("endoscopy", "endoscopy"),
    "XC": ("clinical photograph", "clinical"), "DMS": ("dermoscopy", "dermatology"), "SR": ("report", "radiology"),
}  # fmt: skip
"""Modality code: what people call it, and its domain."""
_SIDES = {"L": "left", "R": "right", "B": "bilateral"}
_SEXES = {"M": "male", "F": "female", "O": "other"}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_VIEWS = _words("AP PA LL RL LLD RLD LLO RLO LAO RAO LPO RPO LAT LATERAL OBLIQUE CC MLO ML LM XCCL LMO AXIAL")
DESCRIPTIVE = _words(
    "abdomen abdominal acetabulum acute adc adrenal airway and angio angiogram angiography ankle anterior aorta "
    "aortic ap apical arch arm arterial arteries artery aspect ax axial axilla axillary baseline bilateral "
    "biliary biopsy bladder bone bones bowel brain breast bronchus calcaneus cardiac carotid cavity cc cerebral "
    "cervical chest child clavicle coccyx colon complete contrast cor coronal coronary cranial ct cxr decubitus "
    "delayed dental diffusion digit dixon dose duct dwi dx dynamic early echo elbow enhanced erect esophagus "
    "expiration extremity eye face facial fast fat fatsat femoral femur fetal fetus fibula finger fingers first "
    "flair flat flexion follow followup foot forearm four frontal fse fundus gallbladder gradient gre guided hand "
    "head heart heel high hip hips humerus iac iliac image inferior inspiration intracranial iv jaw joint joints "
    "kidney kidneys knee knees kub larynx lat lateral left leg legs limited liver lo localizer long low lower "
    "lumbar lumbosacral lung lungs macula mammogram mammography mandible maxilla maximum medial mediastinum mip "
    "mlo mr mra mri mrv multiplanar nasal neck nerve non noncontrast oblique obstetric odontoid of op optic orbit "
    "orbits ovary pa pancreas panoramic paranasal parathyroid parotid patella pelvic pelvis perfusion pet phase "
    "plain portable portal post posterior pre pregnancy prone prostate protocol proton pulmonary radiograph "
    "radius rectum reformat renal resolution retina rib ribs right rotation routine sacroiliac sacrum sag "
    "sagittal scan scapula scout screening scrotum sella series shoulder shoulders single sinus sinuses skeletal "
    "skeleton skull small soft spin spine spiral spleen sternum stir stomach stress study subclavian superior "
    "supine survey swi swimmers t1 t1w t2 t2w temporal testis thigh thin thoracic thorax three thumb thyroid "
    "tibia time tissue toe toes tof tomography tra trachea transverse trauma tse two ulna ultrasound unilateral "
    "upper upright ureter urinary uterus vascular vein venous ventricle vertebra view views water weight weighted "
    "whole window with without wrist xr xray zygoma"
)
"""Words of body parts, positions, sequences and phases, in small letters."""
_PLACEHOLDERS = _words(
    "anon anonymous anonymized anonymised case demo deidentified dicom files image images name none null patient "
    "phantom research sample study subject test unknown"
)
"""Words that stand in the field of a patient's name where there is no patient."""
_WORD = re.compile(r"[^\W_]+")
_MIN_NAME = 3
_MIN_PHRASE = 4
_MAX_ITEMS = 4000
_MAX_DEPTH = 16
_MAX_TEXT = 200_000
_PERSONAL = re.compile(
    r"\b(?:name|identifier|id|address|telephone|phone|number|birth|uid|accession|date)\b", re.IGNORECASE
)


def plain(text: str, without: Collection[str] = ()) -> str:
    """The words of a free text that describe an examination, in small letters; whatever else it holds is left out.

    `without` are words left out although they do: there are patients called Long and Foot.
    """
    return " ".join(word for word in _WORD.findall(text.casefold()) if word in DESCRIPTIVE and word not in without)


def identifying(header: Header) -> frozenset[str]:
    """Words and phrases of the header that identify somebody, for finding them in texts of the same file."""
    words = {word for name in header.names() for word in _name_words(name)}
    phrases = {phrase.strip() for phrase in header.phrases() if len(phrase.strip()) >= _MIN_PHRASE}
    return frozenset(words | {phrase for phrase in phrases if phrase.casefold() not in DESCRIPTIVE})


def names_patient(parts: Iterable[str], headers: Iterable[Header]) -> bool:
    """Whether parts of a path hold a word of a patient's name, or a patient's or an examination's number."""
    shown = " ".join(parts).casefold()
    words = set(_WORD.findall(shown.replace("_", " ")))
    for header in headers:
        names = {word for name in header.texts.get("PatientName", "").split("\\") for word in _name_words(name)}
        numbers = (header.text(keyword).strip().casefold() for keyword in ("PatientID", "AccessionNumber"))
        if names & words or any(len(number) >= _MIN_PHRASE and number in shown for number in numbers):
            return True
    return False


def _name_words(name: str) -> set[str]:
    words = set(_WORD.findall(name.casefold().replace("_", " ")))
    return {word for word in words if len(word) >= _MIN_NAME and word not in DESCRIPTIVE | _PLACEHOLDERS}


def case_meta(header: Header, age: str) -> dict[str, str]:
    """The few tags that a case keeps, each as a known term; unknown values are left out."""
    term, domain = _MODALITIES.get(header.text("Modality").strip().upper(), ("", ""))
    side = header.text("ImageLaterality") or header.text("Laterality")
    view = header.text("ViewPosition").strip().upper()
    found = {
        "domain": domain,
        "modality": term,
        "body_part": plain(header.text("BodyPartExamined")),
        "view": view if view in _VIEWS else "",
        "laterality": _SIDES.get(side.strip().upper(), ""),
        "age": age,
        "sex": _SEXES.get(header.text("PatientSex").strip().upper(), ""),
        "source": "DICOM",
    }
    return {key: value for key, value in found.items() if value}


def description(header: Header, meta: dict[str, str]) -> str:
    """A line about the picture: modality, body part, side, view, then the known words of its descriptions."""
    view = f"{meta['view']} view" if "view" in meta else ""
    first = ", ".join(part for part in (meta.get("body_part"), meta.get("laterality"), view) if part)
    names = {word for name in header.names() for word in _WORD.findall(name.casefold())}
    lines = [": ".join(part for part in (meta.get("modality", ""), first) if part)]
    for keyword, label in (
        ("StudyDescription", "Study"),
        ("SeriesDescription", "Series"),
        ("ProtocolName", "Protocol"),
    ):
        if text := plain(header.text(keyword), names):
            lines.append(f"{label}: {text}")
    return ". ".join(line for line in lines if line)


def report_text(content: Sequence[Dataset] | None, header: Header, policy: IdentifierPolicy) -> str:
    """The text of a structured report. Items that are names, dates, numbers of persons or references are left out.

    Raises SourceError when there is no text, or when it holds identifiers and the policy is to refuse them.
    """
    text = "\n".join(_items(content, 0, [0]))[:_MAX_TEXT].strip()
    if not text:
        raise SourceError("the file has neither pixels nor the text of a report", stage="parse")
    known = identifying(header)
    if policy == "allow":
        # What the header itself names is not let through by any policy.
        return mask(
            text, [item for item in find_identifiers(text, known) if _is_known(text[item.start : item.end], known)]
        )
    found = find_identifiers(text, known)
    direct = [item for item in found if item.kind in DIRECT]
    if direct and policy == "refuse":
        raise SourceError(
            f"quarantined: the report holds patient identifiers ({describe(direct)}); set cases.identifiers to mask "
            "to let it in with these blanked",
            stage="identifiers",
        )
    return mask(text, found)


def _is_known(text: str, known: frozenset[str]) -> bool:
    small = text.casefold()
    return any(item.casefold() in small for item in known)


def _items(content: Sequence[Dataset] | None, depth: int, count: list[int]) -> Iterator[str]:
    """Lines of a content tree (PS3.3 C.17.3), in order."""
    for item in content or ():
        count[0] += 1
        if count[0] > _MAX_ITEMS or depth > _MAX_DEPTH:
            return
        name = _meaning(item.get("ConceptNameCodeSequence"))
        if line := _line(item, name):
            yield line
        yield from _items(item.get("ContentSequence"), depth + 1, count)


def _line(item: Dataset, name: str) -> str:
    if _PERSONAL.search(name):
        return ""
    match str(item.get("ValueType", "")).strip().upper():
        case "CONTAINER":
            return name
        case "TEXT":
            value = str(item.get("TextValue", "")).strip()
        case "CODE":
            value = _meaning(item.get("ConceptCodeSequence"))
        case "NUM":
            value = _measurement(item)
        case _:
            return ""
    return ": ".join(part for part in (name, value) if part) if value else ""


def _measurement(item: Dataset) -> str:
    measured = item.get("MeasuredValueSequence")
    if not measured:
        return ""
    units = measured[0].get("MeasurementUnitsCodeSequence")
    value = str(measured[0].get("NumericValue", ""))
    return f"{value} {units[0].get('CodeValue', '') if units else ''}".strip()


def _meaning(codes: Sequence[Dataset] | None) -> str:
    return str(codes[0].get("CodeMeaning", "")).strip() if codes else ""
