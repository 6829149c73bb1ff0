"""The keeper: the process that owns every process of a stack, and ends them when no lease is left.

``python -m test_infra.stack.keeper STACK_ID [--namespaced]``. Started by `test_infra.stack.start_keeper`, first in a
PID namespace where the system allows one, so that even ``kill -9`` of it leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from contextlib import suppress

from test_infra.base.file_lock import FileLock, LockHeld, take_lock
from test_infra.base.logs import log_to_stderr
from test_infra.runtime.factory import backend_of
from test_infra.runtime.process import ProcessEvent
from test_infra.runtime.supervisor import Supervisor
from test_infra.stack.lease import live_leases
from test_infra.stack.record import StackFolders, read_record
from test_infra.stack.sweep import stack_tag

LEASES_EVERY_S = 0.5


class Keeper:
    """Watches the leases of one stack and supervises its processes."""

    def __init__(self, stack_id: str, *, namespaced: bool) -> None:
        self._folders = StackFolders(stack_id)
        self._looked = 0.0
        self._up_lock: FileLock | None = None
        self._unwritten = b""
        self._supervisor = Supervisor(self._folders.control, self._event, namespaced=namespaced)

    def run(self) -> None:
        """Keep the stack until its last lease is gone, then end and clear it."""
        self._event("keeper", ProcessEvent.STARTED, "")
        self._supervisor.run(every=self._look_at_leases)
        self._remove_containers()
        shutil.rmtree(self._folders.data, ignore_errors=True)
        self._event("keeper", ProcessEvent.ENDED, "every process ended")

    def _remove_containers(self) -> None:
        record = read_record(self._folders)
        if record is not None:
            try:
                backend_of(record.spec.backend).remove_all(stack_tag(self._folders.id))
            except Exception as error:
                self._event("keeper", ProcessEvent.FAULT, f"containers may be left: {type(error).__name__}: {error}")

    def _look_at_leases(self) -> None:
        if self._up_lock is not None or time.monotonic() - self._looked < LEASES_EVERY_S:
            return
        self._looked = time.monotonic()
        self._write_events()
        if live_leases(self._folders.leases, time.time()):
            return
        try:
            lock = take_lock(self._folders.up_lock)
        except LockHeld:  # an `up` is about to take a lease
            return
        if live_leases(self._folders.leases, time.time()):
            lock.release()
            return
        self._up_lock = lock  # ours until we are gone: the next `up` makes a new stack
        self._event("keeper", ProcessEvent.ENDING, "no lease is left")
        self._supervisor.stop()

    def _event(self, service: str, event: ProcessEvent, detail: str) -> None:
        line = json.dumps({"time": time.time(), "service": service, "event": event, "detail": detail})
        self._unwritten += line.encode() + b"\n"
        self._write_events()

    def _write_events(self) -> None:
        """Append what is not written yet. On a full disk the rest waits: processes must be kept nevertheless."""
        if not self._unwritten:
            return
        with suppress(OSError):
            handle = os.open(self._folders.events, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                while self._unwritten:
                    self._unwritten = self._unwritten[os.write(handle, self._unwritten) :]
            finally:
                os.close(handle)


if __name__ == "__main__":
    log_to_stderr()
    Keeper(sys.argv[1], namespaced="--namespaced" in sys.argv[2:]).run()
