"""The threaded build with simulated devices: every page once, whatever fails, and a resumed build ends the same."""

import errno
import random
import threading
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.simulated import SimulatedEncoder
from indexers.build import Builder, PipelineOptions, Source
from indexers.devices import DeviceLost, OutOfDeviceMemory
from indexers.encoders.hashing import HashEncoder
from indexers.journal import Journal
from indexers.pipeline import forward, stages
from indexers.progress import ProgressMeter, silent
from indexers.sources.pdf import unit_key
from indexers.stores.memory import MemoryStore
from rag.errors import EnvironmentProblem, SourceError, StoreError
from rag.fingerprint import passage_id
from rag.retrievers import Channel
from rag.types import Document, PageLocator, Passage, Unit

SHA = "a" * 64
BOOK = Document("book", Path("book.pdf"), SHA, "pages", 60)
OPTIONS = PipelineOptions(render_workers=3, prepare_threads=2, units=32, prepared=16, write_pauses_s=(0.0, 0.0))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(forward, "PAUSE_S", 0.0)


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "journal.sqlite")
    opened.begin(BOOK)
    yield opened
    opened.close()


class Pages:
    """Pages of three sizes; raises its error before a page, once."""

    def __init__(self, parsed=None, error=None, at=0):
        self.parsed, self.error, self.at = [] if parsed is None else parsed, error, at

    def open(self, path):
        return BOOK

    def parse(self, document, done):
        for number in range(1, document.units + 1):
            if unit_key(document.sha256, number) in done:
                continue
            if self.error and number == self.at:
                error, self.error = self.error, None
                raise error
            self.parsed.append(number)
            meta = {"patches": str((20, 21, 40)[number % 3])}
            name = passage_id(document.sha256, "page", f"p{number}")
            text = f"alveoli on page {number}"
            page = Passage(name, "page", document.name, text, PageLocator(number), meta=meta)
            yield Unit(unit_key(document.sha256, number), (page,))


class CountingStore(MemoryStore):
    """Counts how often each passage is written; fails when its script says so, before or after writing."""

    def __init__(self, specs, script=()):
        super().__init__(specs)
        self.script, self.writes = iter(script), []

    def upsert(self, points):
        event = next(self.script, "")
        if event == "refuse":
            raise StoreError("connection refused")
        self.writes += [point.passage.id for point in points]
        super().upsert(points)
        if event == "cut off":
            raise StoreError("connection reset")


def make(journal, encoder=None, script=(), store=None, options=OPTIONS):
    encoder, words = encoder or SimulatedEncoder(dim=16), HashEncoder("dense", 16)
    channels = [encoder.channel(), Channel("page", words.spec, words)]
    store = store or CountingStore({"page": (*encoder.specs, words.spec)}, script)
    return Builder(store, journal, channels, ProgressMeter(silent), options), store


def source(pages=None):
    pages = pages or Pages()
    return Source(BOOK, pages, partial(Pages, pages.parsed))


def test_every_page_is_read_encoded_and_written_once_by_several_workers(journal):
    encoder, pages = SimulatedEncoder(devices=("a", "b", "c"), dim=16), Pages()
    builder, store = make(journal, encoder)
    builder.run([source(pages)])
    assert sorted(pages.parsed) == list(range(1, 61))
    assert len(encoder.served) == len(set(encoder.served)) == 60
    assert len(store.writes) == len(set(store.writes)) == store.count("page") == 60
    assert journal.is_complete(BOOK)
    assert builder.clock.figures()["padding"] < 0.05
    point = next(iter(store._points["page"].values()))
    assert sorted(point.vectors) == ["dense", "visual", "visual-coarse"]


def test_a_lost_device_leaves_its_pages_to_the_others(journal):
    def before(device, batch):
        if device == "a":
            raise DeviceLost("unplugged")

    encoder = SimulatedEncoder(devices=("a", "b"), before=before, dim=16)
    builder, _ = make(journal, encoder)
    builder.run([source()])
    assert len(encoder.served) == len(set(encoder.served)) == 60
    assert journal.is_complete(BOOK)
    assert builder.clock.lost == 1


