"""Benchmark files at the edge: rows out of JSON, JSON lines, tables and pickles, and a cheap look at their form."""

from __future__ import annotations

import csv
import gzip
import io
import json
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from rag.errors import MissingExtra, QueryError

Shape = Literal["rows", "list", "mapping", "splits", "nested", "unknown"]
"""rows: a table or JSON lines. list: a JSON list of objects. mapping: name to object. splits: name to list of objects.
nested: name to name to object."""

_HEAD = 1 << 18
_FIELD_LIMIT = 1 << 28
SUFFIXES = (".json", ".jsonl", ".tsv", ".csv", ".csv.gz", ".parquet", ".pkl")


@dataclass(frozen=True, slots=True)
class Form:
    """How a file is laid out: its suffix, its shape, and the field names of its first record."""

    suffix: str
    shape: Shape
    keys: frozenset[str]

    def has(self, *names: str) -> bool:
        """Whether the first record has all these fields."""
        return self.keys.issuperset(names)


@dataclass(frozen=True, slots=True)
class Record:
    """One record and where it stands: the place for messages, the name it has in its file, and the split or set."""

    place: str
    data: Mapping[str, Any]
    key: str = ""
    part: str = ""


def suffix_of(path: Path) -> str:
    """The file's suffix among those that are read, or nothing."""
    name = path.name.lower()
    return next((suffix for suffix in (".csv.gz", *SUFFIXES) if name.endswith(suffix)), "")


def form_of(path: Path) -> Form:
    """The form of a file; `unknown` when it cannot be told. Reads the head only, where that is enough."""
    stamp = path.stat()
    return _form_of(path, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=1024)
def _form_of(path: Path, _changed: int, _size: int) -> Form:
    suffix = suffix_of(path)
    try:
        match suffix:
            case ".json":
                return _json_form(path)
            case ".jsonl":
                record = next(read_records(path), None)
            case ".pkl":
                record = next(iter(read_records(path)), None)
            case ".tsv" | ".csv" | ".csv.gz":
                return Form(suffix, "rows", frozenset(_header(path)))
            case ".parquet":
                return Form(suffix, "rows", frozenset(_parquet(path).schema_arrow.names))
            case _:
                record = None
    except (QueryError, OSError, ValueError, csv.Error, pickle.UnpicklingError):
        return Form(suffix, "unknown", frozenset())
    return Form(suffix, "rows", frozenset(record.data)) if record else Form(suffix, "unknown", frozenset())


def read_records(path: Path) -> Iterator[Record]:
    """Every record of a file, whatever its form. A line that is no JSON object gives a record without fields.

    Raises:
        QueryError: the file cannot be read, or is of no known kind.
        MissingExtra: a Parquet file, and pyarrow is not installed.
    """
    match suffix_of(path):
        case ".jsonl":
            yield from _json_lines(path)
        case ".json":
            yield from _json_records(read_json(path), path.name)
        case ".tsv" | ".csv" | ".csv.gz":
            yield from _table(path)
        case ".parquet":
            yield from _parquet_rows(path)
        case ".pkl":
            yield from _json_records(read_pickle(path), path.name)
        case _:
            raise QueryError(f"{path.name} is of no kind that is read: {', '.join(SUFFIXES)}")


