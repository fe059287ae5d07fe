"""The domain that the tags of a DICOM query image tell, when there are any.

Defined terms of Modality (0008,0060): DICOM PS3.3, C.7.3.1.1.1,
https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.7.3.html
"""

from __future__ import annotations

from collections.abc import Mapping

from rag.domains.names import ImageDomain

_CODES: Mapping[ImageDomain, str] = {
    "radiograph": "CR DX RF XA MG PX IO RG",
    "cross-section": "CT MR PT NM",
    "ultrasound": "US IVUS",
    "pathology": "SM GM",
    "ophthalmology": "OP OPT OPM OPV OPTENF OPTBSV",
    "clinical-photo": "XC DMS",
    "endoscopy": "ES",
}
MODALITIES: Mapping[str, ImageDomain] = {code: domain for domain, codes in _CODES.items() for code in codes.split()}


def tag_domain(tags: Mapping[str, str]) -> ImageDomain | None:
    """The domain by the tag "Modality"; None when it is absent or stands for no domain ("OT", "SC")."""
    return MODALITIES.get(tags.get("Modality", "").strip().upper())
