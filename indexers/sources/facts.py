"""Knowledge-graph files: one passage per triple, worded as a sentence."""

from __future__ import annotations

from collections.abc import Container, Iterator
from itertools import islice
from pathlib import Path
from typing import cast

from indexers.sources.fact_files import Row, count_rows, plain_name, read_rows
from indexers.sources.verbalise import verbalise
from rag.fingerprint import passage_id, sha256_bytes, sha256_file
from rag.types import Document, FactLocator, Passage, Polarity, Skipped, Unit

UNIT_FACTS = 256
"""Rows per unit: facts are short, so a smaller step would cost more in marking than in work."""


class FactParser:
    """Parses TSV, OBO and `#`-separated triple files, plain or gzipped, without holding them in memory."""

    def open(self, path: Path) -> Document:
        n_rows = count_rows(path)
        next(read_rows(path), None)  # Raises when the file has no usable form.
        return Document(plain_name(path), path, sha256_file(path), "facts", -(-n_rows // UNIT_FACTS))

    def parse(self, document: Document, done: Container[str]) -> Iterator[Unit]:
        rows = read_rows(document.path)
        index = 0
        while unit_rows := list(islice(rows, UNIT_FACTS)):
            key = f"{document.sha256[:32]}:f{index:06d}"
            index += 1
            if key not in done:
                yield _unit(document, key, unit_rows)


def _unit(document: Document, key: str, rows: list[Row]) -> Unit:
    passages: dict[str, Passage] = {}
    for row in rows:
        if not row.problem:
            passage = _passage(document, row)
            # The same triple from a second source is the same fact; its first source is kept.
            passages.setdefault(passage.id, passage)
    skipped = tuple(
        Skipped(str(document.path), f"line {row.line}", "parse", row.problem) for row in rows if row.problem
    )
    return Unit(key, tuple(passages.values()), skipped)


def _passage(document: Document, row: Row) -> Passage:
    polarity = cast("Polarity", row.polarity)
    # The document is part of the id: removing one file must not take the same fact of another away.
    content = "\x1f".join((document.name, row.head, row.relation, row.tail, polarity))
    meta = {"source": row.source, "license": row.license}
    return Passage(
        id=passage_id(sha256_bytes(content.encode()), "fact", content),
        kind="fact",
        document=document.name,
        text=verbalise(row.head, row.relation, row.tail, polarity),
        locator=FactLocator(row.head, row.relation, row.tail, polarity),
        meta={name: value for name, value in meta.items() if value},
    )
