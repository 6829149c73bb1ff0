"""Exclusive file locks (``flock``): the kernel lets go of one the moment its holder dies, however it dies.

Not the `filelock` library: it empties the file when it opens it, so it cannot say who holds the lock, it cannot make a
file that is locked from its first moment, and it has no question "does anybody hold this?" that takes no lock.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

HOLDER_BYTES = 1_000


class LockHeld(Exception):
    """Another living process holds the lock.

    Args:
        holder: what it wrote into the file; empty where it wrote nothing.
    """

    def __init__(self, holder: str) -> None:
        super().__init__(holder or "another process holds the lock")
        self.holder = holder


class FileLock:
    """A lock that this process holds until `release`, the end of a ``with`` block, or its death.

    Made by `take_lock`, `wait_for_lock` or `create_locked`.
    """

    def __init__(self, handle: int) -> None:
        self._handle: int | None = handle

    def release(self) -> None:
        """Let go; done again, it changes nothing. The file stays."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def write_holder(self, text: str) -> None:
        """Replace the file's content by who holds the lock, at most 1,000 bytes, for `LockHeld`."""
        assert self._handle is not None
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, text.encode()[:HOLDER_BYTES], 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def take_lock(path: Path) -> FileLock:
    """Lock a file now; it is made, 0600, where it does not exist.

    Raises:
        LockHeld: another process, or another lock of this one, holds it.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, HOLDER_BYTES, 0).decode(errors="replace")
        os.close(handle)
        raise LockHeld(holder) from None
    return FileLock(handle)


def wait_for_lock(path: Path) -> FileLock:
    """Lock a file as soon as nobody else holds it, however long that takes."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except BaseException:
        os.close(handle)
        raise
    return FileLock(handle)


def create_locked(path: Path, text: str) -> FileLock:
    """Make a file, 0600, that is whole and locked from the moment it has its name."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    fcntl.flock(handle, fcntl.LOCK_EX)
    os.write(handle, text.encode())
    Path(temporary).replace(path)
    return FileLock(handle)


def is_held(path: Path) -> bool:
    """Whether some process holds the lock of a file; False where there is no file."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
