"""One process that the keeper started: its start, its output, its signals and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from test_infra.runtime.logfile import LogFile

READ_BYTES = 64 * 1024
FULL_PIPE_BYTES = 1024 * 1024
"""What a pipe may hold at most (``/proc/sys/fs/pipe-max-size``): as much is read at the end of its process."""


class Child:
    """A running process in a session of its own, its stdout and stderr copied to a log byte for byte.

    Must be made inside a running asyncio loop. Nobody waits for the process here: whoever reaps the processes of this
    program (as the first process of a PID namespace that means orphans too) calls `reaped`.

    Args:
        argv: program and arguments.
        env: the whole environment.
        cwd: working folder.
        log: what gets its output.
        user: ``(uid, gid)`` to drop to, without further groups; None keeps ours.

    Raises:
        OSError: it could not be started: no such program, no such folder, no such user.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log: LogFile,
        user: tuple[int, int] | None = None,
    ) -> None:
        self._log = log
        self._loop = asyncio.get_running_loop()
        account: dict[str, Any] = {"user": user[0], "group": user[1], "extra_groups": []} if user else {}
        self._output, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                cwd=cwd,
                env=dict(env),
                start_new_session=True,
                **account,
            )
        except BaseException:
            os.close(self._output)
            raise
        finally:
            os.close(writing)
        os.set_blocking(self._output, False)
        self._loop.add_reader(self._output, self._copy)
        self._open = True
        self.pid = self._process.pid
        self.ended = asyncio.Event()

    def reaped(self, exit_code: int) -> None:
        """Note that the process was waited for; its last output is in the log afterwards.

        The pipe stays open as long as a process that it left behind writes to it.

        Args:
            exit_code: negative is the signal.
        """
        self._process.returncode = exit_code  # or Popen would wait for a process id that is free to be reused
        copied = 0
        while self._open and copied < FULL_PIPE_BYTES and (count := self._copy()):
            copied += count
        self.ended.set()

    def signal(self, signum: int) -> None:
        """Send a signal to the process itself; nothing where it has ended."""
        if self._process.returncode is None:
            os.kill(self.pid, signum)

    async def end(self, signum: int, patience_s: float) -> None:
        """Send ``signum``; after ``patience_s`` seconds kill the process and all below it; returns at its end."""
        self.signal(signum)
        try:
            await asyncio.wait_for(self.ended.wait(), patience_s)
        except TimeoutError:
            self._kill_tree()
            await self.ended.wait()

    def _kill_tree(self) -> None:
        """SIGKILL for its process group, and for children that made a session of their own, as PostgreSQL's do."""
        if self._process.returncode is not None:
            return
        below: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            below = psutil.Process(self.pid).children(recursive=True)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for process in below:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _copy(self) -> int:
        """Copy what the pipe holds, at most 64 KiB; returns how much it was."""
        try:
            piece = os.read(self._output, READ_BYTES)
        except BlockingIOError:
            return 0
        if piece:
            self._log.append(piece)
        else:
            self._loop.remove_reader(self._output)
            os.close(self._output)
            self._open = False
            self._log.close()
        return len(piece)


def resident_bytes(pid: int) -> int:
    """Resident memory of a process tree; what children share (PostgreSQL's buffers) counts once."""
    try:
        process = psutil.Process(pid)
        children = process.children(recursive=True)
        total: int = process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0
    for child in children:
        try:
            memory = child.memory_info()
        except psutil.NoSuchProcess:
            continue
        total += memory.rss - getattr(memory, "shared", 0)
    return total
