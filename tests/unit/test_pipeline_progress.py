"""What a build says of itself while it runs: rate, time left, idle devices, padding. All on a clock of the test."""

import io
import json

import pytest

from indexers.pipeline.statistics import BuildClock
from indexers.progress import WINDOW_S, Live, ProgressMeter, line_sink


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_rate_is_that_of_the_last_minute_and_gives_the_time_left():
    clock, seen = Clock(), []
    meter = ProgressMeter(seen.append, clock=clock)
    for second in range(1, 301):
        clock.now = float(second)
        done = second if second <= 200 else 200 + 5 * (second - 200)
        meter.update("index", done=done, fresh=done, total=1000, failures=0)
    assert seen[99].rate == pytest.approx(1.0)
    assert seen[99].eta_s == pytest.approx(900.0)
    assert seen[-1].rate == pytest.approx(5.0, abs=0.1)
    assert seen[-1].eta_s == pytest.approx((1000 - 700) / seen[-1].rate)
    assert WINDOW_S < 100


def test_progress_comes_a_few_times_a_second_and_the_end_once():
    clock, seen = Clock(), []
    meter = ProgressMeter(seen.append, clock=clock)
    for step in range(100):
        clock.now = step * 0.1
        meter.update("index", done=min(step, 50), fresh=step, total=50, failures=0)
    assert len([each for each in seen if each.done < 50]) == 10
    assert len([each for each in seen if each.done == 50]) == 1


LIVE = Live({"prepare": 3, "device": 12}, 0.04, 0.02, 1)


def test_a_terminal_gets_one_line_that_rewrites_itself():
    stream, clock = Terminal(), Clock()
    meter = ProgressMeter(line_sink(stream), clock=clock)
    clock.now = 10.0
    meter.update("index", done=20, fresh=20, total=40, failures=2, live=LIVE)
    clock.now = 20.0
    meter.update("index", done=40, fresh=40, total=40, failures=2, live=LIVE)
    first, last = stream.getvalue().split("\r\x1b[2K")[1:]
    assert first == (
        "index: 20/40 units, 2.0/s, 10s left, devices idle 4%, padding 2%, waiting prepare 3 device 12, 2 skipped, "
        "1 faults overcome"
    )
    assert last.endswith("\n")


def test_a_program_gets_json_events():
    stream, clock = io.StringIO(), Clock()
    meter = ProgressMeter(line_sink(stream), clock=clock)
    clock.now = 10.0
    meter.update("index", done=20, fresh=20, total=40, failures=0, live=LIVE)
    assert json.loads(stream.getvalue()) == {
        "event": "progress", "stage": "index", "done": 20, "total": 40, "rate": 2.0, "eta_s": 10.0, "failures": 0,
        "queues": {"prepare": 3, "device": 12}, "device_idle": 0.04, "padding": 0.02, "recovered": 1,
    }  # fmt: skip


def test_idle_time_is_that_between_the_first_and_the_last_batch():
    now = Clock()
    clock = BuildClock(now)
    assert clock.device_idle() is None
    now.now = 5.0
    for start, end in ((5.0, 8.0), (9.0, 15.0)):
        now.now = start
        with clock.busy("a"):
            now.now = end
    now.now = 100.0
    assert clock.device_idle() == pytest.approx(0.1)
    assert clock.device_idle(live=True) == pytest.approx(1 - 9 / 95)
    assert clock.forward_s == pytest.approx(9.0)


def test_padding_is_what_the_devices_were_given_too_much():
    clock = BuildClock()
    assert clock.padding is None
    assert clock.figures() == {}
    clock.forwarded([100, 90, 80])
    clock.forwarded([50])
    assert clock.padding == pytest.approx(1 - 320 / 350)
