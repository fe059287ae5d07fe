from dataclasses import replace
from pathlib import Path

import pytest

from indexers.journal import Journal, passage_checksum
from rag.errors import StoreError
from rag.types import Document, PageLocator, Passage, Skipped, Unit

BOOK = Document("book", Path("book.pdf"), "a" * 64, "pages", 3)


def passage(name, text="text"):
    return Passage(name, "page", "book", text, PageLocator(1))


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "journal.sqlite")
    yield opened
    opened.close()


def test_marked_units_survive_reopening(tmp_path):
    first = Journal(tmp_path / "journal.sqlite")
    first.begin(BOOK)
    first.mark(BOOK, [Unit("u1", (passage("p1"),), (Skipped("book.pdf", "page 2", "render", "too large"),))])
    first.close()
    second = Journal(tmp_path / "journal.sqlite")
    assert second.done(BOOK) == {"u1"}
    assert second.counts() == {"page": 1}
    assert second.skipped(BOOK) == [Skipped("book.pdf", "page 2", "render", "too large")]
    assert not second.is_complete(BOOK)
    second.complete(BOOK)
    assert second.is_complete(BOOK)
    second.close()


def test_marking_again_changes_nothing(journal):
    unit = Unit("u1", (passage("p1"),), (Skipped("book.pdf", "page 2", "parse", "torn"),))
    journal.begin(BOOK)
    for _ in range(3):
        journal.mark(BOOK, [unit])
    assert journal.counts() == {"page": 1}
    assert len(journal.skipped(BOOK)) == 1


def test_forgetting_a_document_leaves_others(journal):
    other = replace(BOOK, name="other", sha256="b" * 64)
    for document, name in ((BOOK, "p1"), (other, "p2")):
        journal.begin(document)
        journal.mark(document, [Unit(name, (passage(name),))])
    journal.forget(journal.named("book"), "book")
    assert journal.done(BOOK) == frozenset()
    assert journal.done(other) == {"p2"}
    assert [row["name"] for row in journal.documents()] == ["other"]
    assert dict(journal.checksums("page")) == {"p2": passage_checksum(passage("p2"))}


def test_checksum_sees_every_visible_change():
    base = passage("p1")
    changes = [replace(base, text="other"), replace(base, locator=PageLocator(2)), replace(base, document="b2")]
    assert len({passage_checksum(each) for each in [base, *changes]}) == 4


def test_a_file_that_is_no_journal_is_named(tmp_path):
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"this is not a database, not at all" * 50)
    with pytest.raises(StoreError, match=r"journal\.sqlite.*--fresh"):
        Journal(path)
