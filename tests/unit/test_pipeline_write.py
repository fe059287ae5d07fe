"""Writing and marking: order, repetition, full disks, and when a document is whole."""

import errno
import sqlite3
from pathlib import Path

import pytest

from indexers.journal import Journal
from indexers.pipeline.stages import WRITE_PATIENCE_S, WriteBatch
from indexers.pipeline.work import Encoded, PipelineOptions
from indexers.pipeline.write import WRITE_BATCH_BYTES, Ledger, Writer, check_room, is_disk_full
from rag.errors import EnvironmentProblem, StoreError
from rag.fingerprint import passage_id
from rag.types import Document, PageLocator, Passage, Point, Unit

BOOK = Document("book", Path("book.pdf"), "a" * 64, "pages", 3)
OTHER = Document("other", Path("other.pdf"), "b" * 64, "pages", 3)


def encoded(document, number, text="x"):
    name = passage_id(document.sha256, "page", f"p{number}")
    page = Passage(name, "page", document.name, text, PageLocator(number))
    return Encoded(document, Unit(f"{document.name}-{number}", (page,)), (Point(page, {}),))


class Scripted:
    """A store that raises what its script holds, one entry for each write."""

    def __init__(self, *script):
        self.script, self.written = list(script), []

    def upsert(self, points):
        if self.script and (error := self.script.pop(0)):
            raise error
        self.written.append([point.passage.document for point in points])


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "journal.sqlite")
    yield opened
    opened.close()


def test_units_of_two_documents_are_written_together_and_marked_apart(journal):
    store = Scripted()
    Writer(store, journal).write([encoded(BOOK, 1), encoded(OTHER, 1), encoded(BOOK, 2)])
    assert store.written == [["book", "other", "book"]]
    assert journal.done(BOOK) == {"book-1", "book-2"}
    assert journal.done(OTHER) == {"other-1"}


def test_a_refused_write_is_repeated_with_growing_pauses(journal):
    pauses = []
    store = Scripted(StoreError("refused"), StoreError("refused"))
    Writer(store, journal, sleep=pauses.append).write([encoded(BOOK, 1)])
    assert pauses == [0.5, 2.0]
    assert journal.done(BOOK) == {"book-1"}


def test_a_store_that_goes_on_refusing_ends_the_build_and_nothing_is_marked(journal):
    store = Scripted(*[StoreError("refused")] * 4)
    with pytest.raises(StoreError, match="refused"):
        Writer(store, journal, sleep=lambda seconds: None).write([encoded(BOOK, 1)])
    assert store.script == []
    assert journal.done(BOOK) == frozenset()


def test_a_full_disk_is_not_tried_again_and_says_what_to_do(journal):
    store = Scripted(StoreError("cannot write to library/store: No space left on device (os error 28)"))
    with pytest.raises(EnvironmentProblem, match=r"the disk is full .*free some space"):
        Writer(store, journal, sleep=pytest.fail).write([encoded(BOOK, 1)])


def test_a_journal_on_a_full_disk_is_named(journal, monkeypatch):
    journal.mark(BOOK, [])
    journal._db.close()
    journal._db = sqlite3.connect(journal.path, check_same_thread=False)
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(EnvironmentProblem, match=r"journal\.sqlite.*disk is full.*goes on where it stopped"):
        Writer(Scripted(), journal).write([encoded(BOOK, number) for number in range(2000)])
    assert journal.done(BOOK) == frozenset()


def test_a_build_stops_before_the_disk_is_full(tmp_path, journal):
    check_room(tmp_path, 0)
    with pytest.raises(EnvironmentProblem, match="nearly full"):
        check_room(tmp_path, 1 << 60)
    store = Scripted()
    with pytest.raises(EnvironmentProblem, match="kept in reserve"):
        Writer(store, journal, PipelineOptions(reserve_bytes=1 << 60)).write([encoded(BOOK, 1)])
    assert store.written == []


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "x"), True),
        (OSError(errno.EFBIG, "x"), True),
        (OSError(errno.EACCES, "x"), False),
        (StoreError("database or disk is full"), True),
        (StoreError("connection refused"), False),
        (ValueError("disk is full"), False),
        (None, False),
    ],
)
def test_what_means_a_full_disk(error, full):
    assert is_disk_full(error) is full


def test_a_document_is_whole_when_its_streams_ended_and_its_units_are_marked():
    ledger = Ledger()
    ledger.expect(BOOK)
    ledger.expect(BOOK)
    ledger.opened(BOOK)
    assert not ledger.ended(BOOK)
    assert not ledger.ended(BOOK)
    assert ledger.marked(BOOK)
    ledger.expect(OTHER)
    assert ledger.ended(OTHER)


def test_a_batch_is_written_when_it_is_large_or_old():
    now = [0.0]
    batch = WriteBatch(lambda: now[0])
    assert not batch.is_due()
    batch.add(encoded(BOOK, 1))
    assert not batch.is_due()
    now[0] = WRITE_PATIENCE_S
    assert batch.is_due()
    assert len(batch.empty()) == 1
    assert not batch.is_due()
    batch.add(encoded(BOOK, 2, "x" * (WRITE_BATCH_BYTES // 2)))
    assert batch.is_due()