def test_without_any_device_left_the_build_ends_and_keeps_what_it_wrote(journal, monkeypatch):
    monkeypatch.setattr(stages, "WRITE_BATCH_UNITS", 1)
    calls = []

    def before(device, batch):
        calls.append(device)
        if len(calls) > 4:
            raise DeviceLost("driver reset")

    builder, store = make(journal, SimulatedEncoder(devices=("a", "b"), before=before, dim=16))
    with pytest.raises(EnvironmentProblem, match=r"device [ab] was lost \(driver reset\) and no other is left"):
        builder.run([source()])
    kept = len(journal.done(BOOK))
    assert 0 < kept < 60
    assert store.count("page") == kept
    assert not journal.is_complete(BOOK)
    pages = Pages()
    make(journal, store=store)[0].run([source(pages)])
    assert len(pages.parsed) == 60 - kept
    assert sorted(store.writes) == sorted(set(store.writes))
    assert store.count("page") == 60
    assert journal.is_complete(BOOK)


def test_a_store_that_drops_now_and_then_loses_nothing(journal):
    builder, store = make(journal, script=["", "refuse", "cut off", "", "cut off"])
    builder.run([source()])
    assert store.count("page") == len(journal.done(BOOK)) == 60
    assert builder.clock.rewritten == 3


def test_a_full_disk_is_one_clear_error_and_the_next_build_goes_on(journal):
    full = OSError(errno.ENOSPC, "No space left on device", "images/p00020.jpg")
    builder, store = make(journal)
    with pytest.raises(EnvironmentProblem, match=r"disk is full \(images/p00020.jpg\).*goes on where it stopped"):
        builder.run([source(Pages(error=full, at=20))])
    assert store.count("page") == len(journal.done(BOOK)) < 60
    make(journal, store=store)[0].run([source()])
    assert len(store.writes) == len(set(store.writes)) == 60


def test_a_torn_part_of_a_book_is_one_skipped_item_and_the_rest_is_there(journal):
    torn = SourceError("the rest is torn", stage="parse", locator="pages 10-20")
    builder, store = make(journal)
    builder.run([source(Pages(error=torn, at=10))])
    [skipped] = journal.skipped(BOOK)
    assert skipped.locator == "pages 10-20"
    assert store.count("page") < 60
    make(journal, store=store)[0].run([source()])
    assert store.count("page") == 60


def test_no_more_units_are_under_way_than_allowed(journal):
    gate, pages = threading.Event(), Pages()
    seen = []

    def before(device, batch):
        if not gate.wait(0.5):
            seen.append(len(pages.parsed))
            gate.set()

    builder, _ = make(journal, SimulatedEncoder(before=before, dim=16))
    builder.run([source(pages)])
    assert seen[0] <= OPTIONS.units + OPTIONS.render_workers
    assert len(pages.parsed) == 60


def test_an_encoder_without_devices_is_refused_before_anything_starts(journal):
    builder, _ = make(journal, SimulatedEncoder(devices=(), dim=16))
    with pytest.raises(EnvironmentProblem, match="'visual' has no device"):
        builder.run([source()])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), script=st.lists(st.sampled_from(["", "refuse", "cut off"]), max_size=12))
def test_any_mixture_of_faults_ends_with_every_page_exactly_once(tmp_path_factory, seed, script):
    rng = random.Random(seed)

    def before(device, batch):
        event = rng.random()
        if event < 0.3 and len(batch) > 1:
            raise OutOfDeviceMemory
        if event > 0.95:
            raise DeviceLost("gone")

    journal = Journal(tmp_path_factory.mktemp("fault") / "journal.sqlite")
    journal.begin(BOOK)
    broken, store = make(journal, SimulatedEncoder(devices=("a", "b"), before=before, dim=16), script)
    try:
        broken.run([source()])
    except (EnvironmentProblem, StoreError):
        store.script = iter(())
        make(journal, store=store)[0].run([source()])
    assert store.count("page") == len(journal.done(BOOK)) == 60
    assert journal.is_complete(BOOK)
    assert journal.skipped(BOOK) == []
    journal.close()
