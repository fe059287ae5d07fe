"""Query and question files: JSON lines in, checked `QueryItem`s out.

Every bad row is found in one pass and named with its line; a file with a bad row is not used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.gold import Unit, parse_gold
from rag.errors import QueryError
from rag.fingerprint import sha256_file
from rag.rows import images_of, options_of, question_of, read_rows, text_of
from rag.types import Kind, Query

_SHOWN_PROBLEMS = 20
_KIND_NAMES: Mapping[str, Kind] = {
    "pages": "page", "figures": "figure", "cases": "case", "facts": "fact",
    "page": "page", "figure": "figure", "case": "case", "fact": "fact",
}  # fmt: skip


class DatasetError(QueryError):
    """A query file cannot be used; `problems` names each bad row."""

    def __init__(self, problems: Sequence[str]) -> None:
        shown = [f"  {problem}" for problem in problems[:_SHOWN_PROBLEMS]]
        if len(problems) > _SHOWN_PROBLEMS:
            shown.append(f"  and {len(problems) - _SHOWN_PROBLEMS} more")
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{count} in the query files; correct them and run again:\n" + "\n".join(shown))
        self.problems = tuple(problems)


class _RowError(ValueError):
    """A row cannot be used."""


@dataclass(frozen=True, slots=True)
class QueryItem:
    """One row: the query, what is right, and where the row comes from.

    `gold_strict` is a harder reading of `gold`; `gold_relaxed` may count as right as well. `exclude` names units that
    this row must not be shown. `kinds` is the row's own `in`, empty when it has none. `letters` are the names of the
    query's options.
    """

    query: Query
    set_name: str
    gold: frozenset[Unit] = frozenset()
    gold_strict: frozenset[Unit] = frozenset()
    gold_relaxed: frozenset[Unit] = frozenset()
    exclude: frozenset[Unit] = frozenset()
    kinds: tuple[Kind, ...] = ()
    collection: str | None = None
    study: str | None = None
    letters: tuple[str, ...] = ()
    answer: str | None = None

    @property
    def id(self) -> str:
        """The row's id."""
        return self.query.id

    @property
    def named(self) -> frozenset[Unit]:
        """Every unit that the row calls right in some reading."""
        return self.gold | self.gold_strict | self.gold_relaxed

    @property
    def cluster(self) -> str:
        """What rows must not be treated as independent within: the patient, else the image, else the row itself."""
        if self.query.patient:
            return f"patient:{self.query.patient}"
        return f"image:{self.query.images[0]}" if self.query.images else f"row:{self.id}"


@dataclass(frozen=True, slots=True)
class Dataset:
    """The rows of some query files, in order, and each file's SHA-256."""

    items: tuple[QueryItem, ...]
    files: Mapping[str, str]

    @property
    def unjudged(self) -> int:
        """The number of rows without gold."""
        return sum(not item.gold for item in self.items)


def load_queries(paths: Sequence[Path]) -> Dataset:
    """Read query files.

    Raises:
        DatasetError: a file is missing, empty or not text, or any row is bad; all problems in one message.
    """
    problems: list[str] = []
    items: list[QueryItem] = []
    seen: dict[str, str] = {}
    for path in paths:
        for place, row in _rows(path, problems):
            try:
                item = parse_item(row, path)
            except (ValueError, QueryError) as error:
                problems.append(f"{place}: {error}")
                continue
            if item.id in seen:
                problems.append(f"{place}: id {item.id!r} was used before, at {seen[item.id]}")
            seen.setdefault(item.id, place)
            items.append(item)
    if not problems and not items:
        problems.append("no row at all")
    if problems:
        raise DatasetError(problems)
    return Dataset(tuple(items), {str(path): sha256_file(path) for path in paths})


def parse_item(row: Mapping[str, Any], path: Path) -> QueryItem:
    """One row of the file `path` as an item.

    Raises:
        ValueError: the row cannot be used; the message says which field and why.
    """
    identity = row.get("id")
    if isinstance(identity, bool) or not isinstance(identity, str | int) or not str(identity).strip():
        raise _RowError('the row needs an "id"')
    collection = text_of(row, "collection")
    letters, options = options_of(row)
    text = question_of(row)
    images = images_of(row, "image", path.parent)
    if not text.strip() and not images:
        raise _RowError(f'query {str(identity)!r} is empty: it needs a "text", a "question" or an "image"')
    query = Query(
        text=text,
        images=images,
        id=str(identity),
        options=options,
        prior_images=images_of(row, "prior_image", path.parent),
        patient=text_of(row, "patient_id"),
        filters={"document": (collection,)} if collection else {},
    )
    return QueryItem(
        query=query,
        set_name=text_of(row, "set") or path.stem,
        gold=_units(row, "gold", collection),
        gold_strict=_units(row, "gold_strict", collection),
        gold_relaxed=_units(row, "gold_relaxed", collection),
        exclude=_units(row, "exclude", collection),
        kinds=parse_kinds(row.get("in")),
        collection=collection,
        study=text_of(row, "study_id") or text_of(row, "case_id"),
        letters=letters,
        answer=text_of(row, "answer"),
    )


def parse_kinds(value: object) -> tuple[Kind, ...]:
    """The passage kinds of an `in` field: "pages,figures" or a list of such names; empty when absent.

    Raises:
        ValueError: a name is unknown.
    """
    if value is None or value == "":
        return ()
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _RowError(f'"in" is {value!r}; write kinds such as "pages,figures"')
    kinds: dict[Kind, None] = {}
    for name in names:
        kind = _KIND_NAMES.get(name.strip())
        if kind is None:
            raise _RowError(f'"in" names {name.strip()!r}; the kinds are pages, figures, cases, facts')
        kinds[kind] = None
    return tuple(kinds)


def _rows(path: Path, problems: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each JSON object of a file with its place `name:line`; what cannot be read goes to `problems`."""
    try:
        for row in read_rows(path):
            place = f"{path.name}:{row.line}"
            if row.error:
                problems.append(f"{place}: {row.error}")
            else:
                yield place, row.data
    except QueryError as error:
        problems.append(str(error))


def _units(row: Mapping[str, Any], name: str, collection: str | None) -> frozenset[Unit]:
    """The units of a gold field; absent, null and empty give none."""
    value = row.get(name)
    if value is None:
        return frozenset()
    if not isinstance(value, list):
        raise _RowError(f'"{name}" is not a list')
    return frozenset(_each_unit(value, collection))


def _each_unit(entries: Iterable[object], collection: str | None) -> Iterator[Unit]:
    for entry in entries:
        yield parse_gold(entry, collection)
