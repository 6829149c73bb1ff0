"""States of a Spark job: one table of legal transitions, and what an observation makes of a state.

Pure. Terminal states never leave; not found and unknown are never success; nothing goes back, except that an attempt
which ended may be queued again by the job's restart policy.
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
        """Whether the job can never be in another state."""
        return not LEGAL[self]

    @property
    def waiting(self) -> bool:
        """Whether no driver was asked for yet."""
        return self in {JobState.SUBMITTED, JobState.QUEUED}


_KILLED = {code: signum for signum in (signal.SIGKILL, signal.SIGTERM) for code in (-signum, 128 + signum)}
"""Exit codes of a driver that was ended from outside; Java, which handles SIGTERM, tells it as 143."""

INFRASTRUCTURE = frozenset(
    {
        JobState.SUBMISSION_FAILED,
        JobState.DRIVER_START_TIMED_OUT,
        JobState.READY_TIMED_OUT,
        JobState.EVICTED,
        JobState.LOST,
    }
)
"""Failures that are not the application's."""

_S = JobState
_ENDS = frozenset({_S.SUCCEEDED, _S.APPLICATION_FAILED, _S.EVICTED, _S.LOST})
_RUNS = _ENDS | {_S.QUEUED, _S.CANCELLING}
"""What follows a driver's process: its end, or another attempt."""

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
    """What a backend saw of one attempt's driver at one moment.

    Args:
        found: whether the backend knows the driver at all.
        running: whether it runs.
        exit_code: how it ended; negative is a signal; None when nobody saw it end.
        ended_at: epoch seconds of its end; None when nobody saw it.
        driver_ready: its Spark session has answered.
        at_work: the application does its work.
        evicted: why the backend took it away; empty when it did not.
        refused: why the backend will never start it (an image that cannot be had); empty when it may.
        unreachable: why the backend could not be asked; nothing else is known then.
    """

    found: bool
    running: bool = False
    exit_code: int | None = None
    ended_at: float | None = None
    driver_ready: bool = False
    at_work: bool = False
    evicted: str = ""
    refused: str = ""
    unreachable: str = ""


@dataclass(frozen=True)
class Clock:
    """Times of one attempt; all but the limits are epoch seconds.

    Args:
        now: this moment.
        requested_at: when its driver was requested.
        started_at: when its driver was first seen to run; None before.
        ready_at: when its session was first seen to answer; None before.
        cancel_at: when somebody asked for its end; None when nobody did.
        driver_start_s: longest from request to process.
        ready_s: longest from process to session.
        run_s: longest from session to end; None is for ever.
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
class Step:
    """A new state, with its reason."""

    state: JobState
    reason: str


def observed(state: JobState, seen: Observation, clock: Clock) -> Step | None:
    """The step that an observation calls for; None when it says nothing new, or nothing that the table allows."""
    if state.terminal or state.waiting or seen.unreachable:
        return None
    step = _reached(state, seen, clock)
    return step if step is not None and step.state in LEGAL[state] else None


def _reached(state: JobState, seen: Observation, clock: Clock) -> Step | None:
    if seen.refused:
        return Step(_S.CANCELLED if state is _S.CANCELLING else _S.SUBMISSION_FAILED, seen.refused)
    if not seen.found:
        return _not_found(state, clock)
    if not seen.running:
        return _ended(state, seen, clock)
    return None if state is _S.CANCELLING else _too_late(seen, clock) or _at(seen)


def _at(seen: Observation) -> Step:
    if seen.at_work:
        return Step(_S.RUNNING, "the application works")
    if seen.driver_ready:
        return Step(_S.DRIVER_READY, "its Spark session answered")
    return Step(_S.DRIVER_STARTED, "its process runs")


def _not_found(state: JobState, clock: Clock) -> Step | None:
    if clock.started_at is not None or state not in {_S.DRIVER_REQUESTED, _S.CANCELLING}:
        return Step(_S.LOST, "the backend does not know its driver any more")
    if state is _S.CANCELLING:
        return Step(_S.CANCELLED, "cancelled before its driver started") if _start_is_late(clock) else None
    # The request may still be on its way: its reply can be lost, and the driver starts nevertheless.
    if _start_is_late(clock):
        return Step(_S.DRIVER_START_TIMED_OUT, f"no driver process within {clock.driver_start_s:g} s")
    return None


def _start_is_late(clock: Clock) -> bool:
    return clock.now - clock.requested_at > clock.driver_start_s


def _too_late(seen: Observation, clock: Clock) -> Step | None:
    ready = seen.driver_ready or seen.at_work or clock.ready_at is not None
    if not ready and clock.started_at is not None and clock.now - clock.started_at > clock.ready_s:
        return Step(_S.READY_TIMED_OUT, f"no Spark session within {clock.ready_s:g} s of its start")
    if clock.run_s is not None and clock.ready_at is not None and clock.now - clock.ready_at > clock.run_s:
        return Step(_S.APPLICATION_FAILED, f"it ran longer than {clock.run_s:g} s")
    return None


def _ended(state: JobState, seen: Observation, clock: Clock) -> Step:
    own_end = clock.cancel_at is None or (seen.ended_at is not None and seen.ended_at < clock.cancel_at)
    if state is _S.CANCELLING and not own_end:
        return Step(_S.CANCELLED, "it was asked to end, and ended")
    if seen.exit_code is None:
        return Step(_S.LOST, "it is gone, and nobody saw how it ended")
    if seen.evicted:
        return Step(_S.EVICTED, seen.evicted)
    if seen.exit_code in _KILLED:
        name = _KILLED[seen.exit_code].name
        return Step(_S.EVICTED, f"its driver was killed by {name}, which this gateway did not send")
    if seen.exit_code == 0:
        return Step(_S.SUCCEEDED, "exit code 0")
    return Step(_S.APPLICATION_FAILED, f"exit code {seen.exit_code}")
