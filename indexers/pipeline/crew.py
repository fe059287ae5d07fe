"""The threads of a build: started by stage, ended together, and the first error of any of them is the build's."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_POLL_S = 0.1
_JOIN_S = 30.0


class Crew:
    """Runs stages of threads. After the first error, `stopped` is true and every thread should come to its end."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._whole: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.error: BaseException | None = None

    def stopped(self) -> bool:
        """Whether the build is being stopped."""
        return self._stop.is_set()

    def fail(self, error: BaseException) -> None:
        """Stop the build; the first error given is the one raised."""
        with self._lock:
            self.error = self.error or error
        self._stop.set()

    def start(
        self, name: str, works: list[Callable[[], None]], then: Callable[[], None], *, whole: bool = False
    ) -> None:
        """Start one thread for each of `works`; the last one to end calls `then`, whatever happened.

        A build that is being stopped waits for `whole` threads however long they take, and half a minute for others.
        """
        left = len(works)

        def run(work: Callable[[], None]) -> None:
            nonlocal left
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - kept for the thread that waits, which raises it
                self.fail(error)
            with self._lock:
                left -= 1
                last = left == 0
            if last:
                then()

        for number, work in enumerate(works):
            thread = threading.Thread(target=run, args=(work,), name=f"{name}-{number}", daemon=True)
            self._threads.append(thread)
            if whole:
                self._whole.add(thread)
            thread.start()

    def wait(self, watch: Callable[[], None], every_s: float = 0.2) -> None:
        """Wait for every thread, calling `watch` now and then. Raises the first error."""
        try:
            for thread in self._threads:
                while thread.is_alive() and not self.stopped():
                    thread.join(every_s)
                    watch()
        except BaseException as error:  # noqa: BLE001 - an interrupt; the threads are ended before it goes on
            self.fail(error)
        ends = time.monotonic() + _JOIN_S
        for thread in self._threads:
            thread.join(None if thread in self._whole else max(ends - time.monotonic(), 0.0))
        if self.error is not None:
            raise self.error


class Handover(Generic[T]):
    """A queue between two stages. It is unbounded: what is under way is bounded where units are taken in."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._items: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._stopped = stopped

    def __len__(self) -> int:
        return self._items.qsize()

    def put(self, item: T) -> None:
        """Add an item."""
        self._items.put(item)

    def end(self, readers: int) -> None:
        """No more items: each reader comes to its end."""
        for _ in range(readers):
            self._items.put(None)

    def __iter__(self) -> Iterator[T]:
        """Items until the end, or until the build is being stopped."""
        return (item for item in self.with_pauses(_POLL_S) if item is not None)

    def with_pauses(self, pause_s: float) -> Iterator[T | None]:
        """As iterating, with None whenever nothing came for so many seconds."""
        while not self._stopped():
            try:
                item = self._items.get(timeout=pause_s)
            except queue.Empty:
                yield None
                continue
            if item is None:
                return
            yield item
