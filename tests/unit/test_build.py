"""The build loop over fakes: what is skipped, what goes on, what is marked when."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from indexers.build import Builder, PipelineOptions, Source
from indexers.encoders.hashing import HashEncoder
from indexers.journal import Journal
from indexers.progress import ProgressMeter, silent
from indexers.stores.memory import MemoryStore
from rag.errors import SourceError, StoreError
from rag.fingerprint import passage_id
from rag.retrievers import Channel
from rag.types import Document, PageLocator, Passage, Skipped, Unit, VectorSpec

BOOK = Document("book", Path("book.pdf"), "a" * 64, "pages", 6)


def page(number, text="alveoli"):
    return Passage(passage_id("a" * 64, "page", f"p{number}"), "page", "book", f"{text} {number}", PageLocator(number))


class ScriptedParser:
    """Yields its units, then raises its error."""

    def __init__(self, units, error=None):
        self.units, self.error, self.asked = units, error, []

    def open(self, path):
        return BOOK

    def parse(self, document, done) -> Iterator[Unit]:
        for unit in self.units:
            if unit.key not in done:
                self.asked.append(unit.key)
                yield unit
        if self.error:
            raise self.error


class HugeFor:
    """An encoder whose vector of one passage is larger than the engine holds."""

    fingerprint = "huge"
    spec = VectorSpec("late", "multi", 8)

    def __init__(self, text):
        self.text = text

    def encode_passages(self, passages):
        sizes = [200_000 if self.text in passage.text else 2 for passage in passages]
        return [np.full((size, 8), 8**-0.5, np.float32) for size in sizes]

    def encode_queries(self, queries):
        return [None for _ in queries]


class RefusingStore(MemoryStore):
    """Fails from the second write on."""

    writes = 0

    def upsert(self, points):
        self.writes += 1
        if self.writes > 1:
            raise StoreError("disk full")
        super().upsert(points)


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "journal.sqlite")
    yield opened
    opened.close()


def units(n):
    return [Unit(f"u{number}", (page(number),)) for number in range(1, n + 1)]


def builder(journal, store_class=MemoryStore, encoder=None):
    encoder = encoder or HashEncoder("dense", 16)
    channel = Channel("page", encoder.spec, encoder)
    store = store_class({"page": (channel.spec,)})
    return Builder(store, journal, [channel], ProgressMeter(silent), PipelineOptions(write_pauses_s=(0.0,))), store


def test_every_unit_is_written_and_marked(journal):
    made, store = builder(journal)
    made.run([Source(BOOK, ScriptedParser(units(40)))])
    assert store.count("page") == 40
    assert len(journal.done(BOOK)) == 40
    assert made.clock.units == 40


def test_a_second_run_asks_only_for_what_is_missing(journal):
    builder(journal)[0].run([Source(BOOK, ScriptedParser(units(3)))])
    parser = ScriptedParser(units(5))
    builder(journal)[0].run([Source(BOOK, parser)])
    assert parser.asked == ["u4", "u5"]


def test_a_limit_leaves_the_document_open(journal):
    journal.begin(BOOK)
    builder(journal)[0].run([Source(BOOK, ScriptedParser(units(6)))], limit=2)
    assert journal.done(BOOK) == {"u1", "u2"}
    assert not journal.is_complete(BOOK)
    builder(journal)[0].run([Source(BOOK, ScriptedParser(units(6)))])
    assert journal.is_complete(BOOK)


def test_a_file_that_breaks_off_keeps_its_good_part_and_is_named(journal):
    journal.begin(BOOK)
    error = SourceError("the rest is torn", stage="parse", locator="page 3")
    made, store = builder(journal)
    other = Document("other", Path("other.pdf"), "b" * 64, "pages", 1)
    following = Unit("o1", (Passage(passage_id("b" * 64, "page", "p1"), "page", "other", "x", PageLocator(1)),))
    made.run([Source(BOOK, ScriptedParser(units(2), error)), Source(other, ScriptedParser([following]))])
    assert store.count("page") == 3
    assert journal.skipped(BOOK) == [Skipped("book.pdf", "page 3", "parse", "the rest is torn")]


def test_a_page_too_large_for_the_engine_is_skipped_alone(journal):
    made, store = builder(journal, encoder=HugeFor("monster"))
    both = Unit("u1", (page(1), page(2, "monster")))
    made.run([Source(BOOK, ScriptedParser([both]))])
    assert store.count("page") == 1
    [skipped] = journal.skipped(BOOK)
    assert (skipped.locator, skipped.stage) == ("page 2", "encode")
    assert "1,048,576" in skipped.reason


def test_a_failing_store_ends_the_build_and_loses_nothing(journal):
    made, store = builder(journal, RefusingStore)
    with pytest.raises(StoreError, match="disk full"):
        made.run([Source(BOOK, ScriptedParser(units(60)))])
    marked = journal.done(BOOK)
    assert 0 < len(marked) < 60
    assert store.count("page") == len(marked)
    again, store = builder(journal)
    again.run([Source(BOOK, ScriptedParser(units(60)))])
    assert len(journal.done(BOOK)) == 60
    assert again.clock.units == 60 - len(marked)


def test_a_long_fact_keeps_its_first_window(journal):
    class TwoWindows(HashEncoder):
        def encode_passages(self, passages):
            return [np.concatenate([rows, -rows]) for rows in super().encode_passages(passages)]

    made, store = builder(journal, encoder=TwoWindows("dense", 16))
    made.run([Source(BOOK, ScriptedParser(units(1)))])
    [query] = HashEncoder("dense", 16).encode_passages([page(1)])
    assert store.search("page", "dense", query, 1, {})[0].score == pytest.approx(1.0)
