"""Threads of a build: ended together, and the first error is the one that is raised."""

import threading

import pytest

from indexers.pipeline.crew import Crew, Handover


def test_a_stage_calls_on_when_its_last_thread_has_ended():
    crew, events = Crew(), []
    handover = Handover(crew.stopped)
    crew.start("make", [lambda: handover.put(1), lambda: handover.put(2)], lambda: handover.end(1))
    crew.start("use", [lambda: events.extend(handover)], lambda: events.append("end"))
    crew.wait(lambda: None, every_s=0.01)
    assert sorted(events[:-1]) == [1, 2]
    assert events[-1] == "end"


def test_the_first_error_is_raised_and_every_thread_comes_to_its_end():
    crew, started = Crew(), threading.Event()
    handover, ends = Handover(crew.stopped), []

    def fails():
        started.wait()
        raise KeyError("torn")

    def waits():
        started.set()
        list(handover)
        ends.append("waiter")

    crew.start("fail", [fails], lambda: ends.append("fail"))
    crew.start("wait", [waits], lambda: ends.append("wait"))
    with pytest.raises(KeyError, match="torn"):
        crew.wait(lambda: None, every_s=0.01)
    assert sorted(ends) == ["fail", "wait", "waiter"]


def test_an_interrupt_of_the_waiting_thread_ends_the_others():
    crew = Crew()
    handover = Handover(crew.stopped)
    crew.start("wait", [lambda: list(handover)], lambda: None)

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crew.wait(interrupt, every_s=0.01)
    assert crew.stopped()
