"""Runs one command and writes down how it ended. Imports nothing of ours, so it starts in 20 ms and locks by itself.

Usage: ``python -I run_child.py EXIT_PATH|- [--with-parent] [--while-locked FILE] [--as UID:GID] -- COMMAND...``. With
``--with-parent`` the command's whole session is killed when the process that started us dies: what a PID namespace does
where the system has none. With ``--while-locked`` the command is killed when nobody holds the lock of FILE any more: as
the first process of a container we cannot see our parent, but the kernel lets go of a lock when its holder dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

PR_SET_PDEATHSIG = 1
FORWARDED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTSTP,
    signal.SIGCONT,
)


def main(argv: list[str]) -> int:
    """Run the command to its end and write the end down."""
    split = argv.index("--")
    options, command = argv[:split], argv[split + 1 :]
    exit_path = options[0]
    parent = os.getppid()
    account: dict[str, Any] = {}
    if "--as" in options:
        uid, gid = options[options.index("--as") + 1].split(":")
        account = {"user": int(uid), "group": int(gid), "extra_groups": []}
    # The wrapper's end, by kill -9 too, ends the command: two drivers of one stream must never run at once.
    child = subprocess.Popen(command, preexec_fn=die_with_parent, **account)  # noqa: PLW1509 - no threads yet
    for signum in FORWARDED:
        signal.signal(signum, lambda received, _frame: child.send_signal(received))
    if "--with-parent" in options:
        threading.Thread(target=end_with_parent, args=(parent, child), daemon=True).start()
    if "--while-locked" in options:
        lock_path = options[options.index("--while-locked") + 1]
        threading.Thread(target=end_with_lock, args=(lock_path, child), daemon=True).start()
    exit_code = wait_for_end(child)
    if exit_path != "-":
        with contextlib.suppress(OSError):  # the disk is full: the keeper tells the end by our exit code
            write_exit(exit_path, exit_code)
    return exit_code if exit_code >= 0 else 128 - exit_code


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends; Linux only, elsewhere nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_with_parent(parent: int, child: subprocess.Popen[bytes]) -> None:
    """Kill the whole session as soon as the parent is gone."""
    while os.getppid() == parent:
        time.sleep(0.5)
    child.kill()
    os.killpg(0, signal.SIGKILL)


def end_with_lock(path: str, child: subprocess.Popen[bytes]) -> None:
    """Kill the command as soon as nobody holds the lock, which may be at once."""
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib costs this program a tenth of its start
        while is_locked(file.fileno()):
            time.sleep(0.2)
    child.kill()


def is_locked(handle: int) -> bool:
    """Whether another process holds the file's lock."""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(handle, fcntl.LOCK_UN)
    return False


def wait_for_end(child: subprocess.Popen[bytes]) -> int:
    """The child's exit code; as the first process of a container we also reap orphans."""
    while os.getpid() == 1 and child.returncode is None:
        try:
            pid, status = os.wait()
        except ChildProcessError:  # a signal came just then, and passing it on has reaped the child
            break
        if pid == child.pid:
            return os.waitstatus_to_exitcode(status)
    return child.wait()


def write_exit(path: str, exit_code: int) -> None:
    """Leave the exit record, whole or not at all."""
    temporary = f"{path}.{os.getpid()}"
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"exit_code": exit_code, "ended_at": time.time()}, file)
    os.replace(temporary, path)  # noqa: PTH105 - pathlib costs this program a tenth of its start


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
