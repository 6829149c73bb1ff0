"""Finds and ends what a dead keeper left behind, known by the stack's tag in its environment, never by name."""

from __future__ import annotations

import os

import psutil

from test_infra.base.paths import home

STACK_TAG = "TEST_INFRA_STACK_TAG"
"""Environment variable of every process of a stack, by which a sweep knows it."""


def stack_tag(stack_id: str) -> str:
    """Names a stack among the stacks of all homes of this machine."""
    return f"{stack_id}@{home()}"


def leftovers(tag: str) -> list[psutil.Process]:
    """Processes that carry the tag of a stack, this one excepted."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            if process.environ().get(STACK_TAG) == tag and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def kill_leftovers(tag: str) -> int:
    """Kill every process of a stack whose keeper is gone.

    Returns:
        How many there were.
    """
    found = leftovers(tag)
    for process in found:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(found, timeout=5)
    return len(found)
