"""The end of a stack that waits for nobody."""

from __future__ import annotations

import os
import signal


def end_stack_at_once() -> None:
    """Kill the keeper of this checkout's stack: its namespace dies with it; without one, every tagged process."""
    from test_infra.stack import StackNotRunning, attach
    from test_infra.stack.sweep import kill_leftovers, stack_tag

    try:
        stack = attach()
    except StackNotRunning:
        return
    os.kill(stack.keeper.pid, signal.SIGKILL)
    kill_leftovers(stack_tag(stack.id))
    stack.remove_from_backend()
