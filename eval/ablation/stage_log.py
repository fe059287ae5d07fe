"""One stage's results in one file: a line per result, only ever added to at its end.

    SHA-256 of the rest  key  depth  version of the code  time  {seconds by stage} TAB value NEWLINE

A JSON text holds neither a tab nor a line break, so that lines are found without reading what is in them. Of several
lines with one key the last counts. Whoever writes holds a lock: processes may share a file. A line that a kill left
unfinished is dropped by the next one who writes; until then nobody reads it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import EnvironmentProblem

_DIGEST = 64
_HEAD = 240
"""Bytes of a line in which its digest, key and depth stand; the index reads no more of it."""
_BLOCK = 1 << 24


@dataclass(frozen=True, slots=True)
class Record:
    """A result: its value, how deep it goes, the code that made it, the seconds by stage, and when (Unix time)."""

    key: str
    value: Any
    depth: int
    version: str
    seconds: Mapping[str, float]
    written: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it is found. `record` is None for one that is no longer what was written; `last` of its key."""

    start: int
    data: bytes
    record: Record | None
    last: bool


@dataclass(frozen=True, slots=True)
class _Place:
    start: int
    length: int
    depth: int


class StageLog:
    """A file of results. It need not exist; it is made by the first `add`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._name = str(path)
        self._places: dict[str, _Place] = {}
        self._read_to = 0
        self._descriptor, self._inode, self._may_write = -1, -1, False
        self._close: Callable[[], object] = _nothing

    def depth(self, key: str) -> int | None:
        """How deep the result under a key goes, by its line's head; None when there is none."""
        place = self._place(key)
        return None if place is None else place.depth

    def read(self, key: str) -> Record | None:
        """The result under a key; None when there is none, or not the one that was written."""
        place = self._place(key)
        if place is None:
            return None
        record = parsed(os.pread(self._descriptor, place.length, place.start))
        return record if record is not None and record.key == key else None

    def add(self, record: Record) -> None:
        """Write a result behind all others.

        Raises:
            EnvironmentProblem: the file cannot be written or locked.
        """
        line = _line(record)
        try:
            with self._locked():
                end = os.lseek(self._descriptor, 0, os.SEEK_END)
                if end != self._read_to:
                    end = self._whole_lines(end)
                _write(self._descriptor, line)
        except OSError as error:
            raise EnvironmentProblem(
                f"the stage cache {self.path} cannot be written ({error.strerror or error}); name another folder, on a "
                "disk of this machine, with --cache DIR"
            ) from error
        self._places[record.key] = _Place(end, len(line), record.depth)
        self._read_to = end + len(line)

    def lines(self) -> Iterator[Line]:
        """Every line, in the order in which they were written; an unfinished one at the end, too."""
        last = self._refreshed()
        for start, data in self._lines_from(0):
            record = parsed(data)
            place = None if record is None else last.get(record.key)
            yield Line(start, data, record, place is not None and place.start == start)

    def compact(self, keep: Callable[[Line], bool]) -> int:
        """Keep some lines and drop the others; returns the bytes that are freed. The file goes when none is left."""
        if not self.path.exists():
            return 0
        with self._locked():
            before, partial = os.fstat(self._descriptor).st_size, f"{self._name}.partial"
            with open(partial, "wb") as target:  # noqa: PTH123 - a name made of a string
                target.writelines(line.data for line in self.lines() if keep(line))
                after = target.tell()
            # Another process that waits for this lock looks, once it has it, whether the file is still this one.
            if after:
                os.replace(partial, self._name)  # noqa: PTH105 - as above
            else:
                self.path.unlink()
                Path(partial).unlink()
        self._forget()
        return before - after

    def _place(self, key: str) -> _Place | None:
        return self._places.get(key) or self._refreshed().get(key)

    def _refreshed(self) -> dict[str, _Place]:
        """The index, with what was written since by anybody."""
        if self._descriptor < 0 and not self._open(write=False):
            return self._places
        if os.fstat(self._descriptor).st_size > self._read_to:
            for start, data in self._lines_from(self._read_to):
                if data.endswith(b"\n"):
                    self._note(start, data)
                    self._read_to = start + len(data)
        return self._places

    def _note(self, start: int, line: bytes) -> None:
        parts = line[:_HEAD].split(b" ", 3)
        if len(parts) == 4 and parts[2].isdigit():
            self._places[parts[1].decode("ascii", "replace")] = _Place(start, len(line), int(parts[2]))

    def _lines_from(self, start: int) -> Iterator[tuple[int, bytes]]:
        """Lines with their places; the last may have no end."""
        if self._descriptor < 0:
            return
        rest, place = b"", start
        while block := os.pread(self._descriptor, _BLOCK, place + len(rest)):
            *whole, rest = (rest + block).split(b"\n")
            for one in whole:
                yield place, one + b"\n"
                place += len(one) + 1
        if rest:
            yield place, rest

    def _whole_lines(self, end: int) -> int:
        """Read what others have written; what a kill left unfinished behind it is cut off. Returns the end."""
        if end < self._read_to:  # somebody has shortened the file: nothing known of it holds
            self._places, self._read_to = {}, 0
        self._refreshed()
        if end > self._read_to:
            os.ftruncate(self._descriptor, self._read_to)
        return self._read_to

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The file, open and locked, and not one that another process has replaced meanwhile."""
        while True:
            if not self._may_write:
                self._open(write=True)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            try:
                if self._is_current():
                    yield
                    return
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self._forget()

    def _is_current(self) -> bool:
        try:
            return os.stat(self._name).st_ino == self._inode  # noqa: PTH116 - for every result: pathlib takes longer
        except FileNotFoundError:
            return False

    def _open(self, *, write: bool) -> bool:
        """Open the file, anew where it must; whether it is there."""
        if write:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        mode = os.O_RDWR | os.O_APPEND | os.O_CREAT if write else os.O_RDONLY
        try:
            descriptor = os.open(self._name, mode | os.O_CLOEXEC, 0o644)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise EnvironmentProblem(f"the stage cache {self.path} cannot be opened: {error.strerror}") from error
        self._forget()
        self._descriptor, self._may_write = descriptor, write
        self._inode = os.fstat(descriptor).st_ino
        self._close = weakref.finalize(self, os.close, descriptor)
        return True

    def _forget(self) -> None:
        """Close the file; what is known of it is read again."""
        self._close()
        self._close, self._descriptor, self._may_write, self._inode = _nothing, -1, False, -1
        self._places, self._read_to = {}, 0


def parsed(line: bytes) -> Record | None:
    """A line's result; None when the line is not as it was written."""
    if not line.endswith(b"\n") or hashlib.sha256(line[_DIGEST + 1 : -1]).hexdigest().encode() != line[:_DIGEST]:
        return None
    head, _, value = line[_DIGEST + 1 : -1].partition(b"\t")
    try:
        key, depth, version, written, seconds = head.decode().split(" ", 4)
        return Record(key, json.loads(value), int(depth), version, json.loads(seconds), int(written))
    except ValueError:
        return None


def _line(record: Record) -> bytes:
    written = record.written or int(time.time())
    seconds = json.dumps(dict(record.seconds), separators=(",", ":"))
    value = json.dumps(record.value, ensure_ascii=False, separators=(",", ":"))
    # A lone surrogate, which broken text may hold, is no UTF-8: such a value is written with escapes.
    rest = f"{record.key} {record.depth} {record.version} {written} {seconds}\t"
    try:
        data = (rest + value).encode()
    except UnicodeEncodeError:
        data = (rest + json.dumps(record.value, separators=(",", ":"))).encode()
    return b"%s %s\n" % (hashlib.sha256(data).hexdigest().encode(), data)


def _nothing() -> None:
    """There is no file to close."""


def _write(descriptor: int, data: bytes) -> None:
    """All of it: one call writes less when the disk is full, and the next one says so."""
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, data[written:])
