"""Slots for calls to a server: so many at once, a few more in a queue, and the others are told at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from rag.chat import ChatError, Deadline


class Slots:
    """First come, first served. Thread-safe."""

    def __init__(self, concurrency: int, queue: int) -> None:
        """`concurrency` calls at once; `queue` callers wait for one of them to end."""
        self._free, self._queue = concurrency, queue
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()

    @contextmanager
    def hold(self, deadline: Deadline) -> Iterator[None]:
        """Hold a slot for the length of a block.

        Raises:
            ChatError: the queue is full (kind busy), or the deadline passed in it (kind timeout).
        """
        turn = self._enter()
        if turn is not None and not turn.wait(deadline.left()):
            self._leave_queue(turn)
        try:
            yield
        finally:
            self._release()

    def _enter(self) -> threading.Event | None:
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return None
            if len(self._waiting) >= self._queue:
                raise ChatError(
                    f"{len(self._waiting)} calls wait for the model server already; raise vlm.concurrency if it can "
                    f"do more at once, or ask fewer questions at a time",
                    kind="busy", retryable=True,
                )  # fmt: skip
            turn = threading.Event()
            self._waiting.append(turn)
            return turn

    def _leave_queue(self, turn: threading.Event) -> None:
        """Raise, unless the turn came while its waiter gave up: then the slot is held."""
        with self._lock:
            if turn not in self._waiting:
                return
            self._waiting.remove(turn)
        raise ChatError("the deadline passed in the queue for the model server", kind="timeout", retryable=True)

    def _release(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1
