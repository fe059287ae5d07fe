"""Two small tools that let the stages of a build overlap: read ahead in a thread, and write behind in a thread."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Generic, TypeVar

T = TypeVar("T")

_POLL_S = 0.1


class _End(Generic[T]):
    """Closes a stream, with the exception that ended it, if any."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


@contextmanager
def read_ahead(items: Iterable[T], size: int) -> Iterator[Iterator[T]]:
    """Iterate `items` in a background thread, at most `size` ahead; its exceptions are raised to the reader.

    Leaving the block early stops the thread after the item it is making.
    """
    buffer: queue.Queue[T | _End[T]] = queue.Queue(size)
    stop = threading.Event()

    def put(item: T | _End[T]) -> bool:
        while not stop.is_set():
            with suppress(queue.Full):
                buffer.put(item, timeout=_POLL_S)
                return True
        return False

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not put(item):
                    return
        except BaseException as caught:  # noqa: BLE001 - handed to the reading thread, which raises it
            error = caught
        finally:
            put(_End(error))

    def read() -> Iterator[T]:
        while not isinstance(item := buffer.get(), _End):
            yield item
        if item.error is not None:
            raise item.error

    thread = threading.Thread(target=work, name="read-ahead", daemon=True)
    thread.start()
    try:
        yield read()
    finally:
        stop.set()
        thread.join(timeout=30)


class WriteBehind:
    """Runs writes in order in one background thread; at most `pending` wait, and errors surface on the next call."""

    def __init__(self, pending: int = 2) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="write-behind")
        self._pending = pending
        self._futures: deque[Future[None]] = deque()

    def __enter__(self) -> WriteBehind:
        return self

    def __exit__(self, *exception: object) -> None:
        # After an error, writes already begun are finished (they are whole batches) and their outcome is not needed.
        self._pool.shutdown(wait=True, cancel_futures=any(exception))

    def submit(self, write: Callable[[], None]) -> None:
        """Queue a write; waits while too many are pending. Raises what an earlier write raised."""
        while len(self._futures) >= self._pending:
            self._futures.popleft().result()
        self._futures.append(self._pool.submit(write))

    def drain(self) -> None:
        """Wait for every write. Raises what one of them raised."""
        while self._futures:
            self._futures.popleft().result()
