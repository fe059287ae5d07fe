"""Starts and ends PDF reader processes, for all threads of this process, through one `pdf_forkserver`."""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from indexers.sources.pdf_forkserver import MESSAGE_BYTES

_ROOT = Path(__file__).resolve().parents[2]
_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from indexers.sources.pdf_forkserver import main; main()"
_REPLY_SECONDS = 60.0
"""Loading the libraries takes 0.4 s, and much longer on a machine that is busy or reads them from a slow disk."""


class CannotStart(Exception):
    """There is no process to read PDFs with; the message says why."""


class Started(NamedTuple):
    """A child: its process id, and this side's ends of its standard input and output."""

    pid: int
    requests: int
    replies: int


class Starter:
    """One running fork server. Safe to use from several threads. After CannotStart it is of no more use.

    `peak_bytes` is the most memory that a child held, of those that have been ended.
    """

    def __init__(self) -> None:
        """Start the server and wait for it. Raises CannotStart."""
        self.peak_bytes = 0
        self._lock = threading.Lock()
        try:
            self._control, theirs = socket.socketpair()
            with theirs:
                self._server = _started(theirs.fileno())
        except OSError as error:
            raise CannotStart(f"the process that starts PDF readers cannot be started ({error})") from error
        self._control.settimeout(_REPLY_SECONDS)
        self._reply()

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._server.pid

    def start(self, memory_bytes: int) -> Started:
        """A new child with so much address space. Raises CannotStart."""
        request_end, requests = _pipe()
        replies, reply_end = _pipe()
        try:
            reply = self._ask({"do": "start", "memory": memory_bytes}, [request_end, reply_end])
        except BaseException:
            os.close(requests)
            os.close(replies)
            raise
        finally:
            os.close(request_end)
            os.close(reply_end)
        return Started(reply["pid"], requests, replies)

    def end(self, pid: int) -> int | None:
        """Kill a child, unless it has ended; returns its exit code, minus the signal that ended it, None if unknown.

        A child without a server is ended by the system, or by the end of its input.
        """
        try:
            reply = self._ask({"do": "end", "pid": pid}, [])
        except CannotStart:
            return None
        self.peak_bytes = max(self.peak_bytes, reply["peak"])
        return reply["exit"]

    @property
    def is_closed(self) -> bool:
        """Whether the server is gone."""
        return self._control.fileno() < 0

    def close(self) -> None:
        """End the server and all its children."""
        self._control.close()
        try:
            self._server.wait(5.0)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def abandon(self) -> None:
        """Leave the server to the process that this one was forked from."""
        self._control.close()
        # Another thread may have held it at the moment of the fork.
        self._lock = threading.Lock()
        self._server.returncode = 0

    def _ask(self, request: dict[str, int | str], descriptors: list[int]) -> dict[str, int]:
        with self._lock:
            try:
                socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
            except (OSError, ValueError) as error:
                self.close()
                raise CannotStart("the process that starts PDF readers is gone") from error
            return self._reply()

    def _reply(self) -> dict[str, int]:
        try:
            line = self._control.recv(MESSAGE_BYTES)
            reply: dict[str, int] = json.loads(line or b'{"error": "it has ended"}')
        except (OSError, ValueError) as error:
            self.close()
            raise CannotStart(f"the process that starts PDF readers does not answer ({error})") from error
        if "error" in reply:
            raise CannotStart(f"the process that starts PDF readers: {reply['error']}")
        return reply


@dataclass(slots=True)
class _Shared:
    """The fork server of this process, once there is one."""

    starter: Starter | None = None
    changing: threading.Lock = field(default_factory=threading.Lock)


_shared = _Shared()


def start_child(memory_bytes: int) -> tuple[Starter, Started]:
    """A new child and what ends it. A fork server that has died is replaced once. Raises CannotStart."""
    starter = shared_starter()
    try:
        return starter, starter.start(memory_bytes)
    except CannotStart:
        if not starter.is_closed:
            raise
    starter = shared_starter()
    return starter, starter.start(memory_bytes)


def _started(control: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-c", _START, str(_ROOT), str(control)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tempfile.gettempdir(),
        env={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        start_new_session=True,
        pass_fds=(control,),
    )


def _pipe() -> tuple[int, int]:
    try:
        return os.pipe()
    except OSError as error:
        raise CannotStart(f"no pipe to it ({error.strerror})") from error


def shared_starter() -> Starter:
    """The fork server of this process, started if there is none. Raises CannotStart."""
    with _shared.changing:
        if _shared.starter is None or _shared.starter.is_closed:
            _shared.starter = Starter()
        return _shared.starter


def _close() -> None:
    if _shared.starter is not None:
        _shared.starter.close()


def _forget() -> None:
    """A fork of this process starts a server of its own; a shared one would mix up their replies."""
    _shared.changing = threading.Lock()
    if _shared.starter is not None:
        _shared.starter.abandon()
        _shared.starter = None


atexit.register(_close)
os.register_at_fork(after_in_child=_forget)
