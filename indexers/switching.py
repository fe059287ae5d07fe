"""Putting a rebuilt library in the place of the old one, so that a stop at any moment leaves one of the two working.

A library in `DIR` is rebuilt in `DIR.next` and kept as `DIR.old` afterwards. The file `switch.json` marks the new one
from the moment it may take the place until everything is in place:

    DIR old, DIR.next new + mark   exchange   DIR new + mark, DIR.next old   rename   DIR new, DIR.old old

Linux exchanges two folders in one step (renameat2 with RENAME_EXCHANGE, rename(2)). Elsewhere two renames stand for it;
between them there is no `DIR`, and the next command that opens the library ends the switch.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MARK = "switch.json"
LOCK = "build.lock"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_NOT_THERE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)
"""The kernel or the file system knows no exchange."""


def next_folder(folder: Path) -> Path:
    """Where a library is rebuilt: beside it, because folders are exchanged within one file system only."""
    return _beside(folder, "next")


def old_folder(folder: Path) -> Path:
    """Where the library before the last rebuild is kept."""
    return _beside(folder, "old")


def _beside(folder: Path, suffix: str) -> Path:
    whole = folder.absolute()
    return whole.with_name(f"{whole.name}.{suffix}")


def exchange(first: Path, second: Path) -> bool:
    """Exchange two folders in one step; False where the system cannot. Raises OSError when it fails otherwise."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_THERE:
        return False
    raise OSError(number, os.strerror(number), str(first))


def switch(folder: Path, exchanged: Callable[[Path, Path], bool] = exchange) -> None:
    """Put `DIR.next` in the place of `DIR` and keep the latter as `DIR.old`, whose earlier content must be gone.

    Hold the locks of both libraries. `exchanged` is given by tests that play a system without the exchange.
    """
    place, new, old = folder.absolute(), next_folder(folder), old_folder(folder)
    (new / MARK).write_text("{}\n", encoding="utf-8")
    _sync(new)
    if exchanged(place, new):
        _sync(place.parent)
        new.rename(old)
    else:
        place.rename(old)
        new.rename(place)
    _sync(place.parent)
    (place / MARK).unlink()


def finish_switch(folder: Path) -> bool:
    """End a switch that was cut short; True when there was one. Leaves a switch alone that another process is at."""
    place, new, old = folder.absolute(), next_folder(folder), old_folder(folder)
    if (place / MARK).is_file():
        with _held(place) as held:
            if held and (place / MARK).is_file():
                if new.is_dir() and not (new / MARK).is_file():
                    new.rename(old)
                (place / MARK).unlink()
            return held
    if not place.exists() and (new / MARK).is_file():
        with _held(new) as held:
            if held:
                with suppress(FileExistsError):
                    new.rename(place)
                (place / MARK).unlink(missing_ok=True)
            return held
    return False


def drop_folder(folder: Path) -> None:
    """Delete a library folder. Its manifest goes first, so that what a stop leaves is never taken for a library."""
    (folder / "manifest.json").unlink(missing_ok=True)
    shutil.rmtree(folder)


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Whether the library's build lock could be taken; held inside the block."""
    with (folder / LOCK).open("a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def _sync(folder: Path) -> None:
    """Make renames inside a folder outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
