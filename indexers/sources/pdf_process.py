"""Starts, questions and ends one `pdf_child`. Linux and macOS.

The child gets a fresh interpreter, its own session, an empty environment and limits. Every wait has an end; when it is
reached, the whole process group is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexers.sources.frames import BadFrame, Frame, read

_ROOT = Path(__file__).resolve().parents[2]
_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from indexers.sources.pdf_child import main; main()"
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


class PdfProcess:
    """A running child. After ChildFailed it is dead."""

    def __init__(self, memory_bytes: int) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-I", "-c", _START, str(_ROOT), str(memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=tempfile.gettempdir(),
            env={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            start_new_session=True,
            bufsize=0,
        )
        self.seconds_waited = 0.0
        assert self._child.stdout is not None
        self._output = self._child.stdout.fileno()
        self._buffer = bytearray()
        with contextlib.suppress(OSError):
            # A pipe that holds a few pages lets the child work ahead while the pages before are being encoded, and no
            # further: a full pipe stops it.
            fcntl.fcntl(self._output, _F_SETPIPE_SZ, _PIPE_BYTES)

    def send(self, request: dict[str, Any], seconds: float) -> bool:
        """Send a request that may use so many seconds of processor time; False when the child no longer listens."""
        line = json.dumps({**request, "cpu": max(int(seconds), 1)}).encode() + b"\n"
        assert self._child.stdin is not None
        try:
            view = memoryview(line)
            while view:
                view = view[self._child.stdin.write(view) or 0 :]
        except BrokenPipeError:
            return False
        return True

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
        except BadFrame as error:
            self.stop()
            raise ChildFailed(f"the PDF reader sent {error}") from error
        finally:
            self.seconds_waited += time.monotonic() - started

    def ask(self, request: dict[str, Any], seconds: float) -> Frame:
        """Send a request and wait for its reply."""
        self.send(request, seconds)
        return self.receive(seconds)

    def stop(self) -> None:
        """End the child and everything it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                stream.close()

    def _fill(self, deadline: float, seconds: float) -> None:
        ready, _, _ = select.select([self._output], [], [], max(deadline - time.monotonic(), 0.0))
        if not ready:
            self.stop()
            raise ChildFailed(f"reading it took more than {seconds:g} s")
        block = os.read(self._output, _BLOCK)
        if not block:
            code = self._child.wait()
            self.stop()
            raise ChildFailed(_cause(code, seconds))
        self._buffer += block


def _cause(code: int, seconds: float) -> str:
    if code == -signal.SIGXCPU:
        return f"reading it took more than {seconds:g} s of processor time"
    if code < 0:
        return f"it crashed the PDF reader ({signal.Signals(-code).name})"
    return f"the PDF reader ended (exit code {code})"
