"""Knowledge-graph files: one passage per triple, worded as a sentence."""

from __future__ import annotations

from collections.abc import Container, Iterator
from itertools import islice
from pathlib import Path
from typing import cast

from indexers.sources.fact_files import count_rows, plain_name, read_beside, read_rows
from indexers.sources.fact_rows import Row
from indexers.sources.verbalise import verbalise
from rag.fingerprint import passage_id, sha256_bytes, sha256_file
from rag.passages import Change
from rag.types import Document, FactLocator, Passage, Polarity, Skipped, Unit

UNIT_FACTS = 256
"""Rows per unit: facts are short, so a smaller step would cost more in marking than in work."""


class FactParser:
    """Parses every form of fact file that `fact_files` knows, plain or gzipped.

    The text of a passage says all that its locator says. `meta` holds tier, and where the file tells them: source,
    license, version, head_id, tail_id, and notes such as frequency and reference of an annotation.
    """

    def open(self, path: Path) -> Document:
        n_units = -(-count_rows(path) // UNIT_FACTS)
        return Document(plain_name(path), path, _content(path), "facts", n_units)

    def parse(self, document: Document, done: Container[str]) -> Iterator[Unit]:
        rows = read_rows(document.path)
        index = 0
        while unit_rows := list(islice(rows, UNIT_FACTS)):
            key = f"{document.sha256[:32]}:f{index:06d}"
            index += 1
            if key not in done:
                yield _unit(document, key, unit_rows)


def _content(path: Path) -> str:
    """The hash of all that the facts come from: a file whose names stand in another changes with it."""
    other = read_beside(path)
    own = sha256_file(path)
    return own if other is None else sha256_bytes(f"{own}\x1f{sha256_file(other)}".encode())


def _unit(document: Document, key: str, rows: list[Row]) -> Unit:
    passages: dict[str, Passage] = {}
    for row in rows:
        if not row.problem and row.head.casefold() != row.tail.casefold():  # "x is also called x" says nothing
            passage = fact_passage(document.name, row)
            # The same triple from a second source is the same fact; its first source is kept.
            passages.setdefault(passage.id, passage)
    skipped = tuple(
        Skipped(str(document.path), f"line {row.line}", "parse", row.problem) for row in rows if row.problem
    )
    return Unit(key, tuple(passages.values()), skipped)


def fact_passage(document: str, row: Row) -> Passage:
    """The passage of a row without a problem. Equal triples of a document have equal ids."""
    polarity, change = cast("Polarity", row.polarity), cast("Change", row.change)
    # The document is part of the id: removing one file must not take the same fact of another away.
    parts = (document, row.head, row.relation, row.tail, polarity, *((change,) if change != "none" else ()))
    content = "\x1f".join(parts)
    meta = (*zip(("source", "license", "version", "tier"), row.origin, strict=True), *row.notes)
    return Passage(
        id=passage_id(sha256_bytes(content.encode()), "fact", content),
        kind="fact",
        document=document,
        text=verbalise(row.head, row.relation, row.tail, polarity, change),
        locator=FactLocator(row.head, row.relation, row.tail, polarity, change),
        meta={name: value for name, value in meta if value},
    )
