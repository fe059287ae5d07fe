"""The journal of a library: which units are done, which passages they gave, and what was skipped.

SQLite in WAL mode. A unit is marked in one transaction after its points are durable in the store, so a build killed
at any moment repeats at most the units that were written and not yet marked, and repeating them changes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rag.errors import StoreError
from rag.fingerprint import sha256_bytes
from rag.types import Document, Kind, Passage, Skipped, Unit

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    sha256 TEXT NOT NULL, source TEXT NOT NULL, name TEXT NOT NULL, path TEXT NOT NULL, units INTEGER NOT NULL,
    complete INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (sha256, source)
);
CREATE TABLE IF NOT EXISTS units (key TEXT PRIMARY KEY, document TEXT NOT NULL, source TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS passages (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, document TEXT NOT NULL, source TEXT NOT NULL, checksum TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS passages_by_document ON passages (document, source);
CREATE TABLE IF NOT EXISTS skipped (
    unit TEXT NOT NULL, document TEXT NOT NULL, source TEXT NOT NULL,
    path TEXT NOT NULL, locator TEXT NOT NULL, stage TEXT NOT NULL, reason TEXT NOT NULL
);
"""


def passage_checksum(passage: Passage) -> str:
    """Sixteen hex digits over what a reader sees of a passage; image files count by name."""
    seen = (passage.kind, passage.document, passage.text, repr(passage.locator), [path.name for path in passage.images])
    return sha256_bytes(repr(seen).encode())[:16]


class Journal:
    """Opens or creates the journal file of a library. Use from one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, timeout=10)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"the journal {path} cannot be read ({error}); rebuild the library with --fresh"
            ) from error

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._db:
                yield
        except sqlite3.OperationalError as error:
            raise StoreError(
                f"the journal {self.path} cannot be written ({error}); make room on its disk, check the rights of its "
                "folder, and run the same command again"
            ) from error

    def begin(self, document: Document) -> None:
        """Note that a document is being indexed; keeps what is already known about it."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO documents (sha256, source, name, path, units) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (sha256, source) DO UPDATE SET name = excluded.name, path = excluded.path, "
                "units = excluded.units",
                (document.sha256, document.source, document.name, str(document.path), document.units),
            )

    def mark(self, document: Document, units: Sequence[Unit]) -> None:
        """Record units as done, with their passages and what they skipped, in one transaction.

        Raises StoreError when it cannot be written; then none of the units is marked.
        """
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO units VALUES (?, ?, ?)",
                [(unit.key, document.sha256, document.source) for unit in units],
            )
            self._db.executemany("DELETE FROM skipped WHERE unit = ?", [(unit.key,) for unit in units])
            self._db.executemany(
                "INSERT OR REPLACE INTO passages VALUES (?, ?, ?, ?, ?)",
                [
                    (passage.id, passage.kind, document.name, document.source, passage_checksum(passage))
                    for unit in units
                    for passage in unit.passages
                ],
            )
            self._db.executemany(
                "INSERT INTO skipped VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (unit.key, document.sha256, document.source, item.path, item.locator, item.stage, item.reason)
                    for unit in units
                    for item in unit.skipped
                ],
            )

    def complete(self, document: Document) -> None:
        """Record that every unit of a document was seen. Raises StoreError when it cannot be written."""
        with self._transaction():
            self._db.execute(
                "UPDATE documents SET complete = 1 WHERE sha256 = ? AND source = ?", (document.sha256, document.source)
            )

    def is_complete(self, document: Document) -> bool:
        """Whether every unit of a document was seen in some build."""
        row = self._db.execute(
            "SELECT complete FROM documents WHERE sha256 = ? AND source = ?", (document.sha256, document.source)
        ).fetchone()
        return bool(row and row[0])

    def done(self, document: Document) -> frozenset[str]:
        """Keys of the document's units that need no more work."""
        rows = self._db.execute(
            "SELECT key FROM units WHERE document = ? AND source = ?", (document.sha256, document.source)
        )
        return frozenset(key for (key,) in rows)

    def skipped(self, document: Document) -> list[Skipped]:
        """What was left out of a document, in this build and earlier ones."""
        rows = self._db.execute(
            "SELECT path, locator, stage, reason FROM skipped WHERE document = ? AND source = ? ORDER BY rowid",
            (document.sha256, document.source),
        )
        return [Skipped(*row) for row in rows]

    def documents(self) -> list[dict[str, object]]:
        """One row per document: name, source, path, sha256, units, units done, passages, complete."""
        rows = self._db.execute(
            "SELECT name, source, path, sha256, units, complete, "
            "(SELECT COUNT(*) FROM units u WHERE u.document = d.sha256 AND u.source = d.source), "
            "(SELECT COUNT(*) FROM passages p WHERE p.document = d.name AND p.source = d.source) "
            "FROM documents d ORDER BY source, name"
        )
        names = ("name", "source", "path", "sha256", "units", "complete", "units_done", "passages")
        return [{**dict(zip(names, row, strict=True)), "complete": bool(row[5])} for row in rows]

    def names(self) -> tuple[str, ...]:
        """The names of all documents, each once."""
        return tuple(name for (name,) in self._db.execute("SELECT DISTINCT name FROM documents ORDER BY name"))

    def named(self, name: str) -> list[tuple[str, str]]:
        """(sha256, source) of the documents with this name."""
        return list(self._db.execute("SELECT sha256, source FROM documents WHERE name = ? ORDER BY source", (name,)))

    def checksums(self, kind: Kind) -> Iterator[tuple[str, str]]:
        """(passage id, checksum) of every passage that should be in the store, by id ascending."""
        yield from self._db.execute("SELECT id, checksum FROM passages WHERE kind = ? ORDER BY id", (kind,))

    def counts(self) -> dict[str, int]:
        """Passages by kind."""
        return dict(self._db.execute("SELECT kind, COUNT(*) FROM passages GROUP BY kind"))

    def forget(self, documents: Iterable[tuple[str, str]], name: str) -> None:
        """Drop every trace of documents (sha256, source) that share a name."""
        with self._transaction():
            for sha256, source in documents:
                for table, column in (("units", "document"), ("skipped", "document"), ("documents", "sha256")):
                    self._db.execute(f"DELETE FROM {table} WHERE {column} = ? AND source = ?", (sha256, source))
                self._db.execute("DELETE FROM passages WHERE document = ? AND source = ?", (name, source))
