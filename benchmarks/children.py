"""Functions run in a forked child of this process, so that they may be killed, or fail, without harm."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a child ended: what its function returned, or the name and text of what it raised; or it was killed."""

    value: Any = None
    error: str = ""
    killed: bool = False


def run_in_child(function: Callable[[], Any], seconds: float | None = None) -> Outcome:
    """Run a function in a child; with `seconds`, kill it (SIGKILL) when it takes longer.

    A fork starts in some milliseconds because everything is loaded already. The parent must have no other threads and
    must not have opened a store.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def work() -> None:
        try:
            outcome = Outcome(value=function())
        except Exception as error:  # noqa: BLE001 - handed to the parent
            outcome = Outcome(error=f"{type(error).__name__}: {error}")
        sender.send(outcome)

    child = context.Process(target=work)
    child.start()
    sender.close()
    if not receiver.poll(seconds) and child.pid is not None:
        os.kill(child.pid, signal.SIGKILL)
    try:
        outcome: Outcome = receiver.recv()
    except EOFError:
        outcome = Outcome(killed=True)
    child.join()
    receiver.close()
    return outcome
