"""JSON rows at the edge: question rows in, hit rows out. Field names are those of the public interface."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.domains.names import parse_domain
from rag.errors import QueryError
from rag.types import Box, Hit, Query

if TYPE_CHECKING:
    from rag.pairs import CasePair

_MOST_OPTIONS = 26
"""One letter each."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a JSONL file: its number from 1, and its object or why it is none."""

    line: int
    data: Mapping[str, Any]
    error: str | None = None


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a JSONL file in order, empty lines left out. Raises QueryError when the file cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise QueryError(f"the file {path} cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise QueryError(f"the file {path} cannot be read: byte {error.start} is not UTF-8") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except ValueError as error:
            yield Row(number, {}, f"line {number} is not JSON: {error}")
            continue
        if isinstance(data, dict):
            yield Row(number, data)
        else:
            yield Row(number, {}, f"line {number} is not a JSON object but a {type(data).__name__}")


def query_from_row(row: Row, folder: Path) -> Query:
    """The query of a row. Image paths are relative to the file's folder or its parent.

    Raises:
        QueryError: the row cannot be used; the message names it and says why.
    """
    if row.error:
        raise QueryError(row.error)
    try:
        return _query(row.data, row_id(row), folder)
    except QueryError as error:
        raise QueryError(f"row {row_id(row)}: {error}") from error


def _query(data: Mapping[str, Any], identity: str, folder: Path) -> Query:
    text = question_of(data)
    images = images_of(data, "image", folder)
    if not text.strip() and not images:
        raise QueryError("it has neither a question nor an image")
    _, options = options_of(data)
    return Query(
        text=text, images=images, id=identity, options=options, prior_images=images_of(data, "prior_image", folder),
        patient=text_of(data, "patient_id"), before_day=_day(data), region=text_of(data, "region") or "",
        domain=_domain(data), study=text_of(data, "study_id") or text_of(data, "case_id"),
    )  # fmt: skip


def _day(data: Mapping[str, Any]) -> float | None:
    value = data.get("before_day")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise QueryError(f'"before_day" is {value!r}, not a number of days')
    return float(value)


def _domain(data: Mapping[str, Any]) -> str | None:
    name = text_of(data, "ask_domain")
    return None if name is None else parse_domain(name)


def row_id(row: Row) -> str:
    """The row's own id, or its line number."""
    return str(row.data.get("id", row.line))


def kinds_of_row(row: Row) -> str | None:
    """The row's own `in` field (kinds to search, comma separated), if it has one."""
    return text_of(row.data, "in")


def question_of(data: Mapping[str, Any]) -> str:
    """The field `text`, or `question`, or nothing."""
    return text_of(data, "text") or text_of(data, "question") or ""


def text_of(data: Mapping[str, Any], name: str) -> str | None:
    """A text field; numbers are read as text, absent and null give None. Raises QueryError."""
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise QueryError(f'"{name}" is {value!r}, not a text')
    return str(value)


def options_of(data: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Letters and texts of the options, in the given order; a list is lettered A, B, C. Raises QueryError."""
    value = data.get("options")
    if value is None:
        return (), ()
    if isinstance(value, list) and len(value) <= _MOST_OPTIONS and all(_is_filled(text) for text in value):
        return tuple(chr(ord("A") + position) for position in range(len(value))), tuple(value)
    if isinstance(value, dict) and all(_is_filled(text) for text in value.values()):
        return tuple(value), tuple(value.values())
    raise QueryError('"options" is neither a list of texts nor a mapping from letter to text')


def images_of(data: Mapping[str, Any], name: str, folder: Path) -> tuple[Path, ...]:
    """The files of an image field: one path or a list, in the query file's folder or its parent. Raises QueryError."""
    value = data.get(name)
    if value is None:
        return ()
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not given or not all(isinstance(entry, str) and entry for entry in given):
        raise QueryError(f'"{name}" is {value!r}, not a path or a list of paths')
    return tuple(_image(entry, folder.resolve()) for entry in given)


def _is_filled(text: object) -> bool:
    return isinstance(text, str) and bool(text.strip())


def _image(name: str, folder: Path) -> Path:
    for base in (folder, folder.parent):
        path = (base / name).resolve()
        if path.is_file() and path.is_relative_to(base):
            return path
    raise QueryError(f"image {name!r} is neither in the file's folder nor in its parent")


def hit_to_row(hit: Hit, rank: int) -> dict[str, Any]:
    """A hit as the interface prints it; fields that do not apply are null."""
    passage = hit.passage
    return {
        "rank": rank,
        "score": hit.score,
        "kind": passage.kind,
        "document": passage.document,
        "page": passage.page,
        "record": passage.record,
        "fact": None if passage.fact is None else list(passage.fact),
        "passage_id": passage.id,
        "box": box_to_list(passage.box),
        "text": passage.text,
        "channels": {name: {"rank": score.rank, "score": score.score} for name, score in sorted(hit.channels.items())},
    }


def pair_to_row(pair: CasePair, rank: int) -> dict[str, Any]:
    """A pair of images of one patient as the interface prints it."""
    return {
        "rank": rank,
        "score": pair.score,
        "document": pair.current.document,
        "prior": pair.prior.record,
        "current": pair.current.record,
        "prior_score": pair.prior_score,
        "current_score": pair.current_score,
        "prior_text": pair.prior.text,
        "text": pair.current.text,
    }


def box_to_list(box: Box | None) -> list[float] | None:
    """[x0, y0, x1, y1] in points, or null."""
    return None if box is None else [round(value, 1) for value in (box.x0, box.y0, box.x1, box.y1)]
