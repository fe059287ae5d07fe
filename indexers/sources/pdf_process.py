"""Questions and ends one `pdf_child`. Linux and macOS.

The child is forked from a fresh interpreter and has its own session, an empty environment and limits. Every wait has
an end; when it is reached, the whole process group is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import time
from dataclasses import dataclass
from typing import Any

from indexers.sources.frames import BadFrame, Frame, read
from indexers.sources.pdf_faults import PdfFault
from indexers.sources.pdf_starter import CannotStart, start_child

_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class PdfLimits:
    """What reading one PDF may cost: address space in bytes, and seconds of waiting (and as many of processor time).

    The slowest page that ended among 1,897 test files of PDF projects took 3.7 s and 170 MiB
    (measured with PyMuPDF 2.0); the defaults leave room for slower machines.
    """

    memory_bytes: int = 2 << 30
    open_seconds: float = 20.0
    survey_seconds: float = 60.0
    page_seconds: float = 20.0
    file_seconds: float = 3600.0


class ChildFailed(Exception):
    """The child died, hung or broke the protocol; the message says which."""


class ReaderLost(ChildFailed):
    """The child ended with the process that had started it: not for what it read."""


class PdfProcess:
    """A running child. After ChildFailed it is dead. Raises ChildFailed when none can be started."""

    def __init__(self, memory_bytes: int) -> None:
        try:
            self._starter, started = start_child(memory_bytes)
        except CannotStart as error:
            raise ChildFailed(PdfFault.NOT_STARTED.because(str(error))) from error
        self.pid, self._input, self._output = started
        self.seconds_waited = 0.0
        self._buffer = bytearray()
        self._running = True
        # A child that reads nothing may not hold up its parent.
        os.set_blocking(self._input, False)
        with contextlib.suppress(OSError):
            # A pipe that holds a few pages lets the child work ahead while the pages before are being encoded, and no
            # further: a full pipe stops it.
            fcntl.fcntl(self._output, _F_SETPIPE_SZ, _PIPE_BYTES)

    def send(self, request: dict[str, Any], seconds: float) -> bool:
        """Send a request that may use so many seconds of processor time; False when the child does not listen."""
        view = memoryview(json.dumps({**request, "cpu": max(int(seconds), 1)}).encode() + b"\n")
        deadline = time.monotonic() + seconds
        while view and self._running:
            if not _wait([], [self._input], deadline):
                return False
            try:
                view = view[os.write(self._input, view) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                return False
        return not view

    def receive(self, seconds: float) -> Frame:
        """The next reply. Raises ChildFailed when there is none within so many seconds."""
        started = time.monotonic()
        deadline = started + seconds

        def read_exactly(n_bytes: int) -> bytes:
            while len(self._buffer) < n_bytes:
                self._fill(deadline, seconds)
            taken = bytes(self._buffer[:n_bytes])
            del self._buffer[:n_bytes]
            return taken

        try:
            return read(read_exactly)
        except (BadFrame, RecursionError) as error:
            self.stop()
            raise ChildFailed(PdfFault.BAD_REPLY.because(f"it sent {error}")) from error
        finally:
            self.seconds_waited += time.monotonic() - started

    def ask(self, request: dict[str, Any], seconds: float) -> Frame:
        """Send a request and wait for its reply."""
        self.send(request, seconds)
        return self.receive(seconds)

    def stop(self) -> int | None:
        """End the child and everything it started; returns how it ended, as `Starter.end` does, the first time."""
        if not self._running:
            return None
        self._running = False
        os.close(self._input)
        os.close(self._output)
        return self._starter.end(self.pid)

    def _fill(self, deadline: float, seconds: float) -> None:
        if not self._running:
            raise ChildFailed(PdfFault.CRASHED.because("it has ended before"))
        if not _wait([self._output], [], deadline):
            self.stop()
            raise ChildFailed(PdfFault.TIMED_OUT.because(f"reading took more than {seconds:g} s"))
        block = os.read(self._output, _BLOCK)
        if not block:
            code = self.stop()
            if code is None and self._starter.is_closed:
                raise ReaderLost(PdfFault.CRASHED.because("with the process that starts PDF readers"))
            raise ChildFailed(_cause(code, seconds))
        self._buffer += block


def _wait(reading: list[int], writing: list[int], deadline: float) -> bool:
    """Whether one of the files is ready before the deadline."""
    poll = select.poll()
    for descriptors, event in ((reading, select.POLLIN), (writing, select.POLLOUT)):
        for descriptor in descriptors:
            poll.register(descriptor, event)
    return bool(poll.poll(max(deadline - time.monotonic(), 0.0) * 1000))


def _cause(code: int | None, seconds: float) -> str:
    if code == -signal.SIGXCPU:
        return PdfFault.TIMED_OUT.because(f"reading took more than {seconds:g} s of processor time")
    if code is None:
        return PdfFault.CRASHED.because("how is not known")
    if code < 0:
        return PdfFault.CRASHED.because(f"a crash ({signal.Signals(-code).name})")
    return PdfFault.CRASHED.because(f"exit code {code}")
