"""The process in which a suite runs: starts pytest, ends it in time, and ends whatever the tests started.

Usage: ``python -m test_infra.suites.process EXIT_PATH LOCK_PATH TIMEOUT_S -- COMMAND...``. It is a process of the
stack, so it ends with the stack. It also ends when the Dagster step that waits for it is gone: that step holds the lock
of ``LOCK_PATH``, and the kernel lets go of a lock when its holder dies, however it dies.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from test_infra.base.paths import write_private
from test_infra.runtime.run_child import die_with_parent, is_locked

PLANNING = "plan"
RUNNING = "run"
"""Content of the lock file: which of the suite's two steps holds it, or held it last."""
HANDOVER_S = 15.0
"""How long the lock may be free between the two steps, which need not share a process."""
LOOK_EVERY_S = 0.05
TIMED_OUT = "timed out"
ABANDONED = "ended because the Dagster step that waited for it was gone"
STOPPED = "stopped before its end"


class _Stopped(Exception):
    """Somebody asked this process to end."""


def main(arguments: Sequence[str]) -> None:
    """Run the command to its end, end its process group, and write down how it ended."""
    split = arguments.index("--")
    exit_path, lock_path, timeout_s = Path(arguments[0]), Path(arguments[1]), float(arguments[2])
    signal.signal(signal.SIGTERM, _stop)
    command = arguments[split + 1 :]
    # A group of its own, so that what a test started is ended with it.
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=die_with_parent)  # noqa: PLW1509 - no threads here
    try:
        ended = _wait_for_end(child, lock_path, timeout_s)
    except _Stopped:
        ended = STOPPED
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    exit_code = child.wait()
    write_private(exit_path, ended if ended is not None else str(exit_code))


def _wait_for_end(child: subprocess.Popen[bytes], lock_path: Path, timeout_s: float) -> str | None:
    """Wait until the child has ended. Returns None, or why it must be ended now."""
    started, parent, last_held = time.monotonic(), os.getppid(), time.monotonic()
    while child.poll() is None:
        now = time.monotonic()
        if now - started > timeout_s:
            return f"{TIMED_OUT} after {timeout_s:g} s"
        # Read before the lock is tested: the run step takes the lock before it writes.
        patience_s = 0.0 if lock_path.read_text() == RUNNING else HANDOVER_S
        if _is_held(lock_path):
            last_held = now
        elif now - last_held > patience_s:
            return ABANDONED
        if os.getppid() != parent:  # the keeper was killed on a system without PID namespaces
            return STOPPED
        time.sleep(LOOK_EVERY_S)
    return None


def _is_held(lock_path: Path) -> bool:
    """Whether a step holds the lock now."""
    with lock_path.open("rb") as file:
        return is_locked(file.fileno())


def _stop(_signum: int, _frame: FrameType | None) -> None:
    raise _Stopped


if __name__ == "__main__":
    main(sys.argv[1:])
