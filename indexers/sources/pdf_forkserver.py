"""The process from which every `pdf_child` is forked: it has the libraries loaded, and nothing else.

Starting an interpreter and loading MuPDF takes 0.4 s; a fork of a process that has done so takes milliseconds. This
process has one thread, an empty environment and never a document: that is opened in a fork of it, behind that fork's
limits, so what a hostile file does to its reader does not reach the next file. It ends, and kills what it has forked,
when its control socket closes: with the process that started it.

Requests are JSON lines. `start` comes with two file descriptors, the child's standard input and output; its reply is
the process id. `end` kills a child and replies with its exit code and
peak memory; until then its id stands for no other process.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import signal
import socket
import sys
from typing import Any, NoReturn

from indexers.sources.pdf_child import confine, serve
from indexers.sources.pdf_reader import load_library

MESSAGE_BYTES = 4096
_PR_SET_PDEATHSIG = 1
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def main() -> None:
    """Serve until the other end of the control socket is closed. The argument is the socket's file descriptor."""
    control = socket.socket(fileno=int(sys.argv[1]))
    load_library()
    # Children share this memory for as long as no garbage collector writes to it.
    gc.freeze()
    alive: set[int] = set()
    control.sendall(b"{}")
    while True:
        line, descriptors, _, _ = socket.recv_fds(control, MESSAGE_BYTES, 2)
        if not line:
            break
        control.sendall(json.dumps(_answer(json.loads(line), descriptors, control, alive)).encode())
    for child in alive:
        _kill(child)


def _answer(
    request: dict[str, Any], descriptors: list[int], control: socket.socket, alive: set[int]
) -> dict[str, int | str]:
    child = int(request.get("pid", 0))
    if child in alive:
        alive.remove(child)
        _kill(child)
        _, status, usage = os.wait4(child, 0)
        return {"exit": os.waitstatus_to_exitcode(status), "peak": usage.ru_maxrss * _RSS_UNIT}
    if request["do"] != "start" or len(descriptors) != 2:
        return {"error": "it does not know the process"}
    try:
        child = os.fork()
    except OSError as error:
        return {"error": str(error)}
    if child == 0:
        _become_child(int(request["memory"]), descriptors, control)
    alive.add(child)
    for descriptor in descriptors:
        os.close(descriptor)
    return {"pid": child}


def _become_child(memory: int, descriptors: list[int], control: socket.socket) -> NoReturn:
    """Read one document in a session of its own, holding no file but its two pipes; never returns."""
    code = 1
    try:
        os.setsid()
        control.close()
        for standard, descriptor in enumerate(descriptors):
            os.dup2(descriptor, standard)
            os.close(descriptor)
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        confine(memory)
        serve()
        code = 0
    finally:
        # Not sys.exit: the cleaning up that it starts is the parent's.
        os._exit(code)


def _kill(child: int) -> None:
    """Kill a child that has not been waited for, with whatever it started."""
    # A child that was forked just now leads no group yet.
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
