"""Ask a model server that fails in every way, many times at once: is every deadline kept, and does anything leak?

Run: python -m benchmarks.chat_faults [--calls 1000] [--deadline 1.0]

A scripted server on this machine hangs, drips, tears connections, sends half JSON, other types, refusals and redirects
between good answers; some calls go to a port where nobody listens. Printed: how long calls took against their deadline,
what came of each fault, threads and sockets before and after, whether each caller got its own answer, and how soon
calls succeed again after a server that failed recovers.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.history import record
from rag.chat import ChatError, Deadline, Prompt, PromptTooLong, Wanted
from rag.generators.breaker import BreakerOptions
from rag.generators.vllm_chat import ChatOptions, VllmChat
from rag.testing.chat_server import FAULTS, ChatServer, Turn

THREADS = 16
NEVER = BreakerOptions(failures=10**9)
TOO_LONG = "This model's maximum context length is 2048 tokens. However, your prompt contains 4096 input tokens."
TURNS: dict[str, Turn] = {
    **{fault: Turn(fault=fault) for fault in FAULTS},
    "status-500": Turn(status=500),
    "status-503": Turn(status=503, headers={"Retry-After": "0"}),
    "status-503-later": Turn(status=503, headers={"Retry-After": "60"}),
    "status-429": Turn(status=429),
    "status-400": Turn(status=400),
    "too-long": Turn(status=400, message=TOO_LONG),
}
DOWN = "nobody-listens"
GOOD = ("good", "slow")
"""Every second call is one of these, as on a server that mostly works."""


class Call(NamedTuple):
    """What became of one call. `over`: seconds beyond its deadline, negative when it ended before."""

    name: str
    outcome: str
    seconds: float
    over: float


def answer(request: Mapping[str, Any]) -> Turn:
    """The turn that the last text asks for: the name of a fault, or a number to repeat."""
    name, _, number = request["messages"][-1]["content"][-1]["text"].partition(" ")
    return TURNS.get(name) or Turn(number, wait_s=0.1 if name == "slow" else 0.0)


def plan(calls: int) -> list[str]:
    """Names of calls: good and bad ones by turns."""
    bad = [*TURNS, DOWN]
    return [GOOD[i // 2 % 2] if i % 2 == 0 else bad[i // 2 % len(bad)] for i in range(calls)]


def ask(model: VllmChat, name: str, number: int, deadline_s: float) -> Call:
    """One call."""
    began = time.monotonic()
    deadline = Deadline.after(deadline_s)
    try:
        reply = model.reply(Prompt("Repeat.", (f"{name} {number}",)), Wanted(), deadline)
        outcome = "answered" if reply.text == str(number) else "another's answer"
    except ChatError as error:
        outcome = error.kind
    except PromptTooLong:
        outcome = "too long"
    ended = time.monotonic()
    return Call(name, outcome, ended - began, ended - deadline.at)


def closed_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def sockets() -> int:
    """Open sockets of this process."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found += str(entry.readlink()).startswith("socket:")
        except OSError:
            continue
    return found


def storm(calls: int, deadline_s: float) -> tuple[list[Call], Mapping[str, int]]:
    """Every fault, from 16 threads at once; the calls in order, and what the client counted."""
    names = plan(calls)
    options = {"concurrency": THREADS, "queue": THREADS, "breaker": NEVER}
    with (
        ChatServer(answer) as server,
        VllmChat(ChatOptions("scripted", server.url, **options)) as model,
        VllmChat(ChatOptions("scripted", f"http://127.0.0.1:{closed_port()}/v1", **options)) as absent,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        waiting = [
            pool.submit(ask, absent if name == DOWN else model, name, number, deadline_s)
            for number, name in enumerate(names)
        ]
        return [future.result() for future in waiting], model.usage


def settled(before: tuple[int, int], patience_s: float = 5.0) -> tuple[int, int]:
    """Threads and sockets, once they are as before or patience ends: the system takes a moment to close them."""
    until = time.monotonic() + patience_s
    while (now := (threading.active_count(), sockets())) > before and time.monotonic() < until:
        time.sleep(0.05)
    return now


def recovery(rest_s: float) -> dict[str, float]:
    """Seconds from the last failure to the first success, of a server that works again at once."""
    failing = threading.Event()
    failing.set()
    with ChatServer(lambda _: Turn(status=500) if failing.is_set() else Turn("back")) as server:
        options = ChatOptions("scripted", server.url, breaker=BreakerOptions(5, 30.0, rest_s))
        with VllmChat(options) as model:
            before = [ask(model, "good", 0, 5.0).outcome for _ in range(8)]
            began = time.monotonic()
            failing.clear()
            while ask(model, "good", 0, 5.0).outcome == "open":
                time.sleep(0.01)
            reached = len(server.requests)
    return {"failures": before.count("broken"), "refused": before.count("open"),
            "seconds": time.monotonic() - began, "rest_s": rest_s, "requests": reached}  # fmt: skip


def figures(calls: int, deadline_s: float) -> dict[str, Any]:
    """Everything that is printed."""
    before = (threading.active_count(), sockets())
    done, counted = storm(calls, deadline_s)
    after = settled(before)
    taken = sorted(call.seconds for call in done)
    outcomes: dict[str, dict[str, int]] = {}
    for name in dict.fromkeys(call.name for call in done):
        outcomes[name] = dict(Counter(call.outcome for call in done if call.name == name))
    return {
        "calls": len(done),
        "deadline_s": deadline_s,
        "seconds": {"p50": taken[len(taken) // 2], "p99": taken[int(len(taken) * 0.99)], "max": taken[-1]},
        "over_deadline_s": max(call.over for call in done),
        "outcomes": outcomes,
        "retries": counted.get("retries", 0),
        "threads": [before[0], after[0]],
        "sockets": [before[1], after[1]],
        "cpu_s": sum(os.times()[:2]),
    }


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--deadline", type=float, default=1.0)
    args = parser.parse_args()
    found = figures(args.calls, args.deadline)
    found["recovery"] = recovery(2.0)
    print(json.dumps(record("chat_faults", found), indent=2))


if __name__ == "__main__":
    main()
