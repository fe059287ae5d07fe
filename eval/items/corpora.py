"""Retrieval benchmarks with a corpus of their own: BEIR's three files, ViDoRe's tables and its question-answer form."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from eval.items import fields
from eval.items.item import CorpusRecord, GoldEvidence, Item, ItemImage
from eval.items.loading import Loading
from eval.items.reading import Form, Record, read_records, suffix_of
from rag.errors import QueryError

_PARTS = ("corpus", "queries", "qrels")
_TABLES = (".jsonl", ".tsv", ".csv", ".parquet", ".json")


def find_collection(root: Path) -> tuple[Path, ...]:
    """The files of corpus, queries and judgements of a folder, each a file or a folder of that name; or nothing."""
    if not root.is_dir():
        return ()
    found = {part: sorted(_files(root, part)) for part in _PARTS}
    return tuple(path for part in _PARTS for path in found[part]) if all(found.values()) else ()


def _files(root: Path, part: str) -> Iterator[Path]:
    for path in root.iterdir():
        if path.is_dir() and path.name == part:
            yield from (inner for inner in path.rglob("*") if suffix_of(inner) in _TABLES)
        elif path.is_file() and path.name.split(".")[0] == part and suffix_of(path) in _TABLES:
            yield path


def read_collection(files: Sequence[Path], loading: Loading) -> None:
    """BEIR (Thakur et al., 2021, https://arxiv.org/abs/2104.08663) and ViDoRe's tables: queries with graded documents.

    A query without a right document stays out, with its count as a warning. Each judgement file is a split.
    """
    root = loading.root
    parts = {part: [path for path in files if _part_of(path, root) == part] for part in _PARTS}
    for path in parts["corpus"]:
        _each(loading, path, partial(_document, loading, root))
    judged = {path: _judgements(loading, path) for path in parts["qrels"]}
    texts: dict[str, Record] = {}
    for path in parts["queries"]:
        _each(loading, path, partial(_query, texts))
    known = {document.id for document in loading.corpus}
    several = len({name for found in judged.values() for name in found}) < sum(len(found) for found in judged.values())
    for path, found in judged.items():
        prefix = f"{path.stem}-" if several else ""
        for name, grades in found.items():
            if name in texts:
                loading.take(texts[name], partial(_judged, loading, (prefix, path.stem, name), grades))
        lost = sum(name not in texts for name in found)
        absent = len({document for grades in found.values() for document in grades} - known)
        if lost or absent:
            loading.warnings.append(f"{path.name} judges {lost} unknown queries and {absent} unknown documents")
    unjudged = len(texts) - len({name for found in judged.values() for name in found} & set(texts))
    if unjudged:
        loading.warnings.append(f"{unjudged} queries have no judgement")


def _part_of(path: Path, root: Path) -> str:
    return path.relative_to(root).parts[0].split(".")[0]


def _each(loading: Loading, path: Path, use: partial[None]) -> None:
    """Hand every record of a file over; what cannot be used becomes a problem."""
    loading.note(path)
    try:
        for record in read_records(path):
            try:
                use(record)
            except (ValueError, TypeError, AttributeError) as error:
                loading.problems.append(f"{record.place}: {error}")
    except QueryError as error:
        loading.problems.append(str(error))


def _document(loading: Loading, root: Path, record: Record) -> None:
    name = fields.text(record, "_id", "corpus-id", "corpus_id", "id")
    image = record.data.get("image")
    images: tuple[ItemImage, ...] = ()
    if isinstance(image, str):
        images = (loading.image(image, root, root / "images"),)
    elif image is not None:
        images = (loading.embedded(image.get("bytes") if isinstance(image, Mapping) else image, name),)
    text, title = fields.maybe_text(record, "text", "markdown") or "", fields.maybe_text(record, "title") or ""
    loading.corpus.append(CorpusRecord(name, text, title, images))


def _query(texts: dict[str, Record], record: Record) -> None:
    texts[fields.text(record, "_id", "query-id", "query_id", "id")] = record


def _judgements(loading: Loading, path: Path) -> dict[str, dict[str, float]]:
    found: defaultdict[str, dict[str, float]] = defaultdict(dict)

    def use(record: Record) -> None:
        query, document = fields.text(record, "query-id", "query_id"), fields.text(record, "corpus-id", "corpus_id")
        found[query][document] = float(fields.maybe_text(record, "score") or 1)

    _each(loading, path, partial(use))
    return dict(found)


def _judged(loading: Loading, names: tuple[str, str, str], grades: Mapping[str, float], record: Record) -> Item | None:
    prefix, split, name = names
    gold = tuple(GoldEvidence(("document", document), grade) for document, grade in grades.items() if grade > 0)
    if not gold:
        return None
    answer = fields.texts(record, "answer", "answers")
    return Item(
        id=f"{prefix}{name}",
        dataset=loading.dataset,
        answer_type="open" if answer else "retrieval",
        question=fields.text(record, "text", "query"),
        split=split,
        answers=answer,
        groups=fields.groups(record, language="language", kind="query_type"),
        gold=gold,
    )


def is_vidore_questions(form: Form) -> bool:
    """Whether a file is ViDoRe's question-answer form."""
    return form.suffix == ".parquet" and form.has("query", "image", "image_filename")


def read_vidore_questions(files: Sequence[Path], loading: Loading) -> None:
    """ViDoRe v1 (Faysse et al., 2024, https://arxiv.org/abs/2407.01449): a query with its page image per row.

    Pages are told apart by their image's hash, so that copies count as one; a row without a query is a page only.
    """
    pages: dict[str, None] = {}
    for file in files:
        loading.read(file, partial(_vidore_row, loading, file, pages))


def _vidore_row(loading: Loading, file: Path, pages: dict[str, None], record: Record) -> Item | None:
    image = record.data["image"]
    data = image.get("bytes") if isinstance(image, Mapping) else image
    name = hashlib.sha256(data or b"").hexdigest()[:32]
    if name not in pages:
        pages[name] = None
        title = fields.maybe_text(record, "image_filename") or ""
        loading.corpus.append(CorpusRecord(name, "", title, (loading.embedded(data, name),)))
    question = fields.maybe_text(record, "query")
    if question is None:
        return None
    answer = fields.texts(record, "answer")
    return Item(
        id=f"{file.stem}-{record.key}",
        dataset=loading.dataset,
        answer_type="open" if answer else "retrieval",
        question=question,
        split="test",
        answers=answer,
        gold=(GoldEvidence(("document", name)),),
    )
