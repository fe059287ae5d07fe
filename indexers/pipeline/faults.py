"""Named steps at which a test can kill this process, to prove that a build killed there loses and repeats nothing."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from typing import Literal

VARIABLE = "VESALIUS_FAULT"

Step = Literal["after-parse", "before-upsert", "after-upsert", "after-mark", "before-complete", "before-optimize"]
STEPS: tuple[Step, ...] = (
    "after-parse", "before-upsert", "after-upsert", "after-mark", "before-complete", "before-optimize",
)  # fmt: skip

_reached: Counter[str] = Counter()
_lock = threading.Lock()


def fault_point(step: Step) -> None:
    """Kill this process (SIGKILL) when the environment variable VESALIUS_FAULT asks for it.

    Its value is "STEP:N": the N-th time that this step is reached, from 1. Without the variable nothing happens.
    """
    wanted, _, time = os.environ.get(VARIABLE, "").partition(":")
    if wanted != step:
        return
    with _lock:
        _reached[step] += 1
        if _reached[step] == int(time or 1):
            os.kill(os.getpid(), signal.SIGKILL)
