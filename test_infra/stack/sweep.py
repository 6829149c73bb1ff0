"""Finds and ends what a dead keeper left behind, known by the stack's tag in its environment, never by name."""

from __future__ import annotations

import os
from contextlib import suppress

import psutil

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import NotReady
from test_infra.base.paths import home

STACK_TAG = "TEST_INFRA_STACK_TAG"
"""Environment variable of every process of a stack, by which a sweep knows it."""
PATIENCE_S = 5.0
"""How long the end of killed processes is waited for."""


def stack_tag(stack_id: str) -> str:
    """The value of `STACK_TAG`: unique among the stacks of all homes on this machine."""
    return f"{stack_id}@{home()}"


def leftovers(tag: str) -> list[psutil.Process]:
    """Processes that carry the tag of a stack, this one excepted."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.environ().get(STACK_TAG) == tag and _lives(process):
                found.append(process)
    return found


def kill_leftovers(tag: str) -> int:
    """Kill every process of a stack whose keeper is gone, and wait until they have ended.

    Returns:
        How many there were.
    """
    found = leftovers(tag)
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.kill()

    def ended() -> None:
        alive = [process.pid for process in found if _lives(process)]
        if alive:
            raise StillWaiting(f"{alive} live")

    # Not `psutil.wait_procs`: an orphan that nobody reaps is waited for in steps of a second.
    with suppress(NotReady):
        wait_for(ended, Deadline(PATIENCE_S), what="what was left", awaited="its end", interval_s=0.01)
    return len(found)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
