"""JSON rows at the edge: question rows in, hit rows out. Field names are those of the public interface."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import QueryError
from rag.types import Box, Hit, Query


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
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(f"the file {path} cannot be read: {error}") from error
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
            yield Row(number, {}, f"line {number} is not a JSON object")


def query_from_row(row: Row, folder: Path) -> Query:
    """The query of a row. Image paths are relative to the file's folder or its parent. Raises QueryError."""
    if row.error:
        raise QueryError(row.error)
    data = row.data
    where = f"row {row_id(row)}"
    text = data.get("text") or data.get("question") or ""
    if not isinstance(text, str):
        raise QueryError(f"{where}: the question is not a text")
    images = _images(data.get("image"), folder, where)
    if not text.strip() and not images:
        raise QueryError(f"{where}: it has neither a question nor an image")
    return Query(
        text=text,
        images=images,
        id=row_id(row),
        options=_options(data.get("options"), where),
        prior_images=_images(data.get("prior_image"), folder, where),
        patient=None if data.get("patient_id") is None else str(data["patient_id"]),
    )


def row_id(row: Row) -> str:
    """The row's own id, or its line number."""
    return str(row.data.get("id", row.line))


def kinds_of_row(row: Row) -> str | None:
    """The row's own `in` field (kinds to search, comma separated), if it has one."""
    value = row.data.get("in")
    return None if value is None else str(value)


def _options(value: object, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, Mapping):
        value = [value[key] for key in sorted(value)]
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(str(item).strip() for item in value):
        raise QueryError(f"{where}: options must be a list of texts, or letters with their texts")
    return tuple(str(item) for item in value)


def _images(value: object, folder: Path, where: str) -> tuple[Path, ...]:
    names = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise QueryError(f"{where}: image must be a path or a list of paths")
    return tuple(_image(name, folder, where) for name in names)


def _image(name: str, folder: Path, where: str) -> Path:
    for base in (folder, folder.parent):
        path = (base / name).resolve()
        if path.is_file() and path.is_relative_to(base.resolve()):
            return path
    raise QueryError(f"{where}: there is no image {name} in {folder} or its parent")


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


def box_to_list(box: Box | None) -> list[float] | None:
    """[x0, y0, x1, y1] in points, or null."""
    return None if box is None else [round(value, 1) for value in (box.x0, box.y0, box.x1, box.y1)]
