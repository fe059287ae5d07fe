"""A circuit breaker: after several failures in a row a server is left alone for a while, then asked once.

M. Nygard, Release It!, chapter 5 (2018). What calls do meanwhile is theirs to say: here they fail at once.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field

from rag.chat import ChatError, Clock


@dataclass(frozen=True, slots=True)
class BreakerOptions:
    """So many failures within `window_s` without a success between open it; a probe is let through after `rest_s`."""

    failures: int = 5
    window_s: float = 30.0
    rest_s: float = 30.0


@dataclass
class CircuitBreaker:
    """Closed, open or half-open. Thread-safe.

    Each call that `enter` lets through must end with one of `succeeded`, `failed`, or `undecided`: it says nothing.
    """

    options: BreakerOptions = BreakerOptions()
    clock: Clock = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _failed: deque[float] = field(default_factory=deque)
    _open_since: float | None = None
    _probing: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the next call would be refused."""
        with self._lock:
            return self._refuses()

    def check(self) -> None:
        """Raise ChatError of kind open when a call would be refused; nothing is entered."""
        if self.is_open:
            raise self._error()

    def enter(self) -> None:
        """Begin a call. Raises ChatError of kind open; after `rest_s` the first that comes becomes the probe."""
        with self._lock:
            if self._refuses():
                raise self._error()
            self._probing = self._open_since is not None

    def succeeded(self) -> None:
        """The server answered: closed."""
        with self._lock:
            self._open_since, self._probing = None, False
            self._failed.clear()

    def undecided(self) -> None:
        """The call ended without a word on the server's health; the next may be the probe."""
        with self._lock:
            self._probing = False

    def failed(self) -> None:
        """The server failed: a probe opens it again, and so does one failure too many."""
        now = self.clock()
        with self._lock:
            self._failed.append(now)
            while now - self._failed[0] > self.options.window_s or len(self._failed) > self.options.failures:
                self._failed.popleft()
            if self._open_since is not None or len(self._failed) >= self.options.failures:
                self._open_since = now
            self._probing = False

    def _refuses(self) -> bool:
        if self._open_since is None:
            return False
        return self._probing or self.clock() - self._open_since < self.options.rest_s

    def _error(self) -> ChatError:
        return ChatError(
            f"the model server failed {self.options.failures} times in a row and is left alone for "
            f"{self.options.rest_s:g} s; look at its log",
            kind="open", retryable=True,
        )  # fmt: skip
