"""States of a Spark job: one table of legal transitions, and what an observation makes of a state.

Pure. Terminal states never leave; not found and unknown are never success.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from test_infra.base.errors import TestInfraError


class JobState(StrEnum):
    """Where a Spark job stands."""

    SUBMITTED = "submitted"
    STARTING = "starting"
    DRIVER_READY = "driver_ready"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUBMISSION_FAILED = "submission_failed"
    START_TIMED_OUT = "start_timed_out"
    LOST = "lost"

    @property
    def terminal(self) -> bool:
        """Whether the job can never be in another state."""
        return not LEGAL[self]


_ENDS = {JobState.SUCCEEDED, JobState.FAILED, JobState.LOST}

LEGAL: dict[JobState, frozenset[JobState]] = {
    JobState.SUBMITTED: frozenset(
        {
            *_ENDS,
            JobState.STARTING,
            JobState.DRIVER_READY,
            JobState.RUNNING,
            JobState.CANCELLING,
            JobState.SUBMISSION_FAILED,
            JobState.START_TIMED_OUT,
        }
    ),
    JobState.STARTING: frozenset(
        {*_ENDS, JobState.DRIVER_READY, JobState.RUNNING, JobState.CANCELLING, JobState.START_TIMED_OUT}
    ),
    JobState.DRIVER_READY: frozenset({*_ENDS, JobState.RUNNING, JobState.CANCELLING}),
    JobState.RUNNING: frozenset({*_ENDS, JobState.CANCELLING}),
    JobState.CANCELLING: frozenset({JobState.CANCELLED, JobState.FAILED, JobState.LOST}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
    JobState.SUBMISSION_FAILED: frozenset(),
    JobState.START_TIMED_OUT: frozenset(),
    JobState.LOST: frozenset(),
}
"""The one table of legal transitions."""


class IllegalTransition(TestInfraError):
    """A Spark job was to go where its state does not lead."""

    def __init__(self, old: JobState, new: JobState) -> None:
        allowed = ", ".join(sorted(LEGAL[old])) or "none, it is terminal"
        super().__init__(f"a Spark job cannot go from {old} to {new}", details={"allowed": allowed})


def transition(old: JobState, new: JobState) -> JobState:
    """The new state.

    Raises:
        IllegalTransition: the table does not lead from ``old`` to ``new``.
    """
    if new not in LEGAL[old]:
        raise IllegalTransition(old, new)
    return new


@dataclass(frozen=True)
class Observation:
    """What was seen of a job's driver at one moment.

    Args:
        found: whether the backend knows the process at all.
        running: whether the process runs.
        exit_code: how it ended; None when nobody saw it end.
        driver_ready: the driver's session has answered.
        at_work: the application has said that it does its work.
        age_s: seconds since the submission.
    """

    found: bool
    running: bool = False
    exit_code: int | None = None
    driver_ready: bool = False
    at_work: bool = False
    age_s: float = 0.0


def observed(state: JobState, seen: Observation, *, start_timeout_s: float) -> JobState:
    """The state after an observation; the same one when the observation says nothing new."""
    if state.terminal:
        return state
    reached = _reached(state, seen, start_timeout_s)
    return reached if reached in LEGAL[state] else state


def _reached(state: JobState, seen: Observation, start_timeout_s: float) -> JobState:
    if not seen.found:
        return JobState.LOST
    if not seen.running:
        return _ended(state, seen.exit_code)
    if state is JobState.CANCELLING:
        return state
    if seen.at_work:
        return JobState.RUNNING
    if seen.driver_ready:
        return JobState.DRIVER_READY
    return JobState.START_TIMED_OUT if seen.age_s > start_timeout_s else JobState.STARTING


def _ended(state: JobState, exit_code: int | None) -> JobState:
    if state is JobState.CANCELLING:
        return JobState.CANCELLED
    if exit_code is None:
        return JobState.LOST
    return JobState.SUCCEEDED if exit_code == 0 else JobState.FAILED
