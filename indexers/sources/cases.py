"""Report corpora: one passage per case record, with its text and its checked images."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from indexers.sources.case_identifiers import cleared, require_deidentified, spoken
from indexers.sources.case_records import (
    Raw,
    Record,
    group_of,
    read_raw,
    record_date,
    record_id,
    text_field,
    to_record,
)
from indexers.sources.identifiers import IdentifierPolicy
from indexers.sources.images import check_image, resolve_inside
from indexers.sources.perceptual import with_image_keys
from rag.errors import SourceError
from rag.fingerprint import passage_id, sha256_bytes, sha256_file
from rag.types import CaseLocator, Document, Passage, Skipped, Unit

UNIT_RECORDS = 16
"""Records per unit: few enough that little is redone after a stop, enough to fill an encoder's batch."""
MOST_GROUPED = 10
"""Records per `group`, on average, up to which groups are taken for patients: larger ones are arms of a study."""


class _Row(NamedTuple):
    raw: Raw
    content: str
    """Hash of the record and of its images' bytes."""


@dataclass(slots=True)
class _Corpus:
    """What a record's meaning depends on besides itself: whether groups are patients, and each patient's first day."""

    grouped: bool = False
    first_days: dict[str, date] = field(default_factory=dict)

    def owned(self, record: Record) -> Record:
        """The record with its group as its patient, where groups are patients."""
        return replace(record, patient=record.group) if self.grouped and record.patient is None else record

    def day(self, record: Record) -> float | None:
        """Days since the patient's reference day."""
        if record.day is not None or record.date is None or record.patient is None:
            return record.day
        return float((record.date - self.first_days.get(record.patient, record.date)).days)


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
        corpus = _corpus(document.path)
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
                yield self._unit(document, key, unit_rows, seen, corpus)

    def _unit(self, document: Document, key: str, rows: list[_Row], seen: set[str], corpus: _Corpus) -> Unit:
        passages: list[Passage] = []
        skipped: list[Skipped] = []
        for row in rows:
            name = record_id(row.raw.fields)
            try:
                passages.append(_passage(document, row, seen, corpus, self._identifiers))
            except SourceError as error:
                place = spoken(f"line {row.raw.line}" + (f" ({name})" if name else ""), self._identifiers)
                reason = spoken(error.reason, self._identifiers)
                skipped.append(Skipped(str(document.path), place, error.stage, reason))
            seen.add(name)
        return Unit(key, tuple(passages), tuple(skipped))


def _name(path: Path) -> str:
    """A corpus is known by its folder when its file is called records, else by the file's name."""
    return path.absolute().parent.name if path.stem.lower() == "records" else path.stem


def _corpus(path: Path) -> _Corpus:
    """Read a file for what holds for all of it.

    Groups stand for patients when no record names a patient and they are small. The earliest date of each patient is
    their reference day, for records that give calendar dates.
    """
    groups: Counter[str] = Counter()
    first: dict[str, dict[str, date]] = {"patient_id": {}, "group": {}}
    named = False
    for raw in read_raw(path):
        try:
            names = {"patient_id": text_field(raw.fields, "patient_id"), "group": group_of(raw.fields)}
            day = record_date(raw.fields)
        except SourceError:
            continue  # The record is reported when its turn comes.
        named = named or bool(names["patient_id"])
        groups.update([names["group"]] if names["group"] else [])
        for key, owner in names.items():
            if owner and day is not None:
                first[key][owner] = min(first[key].get(owner, day), day)
    grouped = bool(groups) and not named and groups.total() <= MOST_GROUPED * len(groups)
    return _Corpus(grouped, first["group" if grouped else "patient_id"])


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


def _passage(document: Document, row: _Row, seen: set[str], corpus: _Corpus, identifiers: IdentifierPolicy) -> Passage:
    if row.raw.problem:
        raise SourceError(row.raw.problem, stage="parse")
    record = corpus.owned(to_record(row.raw.fields))
    if record.id in seen:
        raise SourceError("an earlier record of this file has the same id", stage="parse")
    record = cleared(record, identifiers)
    images = tuple(resolve_inside(document.path.parent, name) for name in record.images)
    for image in images:
        check_image(image)
    passage = Passage(
        id=passage_id(row.content, "case", f"{document.name}:{record.id}"),
        kind="case",
        document=document.name,
        text=record.text,
        locator=CaseLocator(record.id, record.patient, record.study, corpus.day(record)),
        images=images,
        meta=record.meta,
    )
    return with_image_keys(passage)
