"""The circuit breaker, the slots, and the budget of retries: each alone, with its own clock."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.chat import ChatError, Deadline
from rag.generators.breaker import BreakerOptions, CircuitBreaker
from rag.generators.retrying import Retrying, RetryOptions
from rag.generators.slots import Slots


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return CircuitBreaker(BreakerOptions(failures=3, window_s=10.0, rest_s=30.0), clock)


def fail(breaker, times=1):
    for _ in range(times):
        breaker.enter()
        breaker.failed()


def test_failures_in_a_row_open_it_and_a_success_between_does_not(breaker):
    fail(breaker, 2)
    breaker.enter()
    breaker.succeeded()
    fail(breaker, 2)
    assert not breaker.is_open
    fail(breaker)
    with pytest.raises(ChatError) as caught:
        breaker.enter()
    assert (caught.value.kind, caught.value.retryable) == ("open", True)


def test_failures_far_apart_do_not_open_it(breaker, clock):
    for _ in range(10):
        fail(breaker)
        clock.now += 6.0
    assert not breaker.is_open


def test_after_its_rest_one_probe_goes_through_and_decides(breaker, clock):
    fail(breaker, 3)
    clock.now += 29.9
    assert breaker.is_open
    clock.now += 0.1
    breaker.enter()
    with pytest.raises(ChatError):
        breaker.enter()
    breaker.failed()
    assert breaker.is_open
    clock.now += 30.0
    breaker.enter()
    breaker.succeeded()
    breaker.enter()
    assert not breaker.is_open


def test_a_probe_without_a_verdict_lets_the_next_one_try(breaker, clock):
    fail(breaker, 3)
    clock.now += 30.0
    breaker.enter()
    breaker.undecided()
    breaker.enter()
    breaker.succeeded()
    assert not breaker.is_open


@settings(deadline=None)
@given(st.lists(st.sampled_from(["enter", "succeeded", "failed", "undecided", "later"]), max_size=60))
def test_it_always_recovers(steps):
    clock = Clock()
    breaker = CircuitBreaker(BreakerOptions(2, 10.0, 30.0), clock)
    for step in steps:
        if step == "later":
            clock.now += 7.0
        elif step == "enter":
            try:
                breaker.enter()
            except ChatError:
                continue
        else:
            getattr(breaker, step)()
    breaker.undecided()
    clock.now += 30.0
    breaker.enter()
    breaker.succeeded()
    assert not breaker.is_open


def test_callers_get_slots_in_the_order_of_their_coming():
    slots, order, queued = Slots(1, 16), [], threading.Semaphore(0)

    def work(number):
        queued.release()
        with slots.hold(Deadline.after(10.0)):
            order.append(number)

    with ThreadPoolExecutor(8) as pool, slots.hold(Deadline.after(10.0)):
        waiting = []
        for number in range(8):
            waiting.append(pool.submit(work, number))
            queued.acquire()
            while len(slots._waiting) < number + 1:
                pass
    assert [future.result() for future in waiting] == [None] * 8
    assert order == list(range(8))


def test_the_queue_has_an_end_and_waiting_has_a_deadline():
    slots = Slots(1, 0)
    with slots.hold(Deadline.after(1.0)), pytest.raises(ChatError) as caught, slots.hold(Deadline.after(1.0)):
        pass
    assert caught.value.kind == "busy"
    slots = Slots(1, 1)
    with slots.hold(Deadline.after(1.0)), pytest.raises(ChatError) as caught, slots.hold(Deadline.after(0.02)):
        pass
    assert caught.value.kind == "timeout"
    with slots.hold(Deadline.after(0.0)):
        pass


def test_slots_come_back_whatever_happens():
    slots = Slots(2, 64)
    running, most, lock = [0], [0], threading.Lock()

    def work(number):
        with slots.hold(Deadline.after(10.0)):
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            with lock:
                running[0] -= 1
            if number % 3 == 0:
                raise ValueError(number)

    with ThreadPoolExecutor(16) as pool:
        errors = [pool.submit(work, number).exception() for number in range(60)]
    assert sum(error is not None for error in errors) == 20
    assert most[0] <= 2
    assert slots._free == 2


@settings(deadline=None)
@given(st.integers(0, 4), st.floats(0, 10), st.floats(0, 30), st.integers(0, 2**20))
def test_a_pause_is_long_enough_and_ends_before_the_deadline(retry, after_s, left_s, seed):
    retrying = Retrying(RetryOptions(), random.Random(seed))
    pause = retrying.pause(retry, after_s, Deadline(left_s, clock=lambda: 0.0))
    if pause is not None:
        assert retry < 2
        assert after_s <= pause < left_s
        assert pause <= max(after_s, 0.25 * 2**retry)
    else:
        assert retry >= 2 or left_s <= max(after_s, 0.25 * 2**retry)


def test_the_budget_grows_with_calls():
    retrying, long = Retrying(RetryOptions(most=1), random.Random(1)), Deadline(99.0, clock=lambda: 0.0)
    granted = 0
    for _ in range(200):
        retrying.count_call()
        granted += retrying.pause(0, 0.0, long) is not None
    assert 20 <= granted <= 22
