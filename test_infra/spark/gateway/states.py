"""States of a Spark job: the table of legal transitions, and the transition that an observation of its driver causes.

Pure functions. A terminal state is never left. An absent driver or an unknown end is never success. No job goes back to
an earlier state, except that its restart policy may queue it again after an attempt that ended.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import StrEnum

from test_infra.base.errors import TestInfraError


class JobState(StrEnum):
    """Where a Spark job stands."""

    SUBMITTED = "submitted"
    QUEUED = "queued"
    DRIVER_REQUESTED = "driver_requested"
    DRIVER_STARTED = "driver_started"
    DRIVER_READY = "driver_ready"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    SUBMISSION_FAILED = "submission_failed"
    DRIVER_START_TIMED_OUT = "driver_start_timed_out"
    READY_TIMED_OUT = "ready_timed_out"
    APPLICATION_FAILED = "application_failed"
    EVICTED = "evicted"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def terminal(self) -> bool:
        """Whether the job stays in this state for ever."""
        return not LEGAL[self]

    @property
    def waiting(self) -> bool:
        """Whether no driver was requested yet."""
        return self in {JobState.SUBMITTED, JobState.QUEUED}


_KILLED = {code: signum for signum in (signal.SIGKILL, signal.SIGTERM) for code in (-signum, 128 + signum)}
"""Exit codes of a driver that was ended from outside; Java handles SIGTERM itself and exits with 143."""

INFRASTRUCTURE = frozenset(
    {
        JobState.SUBMISSION_FAILED,
        JobState.DRIVER_START_TIMED_OUT,
        JobState.READY_TIMED_OUT,
        JobState.EVICTED,
        JobState.LOST,
    }
)
"""Failures that the application did not cause."""

_S = JobState
_ENDS = frozenset({_S.SUCCEEDED, _S.APPLICATION_FAILED, _S.EVICTED, _S.LOST})
_RUNS = _ENDS | {_S.QUEUED, _S.CANCELLING}
"""What may follow once a driver was requested: its end, a cancel, or another attempt."""

LEGAL: dict[JobState, frozenset[JobState]] = {
    _S.SUBMITTED: frozenset({_S.QUEUED, _S.DRIVER_REQUESTED, _S.SUBMISSION_FAILED, _S.CANCELLED}),
    _S.QUEUED: frozenset({_S.DRIVER_REQUESTED, _S.SUBMISSION_FAILED, _S.CANCELLED}),
    _S.DRIVER_REQUESTED: _RUNS
    | {_S.DRIVER_STARTED, _S.DRIVER_READY, _S.RUNNING, _S.SUBMISSION_FAILED, _S.DRIVER_START_TIMED_OUT},
    _S.DRIVER_STARTED: _RUNS | {_S.DRIVER_READY, _S.RUNNING, _S.READY_TIMED_OUT},
    _S.DRIVER_READY: _RUNS | {_S.RUNNING},
    _S.RUNNING: _RUNS,
    _S.CANCELLING: _ENDS | {_S.CANCELLED},
    **{end: frozenset() for end in (*_ENDS, *INFRASTRUCTURE, _S.CANCELLED)},
}
"""State -> states that may follow it."""


class IllegalTransition(TestInfraError):
    """A Spark job was to go to a state that its present one does not allow."""

    def __init__(self, old: JobState, new: JobState) -> None:
        allowed = ", ".join(sorted(LEGAL[old])) or "none, it is terminal"
        super().__init__(f"a Spark job cannot go from {old} to {new}", details={"allowed": allowed})


def check_legal(old: JobState, new: JobState) -> None:
    """Raise where the table does not allow this transition.

    Raises:
        IllegalTransition: ``new`` may not follow ``old``.
    """
    if new not in LEGAL[old]:
        raise IllegalTransition(old, new)


class DriverState(StrEnum):
    """What a backend knows of one attempt's driver."""

    UNREACHABLE = "unreachable"
    """The backend could not be asked, so nothing is known."""
    ABSENT = "absent"
    """The backend does not know this driver."""
    REFUSED = "refused"
    """The backend will never start it, for example because its image does not exist."""
    RUNNING = "running"
    ENDED = "ended"
    EVICTED = "evicted"
    """The backend took it away."""


