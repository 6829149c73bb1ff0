"""When a process that ended is started again: a pure function of how often it ended, and when."""

from __future__ import annotations

from dataclasses import dataclass

from test_infra.runtime.process import Restart

WINDOW_S = 60.0
MOST_IN_WINDOW = 5
FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 5.0


@dataclass(frozen=True)
class Again:
    """Start it again after ``delay_s``."""

    delay_s: float


@dataclass(frozen=True)
class Enough:
    """Leave it ended, for ``reason``."""

    reason: str
    gave_up: bool


def decide(policy: Restart, exit_code: int, ended_at: list[float]) -> Again | Enough:
    """What follows an end that nobody asked for.

    Args:
        policy: the process's restart policy.
        exit_code: how it ended; negative is the signal.
        ended_at: moments of all its unasked ends so far, this one last, seconds of one clock.

    Returns:
        `Again` with a delay that doubles with each end of the last minute, or `Enough` after five of them.
    """
    if policy is Restart.NEVER or (policy is Restart.ON_FAILURE and exit_code == 0):
        return Enough("its policy", gave_up=False)
    recent = [moment for moment in ended_at if ended_at[-1] - moment < WINDOW_S]
    if len(recent) > MOST_IN_WINDOW:
        return Enough(f"it ended {len(recent)} times within {WINDOW_S:.0f} s", gave_up=True)
    return Again(min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** (len(recent) - 1)))
