"""Report corpora: one passage per case record, with its text and its checked images."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from datetime import date
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from indexers.sources.case_identifiers import cleared, require_deidentified, spoken
from indexers.sources.case_records import Raw, Record, read_raw, record_date, record_id, text_field, to_record
from indexers.sources.identifiers import IdentifierPolicy
from indexers.sources.images import check_image, resolve_inside
from rag.errors import SourceError
from rag.fingerprint import passage_id, sha256_bytes, sha256_file
from rag.types import CaseLocator, Document, Passage, Skipped, Unit

UNIT_RECORDS = 16
"""Records per unit: few enough that little is redone after a stop, enough to fill an encoder's batch."""


class _Row(NamedTuple):
    raw: Raw
    content: str
    """Hash of the record and of its images' bytes."""


class CaseParser:
    """Parses `records.jsonl` and CSV files of images and reports. A record with anything wrong is left out whole.

    `identifiers` says what becomes of patient identifiers that the text shows.
    """

    def __init__(self, identifiers: IdentifierPolicy = "refuse") -> None:
        self._identifiers = identifiers

    def open(self, path: Path) -> Document:
        n_records = sum(1 for _ in read_raw(path))
        if not n_records:
            raise SourceError("the file has no records")
        if self._identifiers == "refuse":
            require_deidentified(read_raw(path))
        return Document(_name(path), path, sha256_file(path), "cases", -(-n_records // UNIT_RECORDS))

    def parse(self, document: Document, done: Container[str]) -> Iterator[Unit]:
        folder = document.path.parent
        first_days = _first_days(document.path)
        seen: set[str] = set()
        rows = read_raw(document.path)
        index = 0
        while unit_rows := [_Row(raw, _content(folder, raw)) for raw in islice(rows, UNIT_RECORDS)]:
            digest = sha256_bytes("\n".join(row.content for row in unit_rows).encode())
            key = f"{digest[:32]}:c{index:06d}"
            index += 1
            if key in done:
                seen.update(record_id(row.raw.fields) for row in unit_rows)
            else:
                yield self._unit(document, key, unit_rows, seen, first_days)

    def _unit(
        self, document: Document, key: str, rows: list[_Row], seen: set[str], first_days: dict[str, date]
    ) -> Unit:
        passages: list[Passage] = []
        skipped: list[Skipped] = []
        for row in rows:
            name = record_id(row.raw.fields)
            try:
                passages.append(_passage(document, row, seen, first_days, self._identifiers))
            except SourceError as error:
                place = spoken(f"line {row.raw.line}" + (f" ({name})" if name else ""), self._identifiers)
                reason = spoken(error.reason, self._identifiers)
                skipped.append(Skipped(str(document.path), place, error.stage, reason))
            seen.add(name)
        return Unit(key, tuple(passages), tuple(skipped))


def _name(path: Path) -> str:
    """A corpus is known by its folder when its file is called records, else by the file's name."""
    return path.absolute().parent.name if path.stem.lower() == "records" else path.stem


def _first_days(path: Path) -> dict[str, date]:
    """The earliest date of each patient: their reference day, for records that give calendar dates."""
    first: dict[str, date] = {}
    for raw in read_raw(path):
        if "date" not in raw.fields or "patient_id" not in raw.fields:
            continue
        try:
            patient, day = text_field(raw.fields, "patient_id"), record_date(raw.fields)
        except SourceError:
            continue  # The record is reported when its turn comes.
        if day is not None and patient:
            first[patient] = min(first.get(patient, day), day)
    return first


def _content(folder: Path, raw: Raw) -> str:
    record = (
        json.dumps(raw.fields, sort_keys=True, ensure_ascii=False) if not raw.problem else f"{raw.line}{raw.problem}"
    )
    parts = [sha256_bytes(record.encode("utf-8", "surrogatepass"))]
    try:
        parts += [sha256_file(resolve_inside(folder, name)) for name in to_record(raw.fields).images]
    except (SourceError, OSError):
        parts.append("unusable")  # The record is reported when its turn comes.
    return sha256_bytes(":".join(parts).encode())


def _passage(
    document: Document, row: _Row, seen: set[str], first_days: dict[str, date], identifiers: IdentifierPolicy
) -> Passage:
    if row.raw.problem:
        raise SourceError(row.raw.problem, stage="parse")
    record = to_record(row.raw.fields)
    if record.id in seen:
        raise SourceError("an earlier record of this file has the same id", stage="parse")
    record = cleared(record, identifiers)
    images = tuple(resolve_inside(document.path.parent, name) for name in record.images)
    for image in images:
        check_image(image)
    return Passage(
        id=passage_id(row.content, "case", f"{document.name}:{record.id}"),
        kind="case",
        document=document.name,
        text=record.text,
        locator=CaseLocator(
            record.id, record.patient, record.study, _day(record, first_days.get(record.patient or ""))
        ),
        images=images,
        meta=record.meta,
    )


def _day(record: Record, first_day: date | None) -> float | None:
    if record.day is not None or record.date is None or record.patient is None:
        return record.day
    return float((record.date - (first_day or record.date)).days)
