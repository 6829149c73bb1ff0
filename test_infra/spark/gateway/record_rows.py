"""Rows of the record, read as executions and attempts, and the statements that change them.

Every function takes a connection; those that write expect the caller's transaction.
"""

from __future__ import annotations

import sqlite3

from test_infra.base.errors import UsageError
from test_infra.spark.gateway.execution import AttemptTimes, Event, Execution
from test_infra.spark.gateway.states import JobState, Transition, check_legal
from test_infra.spark.job.spec import JobSpec

_TIMES = {
    JobState.DRIVER_STARTED: ("started_at",),
    JobState.DRIVER_READY: ("started_at", "ready_at"),
    JobState.RUNNING: ("started_at", "ready_at", "running_at"),
}
"""Which times of an attempt a state sets, where they are not set yet."""


class UnknownJob(UsageError):
    """No Spark job has this execution id."""


def job(database: sqlite3.Connection, execution_id: str) -> Execution:
    """One execution.

    Raises:
        UnknownJob: there is none of this id.
    """
    row = database.execute("SELECT * FROM job WHERE execution_id = ?", [execution_id]).fetchone()
    if row is None:
        raise UnknownJob(f"no Spark job {execution_id!r}", hint="list the jobs: GET /api/v1/jobs, test-infra jobs list")
    return execution(row)


def jobs_ahead(database: sqlite3.Connection, waiting: Execution, now: float) -> int:
    """How many other jobs have a driver, or are older than this one and due."""
    not_started = (JobState.SUBMITTED, JobState.QUEUED)
    ended = [state for state in JobState if state.terminal]
    marks = ", ".join("?" for _ in ended)
    query = (
        f"SELECT count(*) FROM job WHERE execution_id <> ? AND state NOT IN ({marks})"  # noqa: S608 - marks only
        " AND (state NOT IN (?, ?) OR (submitted_at < ? AND coalesce(due_at, 0) <= ?))"
    )
    values = [waiting.execution_id, *ended, *not_started, waiting.submitted_at, now]
    return int(database.execute(query, values).fetchone()[0])


def insert_job(database: sqlite3.Connection, added: Execution, backend: str) -> None:
    """Add a submission, with the first event of its history."""
    spec = added.spec
    database.execute(
        "INSERT INTO job (execution_id, idempotency_key, fingerprint, spec, name, team, backend, state, attempt,"
        " submitted_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            added.execution_id, added.idempotency_key, spec.fingerprint, spec.model_dump_json(), spec.name, spec.team,
            backend, added.state, added.attempt, added.submitted_at,
        ],
    )  # fmt: skip
    event = Event(added.state, added.submitted_at, added.attempt, f"for team {spec.team}")
    insert_event(database, added.execution_id, event)


def insert_attempt(database: sqlite3.Connection, job: Execution, requested_at: float, ui_port: int | None) -> None:
    """Add the attempt whose driver is about to be requested."""
    database.execute(
        "INSERT INTO attempt (execution_id, number, requested_at, ui_port) VALUES (?, ?, ?, ?)",
        [job.execution_id, job.attempt, requested_at, ui_port],
    )


def insert_event(database: sqlite3.Connection, execution_id: str, event: Event) -> None:
    """Add to a job's history."""
    database.execute(
        "INSERT INTO history (execution_id, state, at, attempt, reason) VALUES (?, ?, ?, ?, ?)",
        [execution_id, event.state, event.at, event.attempt, event.reason],
    )


def set_state(database: sqlite3.Connection, job: Execution, new: Transition, now: float) -> None:
    """Write a new state with its event, and the times of the attempt that it sets.

    Raises:
        IllegalTransition: the job's state does not allow it.
    """
    check_legal(job.state, new.state)
    database.execute("UPDATE job SET state = ? WHERE execution_id = ?", [new.state, job.execution_id])
    for column in _TIMES.get(new.state, ()):
        database.execute(
            f"UPDATE attempt SET {column} = coalesce({column}, ?) WHERE execution_id = ? AND number = ?",  # noqa: S608 - our names
            [now, job.execution_id, job.attempt],
        )
    insert_event(database, job.execution_id, Event(new.state, now, job.attempt, new.reason))


def end_job(
    database: sqlite3.Connection, job: Execution, end: Transition, ended_at: float, exit_code: int | None, error: str
) -> None:
    """Write how a job ended, and its last attempt with it."""
    fault = error or ("" if end.state in {JobState.SUCCEEDED, JobState.CANCELLED} else end.reason)
    database.execute(
        "UPDATE job SET ended_at = ?, exit_code = coalesce(?, exit_code), error = ?, due_at = NULL"
        " WHERE execution_id = ?",
        [ended_at, exit_code, fault, job.execution_id],
    )
    end_attempt(database, job, end, ended_at, exit_code)


def end_attempt(
    database: sqlite3.Connection, job: Execution, end: Transition, ended_at: float, exit_code: int | None
) -> None:
    """Write how the current attempt of a job ended."""
    database.execute(
        "UPDATE attempt SET ended_at = ?, exit_code = ?, outcome = ?, reason = ? WHERE execution_id = ? AND number = ?",
        [ended_at, exit_code, end.state, end.reason, job.execution_id, job.attempt],
    )


def attempt(row: sqlite3.Row) -> AttemptTimes:
    """A row of the table ``attempt``."""
    return AttemptTimes(
        number=row["number"],
        requested_at=row["requested_at"],
        started_at=row["started_at"],
        ready_at=row["ready_at"],
        running_at=row["running_at"],
        ended_at=row["ended_at"],
        exit_code=row["exit_code"],
        outcome=None if row["outcome"] is None else JobState(row["outcome"]),
        reason=row["reason"],
        ui_port=row["ui_port"],
    )


def execution(row: sqlite3.Row) -> Execution:
    """A row of the table ``job``."""
    return Execution(
        execution_id=row["execution_id"],
        idempotency_key=row["idempotency_key"],
        spec=JobSpec.model_validate_json(row["spec"]),
        state=JobState(row["state"]),
        submitted_at=row["submitted_at"],
        ended_at=row["ended_at"],
        exit_code=row["exit_code"],
        error=row["error"] or "",
        attempt=row["attempt"],
        due_at=row["due_at"],
        cancel_at=row["cancel_at"],
        removed_at=row["removed_at"],
    )
