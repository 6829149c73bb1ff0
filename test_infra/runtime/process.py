"""What a process is asked to be, and what it was seen to be."""

from __future__ import annotations

import signal
from enum import StrEnum
from pathlib import Path

from test_infra.base.document import Document

LOG_MAX_BYTES = 16 * 1024 * 1024
LOG_BACKUPS = 2


class Restart(StrEnum):
    """When a process that ended by itself is started again."""

    NEVER = "never"
    ON_FAILURE = "on_failure"
    ALWAYS = "always"


class ProcessEvent(StrEnum):
    """What the keeper writes into a stack's ``events.jsonl``, for a process or for itself."""

    STARTED = "started"
    """The keeper began its work."""
    ENDED = "ended"
    """A process ended without being asked to; for the keeper: every process ended."""
    RESTARTED = "restarted"
    GIVEN_UP = "given up"
    """It ended too often and is not started again."""
    OVER_MEMORY_LIMIT = "over its memory limit"
    ENDING = "ending"
    """The keeper ends the stack."""
    FAULT = "fault"
    """The keeper could not do something; it goes on."""


class ProcessSpec(Document):
    """One process to run.

    Args:
        name: unique among the processes of a stack.
        argv: program and arguments; never a shell line.
        env: the whole environment but the identity variables that the backend adds.
        cwd: working folder.
        log_path: stdout and stderr, rotated at 16 MiB.
        log_backups: how many old files of the log are kept.
        uid: user to drop to; None keeps the user of the backend.
        gid: group to drop to.
        restart: what happens when it ends by itself.
        stop_signal: how it is asked to end; SIGKILL follows after ``stop_timeout_s``.
        stop_timeout_s: patience between the two, seconds.
        end_signal: how it is ended together with all others, when what it keeps is thrown away; None: ``stop_signal``.
            A container gets its stop signal, and is removed.
        memory_limit_mib: resident memory of the process and its children beyond which it is killed, MiB.
        exit_path: a run-to-completion process leaves ``{"exit_code", "ended_at"}`` here however it ends.
        reads: files that it reads outside ``writes``.
        writes: folders that it reads and writes, its working folder included; none named: its working folder and the
            folders of the stack's jobs. Elsewhere (a container) it sees these and ``reads``, and nothing else of this
            machine. ``log_path`` and ``exit_path`` are written by who runs it, not by the process.
        ports: where it listens; a container's are published on loopback.
        image: of its container; None is the stack's.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = {}
    cwd: Path
    log_path: Path
    log_backups: int = LOG_BACKUPS
    uid: int | None = None
    gid: int | None = None
    restart: Restart = Restart.NEVER
    stop_signal: int = signal.SIGTERM
    stop_timeout_s: float = 5.0
    end_signal: int | None = None
    memory_limit_mib: int | None = None
    exit_path: Path | None = None
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()
    ports: tuple[int, ...] = ()
    image: str | None = None


class ProcessState(Document):
    """What was last seen of a process.

    Args:
        name: its name.
        running: whether it runs now.
        pid: process id as this machine's user sees it; None when it does not run.
        started_at: epoch seconds of the last start.
        restarts: how often it was started again after it ended by itself.
        exit_code: of the last end; negative is the signal; None when it never ended.
        ended_at: epoch seconds of the last end.
        given_up: it ended too often and is not started again.
    """

    name: str
    running: bool
    pid: int | None = None
    started_at: float | None = None
    restarts: int = 0
    exit_code: int | None = None
    ended_at: float | None = None
    given_up: bool = False


def ended_as(exit_code: int) -> str:
    """An exit code in words: ``exited with 1`` or ``killed by SIGKILL``."""
    if exit_code >= 0:
        return f"exited with {exit_code}"
    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"killed by signal {-exit_code}"
