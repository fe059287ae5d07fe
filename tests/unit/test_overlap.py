import threading
import time

import pytest

from indexers.overlap import WriteBehind, read_ahead


def test_items_arrive_in_order():
    with read_ahead(range(100), 4) as items:
        assert list(items) == list(range(100))


def test_reads_no_further_ahead_than_allowed():
    made = []

    def slow_reader():
        for i in range(50):
            made.append(i)
            yield i

    with read_ahead(slow_reader(), 3) as items:
        assert next(items) == 0
        time.sleep(0.2)
        assert len(made) <= 1 + 3 + 1  # taken, buffered, and the one waiting for room
    time.sleep(0.2)
    assert len(made) < 50  # leaving early stops the thread


def test_the_makers_error_reaches_the_reader_after_the_items_before_it():
    def breaks():
        yield 1
        raise KeyError("torn")

    got = []
    with pytest.raises(KeyError, match="torn"), read_ahead(breaks(), 2) as items:
        got.extend(items)
    assert got == [1]


def test_writes_happen_in_order_in_another_thread():
    seen = []
    with WriteBehind() as writer:
        for i in range(20):
            writer.submit(lambda i=i: seen.append((i, threading.current_thread().name)))
        writer.drain()
    assert [i for i, _ in seen] == list(range(20))
    assert {name for _, name in seen} != {threading.current_thread().name}


def test_a_failed_write_surfaces_and_later_ones_are_not_begun():
    seen = []

    def fails():
        raise OSError("disk full")

    def write_both():
        with WriteBehind(pending=1) as writer:
            writer.submit(fails)
            writer.submit(lambda: seen.append("late"))
            writer.drain()

    with pytest.raises(OSError, match="disk full"):
        write_both()
    assert seen == []
