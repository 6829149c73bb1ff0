"""One writer at a time: a stream locks its checkpoint and its tables before its first micro-batch."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.base.errors import InfrastructureError

# Until cdc/judge/continuity.py imports it from there.
from test_infra.cdc.stream.continuity import breaks

if TYPE_CHECKING:
    from test_infra.cdc.stream.spec import Release

__all__ = ["LOCK_FILE", "WriterLocked", "breaks", "hold_writer_locks", "writer_lock"]

LOCK_FILE = ".test_infra.lock"


class WriterLocked(InfrastructureError):
    """Another living process writes with this checkpoint or into this table."""


@contextmanager
def hold_writer_locks(release: Release) -> Iterator[None]:
    """Hold the locks of the stream's checkpoint and of its tables on disk for the time of the block.

    Raises:
        WriterLocked: another stream has the checkpoint or a table.
    """
    tables = (location for entry in release.tables for location in (entry.changes, entry.mirror))
    folders = [release.checkpoint, *(location.folder for location in tables if location.folder is not None)]
    with ExitStack() as held:
        for folder in folders:
            held.enter_context(writer_lock(folder))
        yield


@contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Hold a folder's lock for the time of the block. The kernel releases it when this process dies, however it dies.

    Raises:
        WriterLocked: another process holds it; names its pid.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 200).decode(errors="replace") or "unknown"
            raise WriterLocked(
                "another stream already writes here",
                details={"folder": str(folder), "holder": holder},
                hint="one writer per checkpoint and table: stop the other stream first",
            ) from None
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps({"pid": os.getpid()}).encode())
        yield
    finally:
        os.close(handle)