def read_json(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    """A whole JSON document. Raises QueryError."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise QueryError(f"the file {path} cannot be read ({error.strerror or error})") from error
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError
        raise QueryError(f"{path.name} is not JSON: {error}") from error


class _DataOnly(pickle.Unpickler):
    """Unpickles builtin values; a pickle that names any class or function is refused before it runs."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - never returns
        raise pickle.UnpicklingError(f"it holds {module}.{name}, and only plain data is read")


def read_pickle(path: Path) -> Any:  # noqa: ANN401 - any plain value
    """The plain data (lists, dicts, texts, numbers) of a pickle file. Raises QueryError for anything else."""
    try:
        with path.open("rb") as stream:
            return _DataOnly(stream).load()
    except OSError as error:
        raise QueryError(f"the file {path} cannot be read ({error.strerror or error})") from error
    except (pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError) as error:
        raise QueryError(f"{path.name} is not a pickle of plain data: {error}") from error


def _json_lines(path: Path) -> Iterator[Record]:
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield _json_line(line, f"{path.name}:{number}")
    except OSError as error:
        raise QueryError(f"the file {path} cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise QueryError(f"the file {path} cannot be read: byte {error.start} is not UTF-8") from error


def _json_line(line: str, place: str) -> Record:
    try:
        data = json.loads(line)
    except ValueError:
        return Record(place, {})
    return Record(place, data if isinstance(data, dict) else {})


def _json_records(document: object, name: str) -> Iterator[Record]:
    if isinstance(document, list):
        for number, data in enumerate(document):
            yield Record(f"{name}[{number}]", data if isinstance(data, dict) else {}, str(number))
    elif isinstance(document, dict):
        for key, value in document.items():
            if isinstance(value, list):
                for number, data in enumerate(value):
                    place = f"{name}[{key}][{number}]"
                    yield Record(place, data if isinstance(data, dict) else {}, str(number), str(key))
            elif isinstance(value, dict) and value and all(isinstance(data, dict) for data in value.values()):
                for inner, data in value.items():
                    yield Record(f"{name}[{key}][{inner}]", data, str(inner), str(key))
            else:
                yield Record(f"{name}[{key}]", value if isinstance(value, dict) else {}, str(key))


def _json_form(path: Path) -> Form:
    """From the head of the file; a first record longer than that is read with the whole file."""
    with path.open(encoding="utf-8-sig") as stream:
        head = stream.read(_HEAD)
    opening = head.lstrip()[:1]
    if opening == "[":
        return Form(".json", "list", _keys(_first_value(head, head.index("[") + 1, path)))
    if opening != "{":
        return Form(".json", "unknown", frozenset())
    colon = _after_key(head)
    value = _first_value(head, colon, path) if colon else None
    if isinstance(value, list):
        return Form(".json", "splits", _keys(value[0] if value else None))
    if isinstance(value, dict):
        if value and all(isinstance(inner, dict) for inner in value.values()):
            return Form(".json", "nested", _keys(next(iter(value.values()))))
        return Form(".json", "mapping", _keys(value))
    return Form(".json", "unknown", frozenset())


def _after_key(head: str) -> int:
    """Where the first key's value begins; 0 when there is no key."""
    start = head.find('"')
    if start < 0:
        return 0
    _, end = json.JSONDecoder().raw_decode(head, start)
    return head.index(":", end) + 1


def _first_value(head: str, start: int, path: Path) -> Any:  # noqa: ANN401 - any JSON value
    while start < len(head) and head[start].isspace():
        start += 1
    try:
        return json.JSONDecoder().raw_decode(head, start)[0]
    except ValueError:
        document = read_json(path)
        values = document if isinstance(document, list) else list(document.values())
        return values[0] if values else None


def _keys(record: object) -> frozenset[str]:
    return frozenset(record) if isinstance(record, dict) else frozenset()


def _open_text(path: Path) -> io.TextIOBase:
    if path.name.lower().endswith(".gz"):
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _header(path: Path) -> list[str]:
    with _open_text(path) as stream:
        return stream.readline().rstrip("\r\n").split(_delimiter(path))


def _table(path: Path) -> Iterator[Record]:
    csv.field_size_limit(_FIELD_LIMIT)  # images stand in the fields of some tables
    with _open_text(path) as stream:
        for number, row in enumerate(csv.DictReader(stream, delimiter=_delimiter(path)), start=2):
            yield Record(f"{path.name}:{number}", {name: value for name, value in row.items() if name})


def _delimiter(path: Path) -> str:
    return "\t" if path.name.lower().endswith(".tsv") else ","


def _parquet(path: Path) -> Any:  # noqa: ANN401 - an untyped library
    try:
        from pyarrow.parquet import ParquetFile  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError as error:
        raise MissingExtra("parquet", feature=f"reading {path.name} (the package pyarrow)") from error
    return ParquetFile(path)


def _parquet_rows(path: Path) -> Iterator[Record]:
    number = 0
    for batch in _parquet(path).iter_batches(batch_size=64):
        for data in batch.to_pylist():
            yield Record(f"{path.name}[{number}]", data, str(number))
            number += 1
