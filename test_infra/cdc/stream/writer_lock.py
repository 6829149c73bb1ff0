"""One writer at a time: a stream locks its checkpoint and its tables before its first micro-batch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.base.errors import InfrastructureError
from test_infra.base.file_lock import LockHeld, take_lock

if TYPE_CHECKING:
    from test_infra.cdc.stream.spec import Release

LOCK_FILE = ".test_infra.lock"


class WriterLocked(InfrastructureError):
    """Another living process writes with this checkpoint or into this table."""


@contextmanager
def hold_writer_locks(release: Release) -> Iterator[None]:
    """Hold the locks of the stream's checkpoint and of its tables on disk for the time of the block.

    Raises:
        WriterLocked: another stream has the checkpoint or a table.
    """
    tables = (location for entry in release.written for location in (entry.changes, entry.mirror))
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
    try:
        lock = take_lock(folder / LOCK_FILE)
    except LockHeld as held:
        raise WriterLocked(
            "another stream already writes here",
            details={"folder": str(folder), "holder": held.holder or "unknown"},
            hint="one writer per checkpoint and table: stop the other stream first",
        ) from None
    with lock:
        lock.write_holder(json.dumps({"pid": os.getpid()}))
        yield
