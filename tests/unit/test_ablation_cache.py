"""The stage cache: what is written is read, by every process; what was edited or cut off is no entry."""

import multiprocessing
import os
import signal
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.ablation.cache import Entry, Need, StageCache, key_of
from rag.errors import EnvironmentProblem

VALUE = {"hits": [["a", 0.5, {}]]}


def need(number=0, stage="rank", depth=0):
    return Need(stage, key_of(stage, {"number": number}), depth)


def log_of(cache, stage="rank"):
    return cache.folder / f"{stage}.log"


def fill(folder, numbers, text):
    cache = StageCache(folder)
    for number in numbers:
        cache.put(need(number), Entry([number, text]))


def fill_until_killed(folder, started):
    cache = StageCache(folder)
    for number in range(1_000_000):
        cache.put(need(number), Entry([number, "x" * 20_000]))
        started.set()


def test_what_is_sound_and_deep_enough_is_there(tmp_path):
    cache = StageCache(tmp_path)
    wanted = need(stage="lists", depth=10)
    assert cache.get(wanted) is None
    cache.put(wanted, Entry([1.5, "ü\n\t"], 10, {"lists": 0.25}))
    for reader in (cache, StageCache(tmp_path)):
        assert reader.get(wanted) == Entry([1.5, "ü\n\t"], 10, {"lists": 0.25})
        assert reader.has(wanted)
        assert reader.get(need(stage="lists", depth=5)) is not None
        assert not reader.has(need(stage="lists", depth=11))
        assert reader.get(need(stage="lists", depth=11)) is None
        assert reader.verify().sound == 1


def test_looking_makes_no_file(tmp_path):
    cache = StageCache(tmp_path / "nowhere")
    assert not cache.has(need())
    assert cache.verify() == cache.gc() == type(cache.gc())()
    assert not (tmp_path / "nowhere").exists()


@given(st.recursive(st.none() | st.floats(allow_nan=False) | st.text(st.characters()), st.lists, max_leaves=8))
def test_any_value_comes_back(tmp_path_factory, value):
    folder = tmp_path_factory.mktemp("cache")
    StageCache(folder).put(need(), Entry(value))
    assert StageCache(folder).get(need()) == Entry(value)


@given(st.binary(max_size=400))
def test_a_damaged_entry_is_no_entry(tmp_path_factory, junk):
    cache = StageCache(tmp_path_factory.mktemp("cache"))
    cache.put(need(), Entry(VALUE))
    path = log_of(cache)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + junk + b"\n")
    assert cache.get(need()) is None
    assert StageCache(cache.folder).get(need()) is None
    assert cache.verify().damaged
    cache.put(need(), Entry(VALUE))
    assert StageCache(cache.folder).get(need()) == cache.get(need()) == Entry(VALUE)
    found = cache.gc()
    assert (found.sound, found.freed) == (1, len(whole) // 2 + len(junk) + 1)

    assert cache.get(need()) == Entry(VALUE)


def test_an_edited_entry_is_found_by_its_digest_and_the_others_stay(tmp_path):
    fill(tmp_path, range(5), "right")
    path = log_of(StageCache(tmp_path))
    path.write_bytes(path.read_bytes().replace(b'[2,"right"]', b'[2,"wrong"]'))
    cache = StageCache(tmp_path)
    found = cache.verify()
    assert (found.sound, len(found.damaged)) == (4, 1)
    assert str(path) in found.damaged[0]
    assert cache.get(need(2)) is None
    assert [cache.get(need(number)).value[0] for number in (0, 1, 3, 4)] == [0, 1, 3, 4]
    assert cache.gc().sound == 4
    assert cache.verify().damaged == ()


def test_what_a_kill_left_unfinished_is_dropped_by_the_next_writer(tmp_path):
    fill(tmp_path, range(2), "x")
    path = log_of(StageCache(tmp_path))
    path.write_bytes(path.read_bytes()[:-7])
    cache = StageCache(tmp_path)
    found = cache.verify()
    assert (found.sound, found.damaged, found.leftover) == (1, (), 1)
    assert (cache.has(need(0)), cache.has(need(1))) == (True, False)
    cache.put(need(2), Entry("y"))
    found = StageCache(tmp_path).verify()
    assert (found.sound, found.damaged, found.leftover) == (2, (), 0)


def test_the_last_of_several_entries_counts(tmp_path):
    cache = StageCache(tmp_path)
    for text in ("first", "second"):
        cache.put(need(), Entry(text))
    assert cache.get(need()).value == StageCache(tmp_path).get(need()).value == "second"
    assert (cache.verify().sound, cache.verify().leftover) == (1, 1)
    assert cache.gc().leftover == 1
    assert (cache.verify().leftover, cache.get(need()).value) == (0, "second")


def test_old_entries_and_those_of_older_code_go(tmp_path, monkeypatch):
    cache = StageCache(tmp_path)
    cache.put(need(0), Entry("now"))
    with monkeypatch.context() as other:
        other.setattr("eval.ablation.stage_log.time.time", lambda: time.time_ns() / 1e9 - 3 * 86_400)
        cache.put(need(1), Entry("three days ago"))
    with monkeypatch.context() as other:
        other.setattr("eval.ablation.cache.code_version", lambda _: "1-older")
        cache.put(need(2), Entry("older code"))
    assert (cache.verify().sound, cache.verify().outdated) == (2, 1)
    assert cache.gc().freed > 0
    assert (cache.has(need(1)), cache.has(need(2))) == (True, False)
    cache.gc(days=2)
    assert (cache.has(need(0)), cache.has(need(1))) == (True, False)
    cache.gc(days=-1)
    assert not log_of(cache).exists()


def test_processes_write_into_one_cache_at_once(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=fill, args=(tmp_path, range(k, 200, 2), "x" * 3000)) for k in (0, 1)]
    for worker in workers:
        worker.start()
    reader = StageCache(tmp_path)
    seen = 0
    while any(worker.is_alive() for worker in workers):
        seen = max(seen, sum(reader.get(need(number)) is not None for number in range(200)))
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert seen > 0
    assert all(reader.get(need(number)) == Entry([number, "x" * 3000]) for number in range(200))
    found = reader.verify()
    assert (found.sound, found.damaged, found.leftover) == (200, (), 0)


def test_a_writer_goes_on_in_the_file_that_another_has_cleared(tmp_path):
    writer, other = StageCache(tmp_path), StageCache(tmp_path)
    for number in range(3):
        writer.put(need(number), Entry("old"))
        writer.put(need(number), Entry(number))
    assert other.gc().leftover == 3
    writer.put(need(3), Entry(3))
    assert [writer.get(need(number)).value for number in range(4)] == [0, 1, 2, 3]
    assert other.get(need(3)).value == 3
    log_of(writer).unlink()
    writer.put(need(4), Entry(4))
    assert StageCache(tmp_path).get(need(4)).value == 4


def test_a_killed_process_loses_one_entry_at_the_most(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    started = spawn.Event()
    worker = spawn.Process(target=fill_until_killed, args=(tmp_path, started))
    worker.start()
    assert started.wait(60)
    time.sleep(0.05)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    cache = StageCache(tmp_path)
    found = cache.verify()
    assert found.sound > 0
    assert found.damaged == ()
    assert found.leftover <= 1
    assert all(cache.get(need(number)) == Entry([number, "x" * 20_000]) for number in range(found.sound))


def test_a_folder_that_cannot_be_written_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(EnvironmentProblem, match="--cache DIR"):
        StageCache(tmp_path / "file").put(need(), Entry("x"))