@dataclass(frozen=True)
class Observation:
    """What a backend saw of one attempt's driver at one moment.

    Args:
        driver: its state.
        exit_code: how it ended; negative is a signal; None when nobody saw it end.
        ended_at: epoch seconds of its end; None when nobody saw it.
        driver_ready: its Spark session has answered.
        at_work: the application does its work.
        reason: why it is unreachable, refused or evicted; for people, never compared.
    """

    driver: DriverState
    exit_code: int | None = None
    ended_at: float | None = None
    driver_ready: bool = False
    at_work: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Clock:
    """Times and limits of one attempt; times are epoch seconds.

    Args:
        now: this moment.
        requested_at: when its driver was requested.
        started_at: when its driver was first seen to run; None before.
        ready_at: when its session was first seen to answer; None before.
        cancel_at: when somebody asked for its end; None when nobody did.
        driver_start_s: longest from request to process, seconds.
        ready_s: longest from process to session, seconds.
        run_s: longest from session to end, seconds; None is no limit.
    """

    now: float
    requested_at: float
    started_at: float | None = None
    ready_at: float | None = None
    cancel_at: float | None = None
    driver_start_s: float = 60.0
    ready_s: float = 180.0
    run_s: float | None = None


@dataclass(frozen=True)
class Transition:
    """A new state, and why the job came to it."""

    state: JobState
    reason: str


def next_transition(state: JobState, seen: Observation, clock: Clock) -> Transition | None:
    """The transition that an observation causes; None when it says nothing new, or nothing that the table allows."""
    if state.terminal or state.waiting:
        return None
    reached = _reached(state, seen, clock)
    return reached if reached is not None and reached.state in LEGAL[state] else None


def _reached(state: JobState, seen: Observation, clock: Clock) -> Transition | None:
    match seen.driver:
        case DriverState.UNREACHABLE:
            return None
        case DriverState.REFUSED:
            return Transition(_S.CANCELLED if state is _S.CANCELLING else _S.SUBMISSION_FAILED, seen.reason)
        case DriverState.ABSENT:
            return _absent(state, clock)
        case DriverState.ENDED | DriverState.EVICTED:
            return _ended(state, seen, clock)
        case DriverState.RUNNING:
            return None if state is _S.CANCELLING else _timed_out(seen, clock) or _running(seen)


def _running(seen: Observation) -> Transition:
    if seen.at_work:
        return Transition(_S.RUNNING, "the application works")
    if seen.driver_ready:
        return Transition(_S.DRIVER_READY, "its Spark session answered")
    return Transition(_S.DRIVER_STARTED, "its process runs")


def _absent(state: JobState, clock: Clock) -> Transition | None:
    if clock.started_at is not None or state not in {_S.DRIVER_REQUESTED, _S.CANCELLING}:
        return Transition(_S.LOST, "the backend does not know its driver any more")
    if state is _S.CANCELLING:
        return Transition(_S.CANCELLED, "cancelled before its driver started") if _start_is_late(clock) else None
    # The request may still be on its way: its reply can be lost while the driver starts.
    if _start_is_late(clock):
        return Transition(_S.DRIVER_START_TIMED_OUT, f"no driver process within {clock.driver_start_s:g} s")
    return None


def _start_is_late(clock: Clock) -> bool:
    return clock.now - clock.requested_at > clock.driver_start_s


def _timed_out(seen: Observation, clock: Clock) -> Transition | None:
    ready = seen.driver_ready or seen.at_work or clock.ready_at is not None
    if not ready and clock.started_at is not None and clock.now - clock.started_at > clock.ready_s:
        return Transition(_S.READY_TIMED_OUT, f"no Spark session within {clock.ready_s:g} s of its start")
    if clock.run_s is not None and clock.ready_at is not None and clock.now - clock.ready_at > clock.run_s:
        return Transition(_S.APPLICATION_FAILED, f"it ran longer than {clock.run_s:g} s")
    return None


def _ended(state: JobState, seen: Observation, clock: Clock) -> Transition:
    before_cancel = clock.cancel_at is None or (seen.ended_at is not None and seen.ended_at < clock.cancel_at)
    if state is _S.CANCELLING and not before_cancel:
        return Transition(_S.CANCELLED, "it was asked to end, and ended")
    if seen.exit_code is None:
        return Transition(_S.LOST, "it is gone, and nobody saw how it ended")
    if seen.driver is DriverState.EVICTED:
        return Transition(_S.EVICTED, seen.reason)
    if seen.exit_code in _KILLED:
        name = _KILLED[seen.exit_code].name
        return Transition(_S.EVICTED, f"its driver was killed by {name}, which this gateway did not send")
    if seen.exit_code == 0:
        return Transition(_S.SUCCEEDED, "exit code 0")
    return Transition(_S.APPLICATION_FAILED, f"exit code {seen.exit_code}")
