"""A PID namespace for a keeper: when its first process dies, the kernel kills every process in it, in any session."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

import psutil


@functools.cache
def entering() -> tuple[str, ...]:
    """The command prefix that makes a program the first process of a new PID namespace; empty where that is refused."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return ()
    base = (unshare, "--pid", "--fork", "--kill-child=KILL", "--mount-proc")
    for prefix in (base, (unshare, "--user", "--map-current-user", *base[1:])):
        tried = subprocess.run([*prefix, "true"], capture_output=True, check=False, timeout=10)
        if tried.returncode == 0:
            return prefix
    return ()


def outer_pids(keeper_pid: int) -> dict[int, int]:
    """Process ids inside the keeper's namespace -> as seen from here, for everything below ``keeper_pid``."""
    try:
        keeper = psutil.Process(keeper_pid)
        below = [keeper, *keeper.children(recursive=True)]
    except psutil.NoSuchProcess:
        return {}
    pids = {}
    for process in below:
        inner = _inner_pid(process.pid)
        if inner is not None:
            pids[inner] = process.pid
    return pids


def _inner_pid(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return pid if os.name == "posix" and not Path("/proc/self/status").exists() else None
    for line in status.splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    return pid
