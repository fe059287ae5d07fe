"""What the identifier policy means for the records of a report corpus."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from indexers.sources.case_records import Raw, Record, to_record
from indexers.sources.identifiers import (
    DIRECT,
    Identifier,
    IdentifierPolicy,
    describe,
    find_identifiers,
    find_in_name,
    mask,
    mask_name,
)
from rag.errors import SourceError

REFUSED_SHARE = 0.01
"""Share of records with a direct identifier above which a corpus is refused whole: it was not de-identified.

On the four development corpora (545 records) and the sample library no record has one.
"""
ADVICE = "de-identify it, or set cases.identifiers to mask or allow"
_KEPT_META = frozenset({"license", "source"})
"""Who made a published record: an attribution, not a patient."""


def require_deidentified(rows: Iterable[Raw]) -> None:
    """Raise SourceError when more than `REFUSED_SHARE` of the records hold direct identifiers. Names none of them."""
    n_rows = n_direct = 0
    found: list[Identifier] = []
    for raw in rows:
        n_rows += 1
        try:
            direct = _direct(to_record(raw.fields)) if not raw.problem else []
        except SourceError:
            continue  # The record is reported when its turn comes.
        n_direct += bool(direct)
        found += direct
    if n_direct > REFUSED_SHARE * n_rows:
        raise SourceError(
            f"{n_direct} of {n_rows} records hold patient identifiers ({describe(found)}); {ADVICE}",
            stage="identifiers",
        )


def cleared(record: Record, policy: IdentifierPolicy) -> Record:
    """The record as the policy lets it in. Raises SourceError, naming kinds only, when it does not."""
    if policy == "allow":
        return record
    if policy == "refuse" and (direct := _direct(record)):
        raise SourceError(f"the record holds patient identifiers ({describe(direct)}); {ADVICE}", stage="identifiers")
    if any(find_in_name(name) for name in _names(record)):
        # Two masked names would be the same name.
        raise SourceError(
            "the record's id, patient, study or image file is named by a patient identifier; give it another name",
            stage="identifiers",
        )
    meta = {key: value if key in _KEPT_META else mask(value) for key, value in record.meta.items()}
    return replace(record, text=mask(record.text), meta=meta)


def spoken(text: str, policy: IdentifierPolicy) -> str:
    """A message about a record without the identifiers that it quotes."""
    return text if policy == "allow" else mask(mask_name(text) if find_in_name(text) else text)


def _direct(record: Record) -> list[Identifier]:
    texts = (record.text, *(value for key, value in record.meta.items() if key not in _KEPT_META))
    found = [item for text in texts for item in find_identifiers(text) if item.kind in DIRECT]
    return found + [item for name in _names(record) for item in find_in_name(name)]


def _names(record: Record) -> tuple[str, ...]:
    return (record.id, record.patient or "", record.study or "", *record.images)
