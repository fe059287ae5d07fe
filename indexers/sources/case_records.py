"""Records of a report corpus: rows of a JSON Lines or CSV file, read and checked for form."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from indexers.sources.characters import clean
from indexers.sources.lines import read_lines
from rag.errors import SourceError

MAX_LINE = 1 << 20
_META = ("domain", "modality", "view", "license", "source", "title")


class Raw(NamedTuple):
    """A row as read: its line from 1 and its fields, or the problem with it."""

    line: int
    fields: dict[str, Any]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A case record: its text, the image names as written, whose it is, and short descriptions.

    `day` counts from the patient's own reference day; some corpora give the calendar date instead. `group` names the
    records that belong together where a corpus does not say patient.
    """

    id: str
    text: str
    images: tuple[str, ...]
    patient: str | None
    study: str | None
    day: float | None
    date: date | None
    meta: dict[str, str]
    group: str | None = None


def read_raw(path: Path) -> Iterator[Raw]:
    """Every row of a records file that is not blank, streamed."""
    return _csv_rows(path) if path.suffix.lower() == ".csv" else _json_rows(path)


def _json_rows(path: Path) -> Iterator[Raw]:
    for line in read_lines(path, MAX_LINE):
        if line.problem:
            yield Raw(line.number, {}, line.problem)
        elif line.text.strip():
            try:
                fields = json.loads(line.text)
            except (ValueError, RecursionError) as error:
                yield Raw(line.number, {}, f"not JSON: {error}")
                continue
            problem = "" if isinstance(fields, dict) else "not a JSON object"
            yield Raw(line.number, {} if problem else fields, problem)


def _csv_rows(path: Path) -> Iterator[Raw]:
    """A cell may hold line ends, so the reader sees the lines as they come; `line` is where a row ends."""
    problems: dict[int, str] = {}

    def lines() -> Iterator[str]:
        for line in read_lines(path, MAX_LINE):
            if line.problem:
                problems[line.number] = line.problem
            yield line.text + "\n"

    rows = csv.reader(lines())
    names: list[str] | None = None
    while True:
        try:
            cells = next(rows, None)
        except csv.Error as error:
            yield Raw(rows.line_num, {}, f"not a CSV row: {error}")
            continue
        if cells is None:
            return
        problem = problems.pop(rows.line_num, "")
        if names is None:
            names = [cell.strip().lower() for cell in cells]
        elif problem or len(cells) not in {0, len(names)}:
            yield Raw(rows.line_num, {}, problem or f"{len(cells)} columns where the header has {len(names)}")
        elif cells:
            yield Raw(rows.line_num, {name: cell for name, cell in zip(names, cells, strict=True) if cell.strip()})


def record_id(fields: dict[str, Any]) -> str:
    """The record's own id as text, empty when it has none."""
    value = fields.get("id")
    return clean(str(value)).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


def to_record(fields: dict[str, Any]) -> Record:
    """Check a row's fields and put its text together. Raises SourceError with what is wrong."""
    name = record_id(fields)
    if not name:
        raise SourceError("the record has no id", stage="parse")
    images = _names(fields)
    text = _text(fields)
    if not text and not images:
        raise SourceError("the record has neither image nor text", stage="parse")
    meta = {key: value for key in _META if (value := " ".join(text_field(fields, key).split()))}
    if labels := _labels(fields):
        meta["labels"] = labels
    return Record(
        name,
        text,
        images,
        text_field(fields, "patient_id") or None,
        text_field(fields, "study_id") or text_field(fields, "case_id") or None,
        _day(fields),
        record_date(fields),
        meta,
        group_of(fields) or None,
    )


def group_of(fields: dict[str, Any]) -> str:
    """The record's `group` as text; empty when it has none, or one that is no name."""
    value = fields.get("group")
    return text_field(fields, "group") if isinstance(value, str | int) and not isinstance(value, bool) else ""


def record_date(fields: dict[str, Any]) -> date | None:
    """The record's calendar date; None when it has none that names a day as 2024-01-31 does (a year alone does not)."""
    try:
        return date.fromisoformat(text_field(fields, "date")[:10])
    except ValueError:
        return None


def _text(fields: dict[str, Any]) -> str:
    """Title, caption, report, then findings and impression under their names, then the description of the image.

    A title that the rest begins with is not repeated.
    """
    parts = [text for key in ("caption", "report") if (text := text_field(fields, key))]
    parts += [f"{key.capitalize()}: {text}" for key in ("findings", "impression") if (text := text_field(fields, key))]
    if alt_text := text_field(fields, "alt_text"):
        parts.append(alt_text)
    title = text_field(fields, "title")
    if title and not any(part.casefold().startswith(title.casefold()) for part in parts[:1]):
        parts.insert(0, title)
    return "\n\n".join(parts)


def text_field(fields: dict[str, Any], key: str) -> str:
    """A field as clean text, empty when it is absent. Raises SourceError when it holds something else."""
    value = fields.get(key)
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = "\n\n".join(value)
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise SourceError(f"field {key!r} is not a text", stage="parse")
    return clean(str(value).replace("\r\n", "\n").replace("\r", "\n")).strip()


def _names(fields: dict[str, Any]) -> tuple[str, ...]:
    value = fields.get("images") or fields.get("image") or []
    if isinstance(value, str):
        # A CSV cell holds several names with semicolons between them.
        value = value.split(";") if "images" in fields else [value]
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        raise SourceError("field 'image' is not a file name, or 'images' not a list of them", stage="parse")
    return tuple(dict.fromkeys(item.strip() for item in value))


def _labels(fields: dict[str, Any]) -> str:
    value = fields.get("labels")
    if isinstance(value, list):
        value = "; ".join(str(item) for item in value)
    return " ".join(clean(str(value)).split()) if value else ""


def _day(fields: dict[str, Any]) -> float | None:
    value = text_field(fields, "offset_days")
    try:
        day = float(value) if value else None
    except ValueError as error:
        raise SourceError(f"offset_days {value!r} is not a number", stage="parse") from error
    if day is not None and not math.isfinite(day):
        raise SourceError(f"offset_days {value!r} is not a number", stage="parse")
    return day
