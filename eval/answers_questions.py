"""The questions of an evaluation: rows of any form that `eval.items` reads, with what an own row says beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from eval.datasets import parse_kinds
from eval.items import Item, ItemSet, LoadOptions, load_items
from rag.errors import QueryError
from rag.rows import Row, query_from_row, read_rows, row_id
from rag.types import Kind, Query

VERDICTS = ("yes", "no")


@dataclass(frozen=True, slots=True)
class Question:
    """One item, and what only an own row can say: kinds to search, a day, a region, a domain, a reference report."""

    item: Item
    kinds: tuple[Kind, ...] = ()
    before_day: float | None = None
    region: str = ""
    domain: str | None = None
    reference: str = ""
    verdicts: tuple[str, ...] = VERDICTS

    @property
    def id(self) -> str:
        """The item's id."""
        return self.item.id

    @property
    def set_name(self) -> str:
        """The set it is reported in: the row's own, else the benchmark's name."""
        return self.item.groups.get("set") or self.item.dataset

    @property
    def missing_images(self) -> tuple[str, ...]:
        """Names of its images that are nowhere as files."""
        return tuple(image.name for image in self.item.every_image if image.path is None)

    def query(self) -> Query:
        """The question to the system; its verdicts (yes, no) are options where no others are given and one is right.

        Raises:
            ValueError: it has neither text nor image.
        """
        plain = self.item.as_query()
        options = self.verdicts if self.is_verdict else plain.options
        return replace(plain, before_day=self.before_day, region=self.region, domain=self.domain, options=options)

    @property
    def is_verdict(self) -> bool:
        """Whether it is answered by yes or no, and its row gives no options."""
        return self.item.answer_type == "yesno" and not self.item.options


@dataclass(frozen=True, slots=True)
class Questions:
    """The questions of some places. `unreadable` are rows that could not be used, `missing` images that are nowhere."""

    questions: tuple[Question, ...]
    files: Mapping[str, str]
    forms: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Counts, and what is missing by name."""
        return {
            "forms": list(self.forms),
            "rows": len(self.questions),
            "unreadable": list(self.unreadable),
            "missing_images": list(self.missing),
            "warnings": list(self.warnings),
            "files": {Path(name).name: value for name, value in self.files.items()},
        }


@dataclass(frozen=True, slots=True)
class QuestionOptions:
    """How questions are read. form: a benchmark's form, told from the files when None. limit: so many of each place."""

    form: str | None = None
    limit: int | None = None
    load: LoadOptions = field(default_factory=LoadOptions)


def load_questions(places: Sequence[Path], options: QuestionOptions | None = None) -> Questions:
    """Read question files, or folders of a benchmark.

    Raises:
        QueryError: a place does not exist, or holds nothing that is read; DatasetError when what the options say to
            stop at is found.
    """
    options = options or QuestionOptions()
    found: list[Question] = []
    problems: list[str] = []
    sets: list[ItemSet] = []
    for place in places:
        loaded = load_items(place, options.load, options.form)
        sets.append(loaded)
        made = _own_questions(loaded, problems) if loaded.format == "own" else map(Question, loaded.items)
        found.extend(list(made)[: options.limit])
    return Questions(
        questions=tuple(_with_verdicts(list(_distinct(found, problems)))),
        files={name: value for one in sets for name, value in one.files.items()},
        forms=tuple(dict.fromkeys(one.format for one in sets)),
        unreadable=(*(problem for one in sets for problem in one.problems), *problems),
        missing=tuple(dict.fromkeys(name for one in sets for name in one.missing)),
        warnings=tuple(warning for one in sets for warning in one.warnings),
    )


def _distinct(found: Iterable[Question], problems: list[str]) -> Iterable[Question]:
    seen: set[str] = set()
    for question in found:
        if question.id in seen:
            problems.append(f"id {question.id!r} of {question.set_name} was used before, in another file")
            continue
        seen.add(question.id)
        yield question


def _with_verdicts(found: Sequence[Question]) -> Iterable[Question]:
    """Where a benchmark calls "maybe" right anywhere, it is a verdict everywhere: else its absence would tell."""
    unsure = {one.item.dataset for one in found if one.is_verdict and {"maybe"} & {a.lower() for a in one.item.answers}}
    for one in found:
        yield replace(one, verdicts=(*VERDICTS, "maybe")) if one.item.dataset in unsure else one


def _own_questions(loaded: ItemSet, problems: list[str]) -> list[Question]:
    """The items of own rows, with the fields of the interface that no benchmark has."""
    rows: dict[str, tuple[Path, Row]] = {}
    for path in map(Path, loaded.files):
        for row in read_rows(path):
            if not row.error:
                rows.setdefault(row_id(row).strip(), (path, row))
    found = []
    for item in loaded.items:
        path, row = rows[item.id]
        try:
            found.append(_own(item, row.data))
        except (QueryError, ValueError) as error:
            problems.append(f"{path.name}:{row.line}: {error}")
    return found


def _own(item: Item, data: Mapping[str, Any]) -> Question:
    own = {name: data[name] for name in ("before_day", "region", "ask_domain") if name in data}
    query = query_from_row(Row(0, {"id": item.id, "text": "?", **own}), Path())
    return Question(
        item, parse_kinds(data.get("in")), query.before_day, query.region, query.domain, _reference(data)
    )  # fmt: skip


def _reference(data: Mapping[str, Any]) -> str:
    """The report of a row that has it in sections."""
    sections = ((title, data.get(title)) for title in ("findings", "impression"))
    return "\n".join(f"{title.title()}: {text.strip()}" for title, text in sections if isinstance(text, str) and text)


__all__ = ["Question", "QuestionOptions", "Questions", "load_questions"]
