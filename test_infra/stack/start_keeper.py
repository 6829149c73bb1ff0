"""Starts the keeper of a stack."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import psutil

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.environment import inherited
from test_infra.base.paths import HOME_VARIABLE, home
from test_infra.runtime import namespace
from test_infra.runtime.factory import client_variables
from test_infra.runtime.process import ended_as
from test_infra.stack.record import ProcessId, StackFolders
from test_infra.stack.service import ServiceFailed
from test_infra.stack.sweep import STACK_TAG, stack_tag

INHERITED = ("USER", "LOGNAME", "TMPDIR", "LD_LIBRARY_PATH", "XDG_RUNTIME_DIR")
"""What a keeper takes over from its caller beyond what every process does; it lives for hours."""

KEEPER_MODULE = "test_infra.stack.keeper"


def start_keeper(folders: StackFolders, deadline: Deadline) -> ProcessId:
    """Start the keeper of a stack, first in a PID namespace where the system allows one.

    Returns:
        The keeper as this machine sees it.

    Raises:
        ServiceFailed: it ended at once.
        NotReady: it did not write its first state in time.
    """
    prefix = namespace.entering()
    command = [
        *prefix,
        sys.executable,
        "-m",
        KEEPER_MODULE,
        folders.id,
        *(["--namespaced"] if prefix else []),
    ]
    log_path = folders.logs / "keeper.log"
    with log_path.open("ab") as log:
        started = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            env={
                **inherited(*INHERITED, *client_variables()),
                HOME_VARIABLE: str(home()),
                STACK_TAG: stack_tag(folders.id),
                "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            },
        )

    def supervising() -> None:
        if started.poll() is not None:
            raise ServiceFailed(
                "the keeper ended at once", details={"seen": ended_as(started.returncode)}, log=log_path
            )
        if not (folders.control / "processes.json").exists():
            raise StillWaiting("it has not written its state")

    wait_for(
        supervising,
        deadline.within(20),
        what="the keeper",
        awaited="its first state",
        log=log_path,
        interval_s=0.02,
    )
    # Reaped in the background, so that an ended keeper is no zombie of a long-lived caller.
    threading.Thread(target=started.wait, daemon=True, name="reap-keeper").start()
    if not prefix:
        return ProcessId.of(started.pid)
    return ProcessId.of(psutil.Process(started.pid).children()[0].pid)
