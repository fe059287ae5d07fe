"""When a failed call is made again: few times, after a random pause, within the deadline, and rarely over all calls."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass

from rag.chat import Deadline


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """At most `most` retries of one call; of all calls at most a `share`, beyond the first `reserve`.

    The n-th pause is drawn evenly from [0, base_s * 2^n], at most cap_s: "full jitter", which spreads callers best
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """

    most: int = 2
    share: float = 0.1
    reserve: int = 2
    base_s: float = 0.25
    cap_s: float = 4.0


class Retrying:
    """Pauses before retries, and the budget of all of them. Thread-safe."""

    def __init__(self, options: RetryOptions, chance: random.Random) -> None:
        self._options, self._chance = options, chance
        self._lock = threading.Lock()
        self._calls = self._retries = 0

    def count_call(self) -> None:
        """A call began: the budget grows."""
        with self._lock:
            self._calls += 1

    def pause(self, retry: int, after_s: float, deadline: Deadline) -> float | None:
        """Seconds to wait before retry number `retry` (from 0); None when there is to be none.

        `after_s` is what the server asked to wait at least. A retry that the pause would carry beyond the deadline, or
        that is over the budget, is not made.
        """
        options = self._options
        if retry >= options.most:
            return None
        with self._lock:
            jitter = self._chance.uniform(0.0, min(options.cap_s, options.base_s * 2.0**retry))
            wait = max(after_s, jitter)
            if wait >= deadline.left() or self._retries + 1 > options.reserve + options.share * self._calls:
                return None
            self._retries += 1
        return wait
