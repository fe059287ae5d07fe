"""The pool between preparing and the devices: full batches first, nothing waits for ever, nothing is taken twice."""

from pathlib import Path

import pytest

from benchmarks.simulated import SimulatedEncoder
from indexers.devices import Prepared
from indexers.pipeline.batches import UNKNOWN_ITEMS
from indexers.pipeline.encode import Assembly, ChannelGroups, Item
from indexers.pipeline.forward import DeviceRun
from indexers.pipeline.pool import PATIENCE_S, STARVED_S, Pool
from indexers.pipeline.statistics import BuildClock
from indexers.pipeline.work import Work
from rag.types import Document, PageLocator, Passage, Unit

ENCODER = SimulatedEncoder(devices=("a", "b"))
PAGE = Passage("p", "page", "book", "x", PageLocator(1))
WORK = Work(Document("book", Path("book.pdf"), "a" * 64, "pages", 1), Unit("u", (PAGE,)))
ASSEMBLY = Assembly(WORK, ChannelGroups.of([ENCODER.channel()]))


class Polls:
    """Says that the build goes on for so many questions, and stops it then."""

    def __init__(self, times):
        self.left = times

    def __call__(self):
        self.left -= 1
        return self.left < 0


def going_on():
    return False


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def pool(now):
    return Pool([ENCODER], 20, lambda: now[0])


@pytest.fixture
def run():
    return DeviceRun("a", BuildClock(), lambda item: None)


def put(pool, *sizes):
    for size in sizes:
        pool.put(Item(ASSEMBLY, 0, ENCODER, Prepared("p", size, None)), going_on)


def sizes(batch):
    return [item.patches for item in batch]


def test_a_full_batch_leaves_at_once_and_overtakes_an_older_item(pool, run):
    put(pool, 100, *[700] * UNKNOWN_ITEMS)
    assert sizes(pool.take(run, going_on)) == [700] * UNKNOWN_ITEMS
    assert pool.take(run, Polls(1)) is None


def test_a_smaller_batch_leaves_when_its_oldest_item_has_waited(pool, run, now):
    put(pool, 700, 300, 705)
    assert pool.take(run, Polls(1)) is None
    now[0] = PATIENCE_S
    assert sizes(pool.take(run, going_on)) == [700, 705]


def test_an_item_is_not_overtaken_for_ever(pool, run, now):
    put(pool, 100)
    now[0] = STARVED_S
    put(pool, *[700] * UNKNOWN_ITEMS)
    assert sizes(pool.take(run, going_on)) == [100]


def test_a_full_or_closed_pool_gives_what_it_has(pool, run):
    put(pool, *range(10, 2010, 100))
    assert len(pool.take(run, going_on)) == 1
    pool.close()
    assert len(pool.take(run, going_on)) == 1


def test_the_end_comes_when_every_item_taken_is_done(pool, run):
    put(pool, 700)
    pool.close()
    batch = pool.take(run, going_on)
    assert pool.take(run, Polls(1)) is None
    pool.give_back(batch)
    again = pool.take(DeviceRun("b", BuildClock(), lambda item: None), going_on)
    assert again == batch
    pool.finished(again[0])
    assert pool.take(run, going_on) is None


def test_a_device_takes_only_what_its_encoder_runs_there(pool, now):
    put(pool, 700)
    now[0] = PATIENCE_S
    stranger = DeviceRun("c", BuildClock(), lambda item: None)
    assert pool.take(stranger, Polls(1)) is None
    assert len(pool) == 1
