"""Taking marks off a library's journal, so that the next build does some documents again."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path

from rag.errors import StoreError

_MOST_NAMED = 500
"""SQLite takes at least 999 values in one statement."""


def unmark(journal: Path, passages: Collection[str]) -> list[dict[str, object]]:
    """Take the marks off every unit of the documents that these passages (by id) came from, in one transaction.

    The journal does not say which unit a passage came from, so the whole document is done again; what is still in the
    store is written over with the same content. Returns name, source, path and units of each document.

    Raises StoreError when the journal cannot be written; then no mark was taken off.
    """
    try:
        with closing(sqlite3.connect(journal, timeout=10)) as database, database:
            return [_unmark_document(database, *row) for row in _documents_of(database, sorted(passages))]
    except sqlite3.Error as error:
        raise StoreError(f"the journal {journal} cannot be written ({error}); make room and try again") from error


def _documents_of(database: sqlite3.Connection, passages: Sequence[str]) -> list[tuple[str, str]]:
    """Name and source of the documents that these passages came from."""
    found: set[tuple[str, str]] = set()
    for start in range(0, len(passages), _MOST_NAMED):
        some = passages[start : start + _MOST_NAMED]
        marks = ",".join("?" * len(some))
        found |= set(database.execute(f"SELECT document, source FROM passages WHERE id IN ({marks})", some))
    return sorted(found)


def _unmark_document(database: sqlite3.Connection, name: str, source: str) -> dict[str, object]:
    [(sha256, path, units)] = database.execute(
        "SELECT sha256, path, units FROM documents WHERE name = ? AND source = ?", (name, source)
    ).fetchall()
    database.execute("DELETE FROM units WHERE document = ? AND source = ?", (sha256, source))
    database.execute("UPDATE documents SET complete = 0 WHERE sha256 = ? AND source = ?", (sha256, source))
    return {"document": name, "source": source, "path": path, "units": units}
