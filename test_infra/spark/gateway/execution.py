"""What the record holds of a Spark job: its execution, its attempts, its history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from test_infra.spark.gateway.states import JobState
from test_infra.spark.job.spec import JobSpec


@dataclass(frozen=True)
class Execution:
    """One submission of a Spark job.

    Args:
        execution_id: unique.
        idempotency_key: the caller's key; the same key and spec is the same execution.
        spec: what was submitted.
        state: last recorded state.
        submitted_at: epoch seconds.
        ended_at: epoch seconds; None while it is not terminal.
        exit_code: of the driver; None when it has none.
        error: what went wrong, for people; empty when nothing did.
        attempt: number of the current or last attempt; 1 is the first.
        due_at: epoch seconds before which a queued job is not started; None when it may start at once.
        cancel_at: epoch seconds of the request to cancel it; None when there was none.
        removed_at: epoch seconds when its files were removed; None while they are kept.
    """

    execution_id: str
    idempotency_key: str
    spec: JobSpec
    state: JobState
    submitted_at: float
    ended_at: float | None = None
    exit_code: int | None = None
    error: str = ""
    attempt: int = 1
    due_at: float | None = None
    cancel_at: float | None = None
    removed_at: float | None = None

    @property
    def succeeded(self) -> bool:
        """Whether it ended with exit code 0."""
        return self.state is JobState.SUCCEEDED


@dataclass(frozen=True)
class AttemptTimes:
    """One attempt of an execution; times are epoch seconds, None where it did not happen or was not seen.

    Args:
        number: 1 is the first.
        requested_at: its driver was requested.
        started_at: its process was first seen to run.
        ready_at: its Spark session was first seen to answer.
        running_at: its application was first seen to work.
        ended_at: its end, by the clock of the process that waited for it where there was one.
        exit_code: of the driver.
        outcome: the terminal state that the job has, or would have had without another attempt.
        reason: of the outcome.
        ui_port: port of Spark's UI on loopback.
    """

    number: int
    requested_at: float
    started_at: float | None = None
    ready_at: float | None = None
    running_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    outcome: JobState | None = None
    reason: str = ""
    ui_port: int | None = None


@dataclass(frozen=True)
class Event:
    """One entry of a job's history.

    Args:
        state: the job's new state.
        at: epoch seconds.
        attempt: number of the attempt.
        reason: why, for people.
    """

    state: JobState
    at: float
    attempt: int
    reason: str


@dataclass(frozen=True)
class Submission:
    """The answer to a submit.

    Args:
        execution: the job.
        created: whether this submit made it; False when an earlier one with the same key did.
    """

    execution: Execution
    created: bool


def summary(execution: Execution) -> dict[str, Any]:
    """The fields of an execution that a list shows, ready for JSON."""
    spec = execution.spec
    return {
        "execution_id": execution.execution_id,
        "name": spec.name,
        "team": spec.team,
        "owner": spec.owner,
        "user": spec.user,
        "type": str(spec.type),
        "labels": spec.labels,
        "state": str(execution.state),
        "submitted_at": execution.submitted_at,
        "ended_at": execution.ended_at,
        "exit_code": execution.exit_code,
        "error": execution.error,
        "attempt": execution.attempt,
        "logs_kept": execution.removed_at is None,
    }
