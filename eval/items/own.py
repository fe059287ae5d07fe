"""Own question files: the common record itself as JSON lines, read and written. The schema is `item.schema.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from eval.gold import parse_gold
from eval.items import fields
from eval.items.item import ANSWER_TYPES, AnswerType, GoldEvidence, Item, ItemImage, Region
from eval.items.loading import Loading
from eval.items.reading import Record

FIELDS = (
    "id", "dataset", "set", "split", "question", "image", "prior_image", "options", "answer", "answers", "answer_type",
    "groups", "patient_id", "study_id", "pair_id", "gold", "contexts", "report", "prior_report", "regions",
    "answerable",
)  # fmt: skip
"""The fields of a row, as in `item.schema.json`; `text` may stand for `question`, others are ignored."""


def read_own(files: Sequence[Path], loading: Loading) -> None:
    """Rows of the public interface, `{"id", "question", "image", "options", "answer", "gold", "set", ...}`, and more.

    Image paths are relative to the file's folder or its parent.
    """
    for file in files:
        loading.read(file, partial(_own, loading, file))


def _own(loading: Loading, file: Path, record: Record) -> Item:
    choices = fields.options(record)
    answers = fields.texts(record, "answers", "answer", "answer_text")
    kind = _answer_type(record, choices, answers)
    if kind in {"choice", "multi"}:
        answers = tuple(fields.letter_of(answer, choices) for answer in answers)
    question = fields.maybe_text(record, "question", "text") or ""
    images = _images(loading, file, record, ("image", "images"))
    if not question and not images:
        raise fields.FieldError('the row is empty: it needs a "text", a "question" or an "image"')
    answerable = record.data.get("answerable", True)
    if not isinstance(answerable, bool):
        raise fields.FieldError(f"the field answerable is {answerable!r}, not true or false")
    return Item(
        id=fields.text(record, "id"),
        dataset=fields.maybe_text(record, "dataset") or loading.dataset,
        answer_type=kind,
        question=question,
        split=fields.maybe_text(record, "split") or "",
        images=images,
        prior_images=_images(loading, file, record, ("prior_image", "prior_images")),
        options=choices,
        answers=answers,
        groups=_groups(record, file),
        patient=fields.maybe_text(record, "patient_id"),
        study=fields.maybe_text(record, "study_id", "case_id"),
        pair=fields.maybe_text(record, "pair_id"),
        gold=_gold(record),
        contexts=fields.texts(record, "contexts"),
        report=fields.maybe_text(record, "report", "caption"),
        prior_report=fields.maybe_text(record, "prior_report"),
        regions=_regions(record),
        answerable=answerable,
    )


def item_to_row(item: Item) -> dict[str, object]:
    """The item as a row of an own file; what is empty is left out. Reading it back gives the same item."""
    row: dict[str, object] = {
        "id": item.id,
        "dataset": item.dataset,
        "split": item.split,
        "question": item.question,
        "image": [_path_of(image) for image in item.images],
        "prior_image": [_path_of(image) for image in item.prior_images],
        "options": dict(item.options),
        "answers": list(item.answers),
        "answer_type": item.answer_type,
        "groups": dict(item.groups),
        "patient_id": item.patient,
        "study_id": item.study,
        "pair_id": item.pair,
        "gold": [_gold_row(one) for one in item.gold],
        "contexts": list(item.contexts),
        "report": item.report,
        "prior_report": item.prior_report,
        "regions": [{"bounds": list(one.bounds), "name": one.name, "image": one.image} for one in item.regions],
    }
    kept = {name: value for name, value in row.items() if value not in (None, "", [], {})}
    return kept if item.answerable else {**kept, "answerable": False}


def write_items(items: Iterable[Item], path: Path) -> int:
    """Convert items of any benchmark to an own file; returns how many. Images keep their names."""
    count = 0
    with path.open("w", encoding="utf-8") as stream:
        for item in items:
            stream.write(json.dumps(item_to_row(item), ensure_ascii=False) + "\n")
            count += 1
    return count


def _answer_type(record: Record, choices: dict[str, str], answers: Sequence[str]) -> AnswerType:
    given = fields.maybe_text(record, "answer_type")
    if given:
        found = next((kind for kind in ANSWER_TYPES if kind == given.lower()), None)
        if found is None:
            raise fields.FieldError(f"the answer_type {given!r} is none of {', '.join(ANSWER_TYPES)}")
        return found
    if choices:
        return "multi" if len(answers) > 1 else "choice"
    if not answers:
        return (
            "report" if fields.maybe_text(record, "report", "caption") and not record.data.get("gold") else "retrieval"
        )
    return fields.answer_type_of(answers)


def _images(loading: Loading, file: Path, record: Record, names: tuple[str, str]) -> tuple[ItemImage, ...]:
    return tuple(loading.image(name, file.parent, file.parent.parent) for name in fields.texts(record, *names))


def _groups(record: Record, file: Path) -> dict[str, str]:
    given = record.data.get("groups") or {}
    if not isinstance(given, dict):
        raise fields.FieldError(f"the field groups is {given!r}, not an object")
    named = {str(name): str(value) for name, value in given.items() if value is not None}
    return {"set": fields.maybe_text(record, "set") or file.stem, **named}


def _gold(record: Record) -> tuple[GoldEvidence, ...]:
    """Gold entries of the interface with an optional `grade`, documents of an own corpus, or a book with its pages."""
    entries = record.data.get("gold")
    if entries is None and "gold_pages" in record.data:
        book = fields.text(record, "book")
        entries = [{"source": "page", "book": book, "page": page} for page in record.data["gold_pages"]]
    collection = fields.maybe_text(record, "collection")
    return tuple(_gold_one(entry, collection) for entry in entries or ())


def _gold_one(entry: object, collection: str | None) -> GoldEvidence:
    if not isinstance(entry, dict):
        raise fields.FieldError(f"gold entry {entry!r} is not an object")
    plain = {name: value for name, value in entry.items() if name != "grade"}
    grade = float(entry.get("grade", 1.0))
    if plain.get("source") == "document":
        return GoldEvidence(("document", str(plain["id"])), grade)
    return GoldEvidence(parse_gold(plain, collection), grade)


def _gold_row(gold: GoldEvidence) -> dict[str, object]:
    unit = gold.unit
    row: dict[str, object]
    match unit[0]:
        case "page":
            row = {"source": "page", "book": unit[1], "page": int(unit[2])}
        case "case":
            row = {"source": "report", "collection": unit[1], "id": unit[2]}
        case "fact":
            row = {"source": "fact", "fact": list(unit[1:])}
        case _:
            row = {"source": "document", "id": unit[1]}
    return row if gold.grade == 1.0 else {**row, "grade": gold.grade}


def _regions(record: Record) -> tuple[Region, ...]:
    found = []
    for entry in record.data.get("regions") or ():
        [box] = fields.regions(Record(record.place, entry), "bounds")
        found.append(Region(box.bounds, str(entry.get("name", "")), int(entry.get("image", 0))))
    return tuple(found)


def _path_of(image: ItemImage) -> str:
    """The name relative to the dataset; that of an extracted image is its file."""
    return image.path.name if image.embedded and image.path else image.name
