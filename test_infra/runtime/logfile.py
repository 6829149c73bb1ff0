"""A log of what a process writes: bytes as they come, rotated, and never a reason for the process to stand still."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


class LogFile:
    """The log file of one process, mode 0600.

    What cannot be written (the disk is full) is dropped and counted; once there is room again, the log says how many
    bytes are missing.

    Args:
        path: the current file; older ones beside it are ``.1`` (the newest) and so on.
        max_bytes: size at which a file is rotated away.
        backups: how many old files are kept; with 0 the file is never rotated.
    """

    def __init__(self, path: Path, max_bytes: int, backups: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._backups = backups
        self._missing = 0
        self._handle: int | None = None
        with suppress(OSError):  # the file is there from the start, also of a process that writes nothing
            self._opened()

    def append(self, piece: bytes) -> None:
        """Append one piece of output; never raises for a disk that takes nothing."""
        try:
            self._append(piece)
        except OSError:
            self._missing += len(piece)

    def close(self) -> None:
        """Close the current file; `append` opens it again."""
        if self._handle is not None:
            with suppress(OSError):
                os.close(self._handle)
            self._handle = None

    def _append(self, piece: bytes) -> None:
        if self._backups and os.fstat(self._opened()).st_size + len(piece) > self._max_bytes:
            self._rotate()
        handle = self._opened()
        if self._missing:
            _write(handle, f"\n[{self._missing} bytes of this log are missing: they could not be written]\n".encode())
            self._missing = 0
        written = _write(handle, piece)
        if written < len(piece):
            self._missing += len(piece) - written

    def _opened(self) -> int:
        if self._handle is None:
            self._handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return self._handle

    def _rotate(self) -> None:
        self.close()
        for number in range(self._backups - 1, 0, -1):
            with suppress(FileNotFoundError):
                self._backup(number).replace(self._backup(number + 1))
        self._path.replace(self._backup(1))

    def _backup(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def _write(handle: int, piece: bytes) -> int:
    """Write as much as there is room for; returns how many bytes it was."""
    written = 0
    while written < len(piece):
        try:
            written += os.write(handle, piece[written:])
        except OSError:
            if written == 0:
                raise
            return written
    return written
