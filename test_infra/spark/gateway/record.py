"""The record of Spark jobs: SQLite, so that it survives a restart and many processes may use it at once."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from test_infra.base.errors import InfrastructureError, UsageError
from test_infra.spark.gateway import record_schema as schema
from test_infra.spark.gateway.execution import AttemptTimes, Event, Execution
from test_infra.spark.gateway.restarts import Failures
from test_infra.spark.gateway.states import JobState, Step, transition
from test_infra.spark.job.spec import JobSpec

_TIMES = {
    JobState.DRIVER_STARTED: ("started_at",),
    JobState.DRIVER_READY: ("started_at", "ready_at"),
    JobState.RUNNING: ("started_at", "ready_at", "running_at"),
}
"""Which times of an attempt a state sets, where they are not set yet."""


class UnknownJob(UsageError):
    """No Spark job has this execution id."""


class KeyConflict(UsageError):
    """An idempotency key was used again for another spec."""


class StaleAttempt(UsageError):
    """Another process has moved the job, or its next attempt has begun: what was to be recorded is late."""


class RecordUnusable(InfrastructureError):
    """The record cannot be read or written now: a full disk, most likely. What was not recorded did not happen."""


class JobRecord:
    """Executions, their attempts and their history in one SQLite file of mode 0600.

    Args:
        path: the file; made when missing, brought up to date when older.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        with self._reading() as database:
            # Set once: it stays with the file, and to set it again would wait for every reader.
            database.execute("PRAGMA journal_mode = WAL")
            if schema.current(database):
                return
        with self._writing() as database:
            schema.migrate(database)

    def add(self, execution_id: str, idempotency_key: str, spec: JobSpec, *, backend: str = "local") -> Execution:
        """Record a submission, or return the one that this key already made.

        Raises:
            KeyConflict: the key belongs to another spec.
        """
        with self._writing() as database:
            known = database.execute("SELECT * FROM job WHERE idempotency_key = ?", [idempotency_key]).fetchone()
            if known is None:
                now, state = time.time(), JobState.SUBMITTED
                database.execute(
                    "INSERT INTO job (execution_id, idempotency_key, fingerprint, spec, state, submitted_at, name,"
                    " team, backend) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        execution_id, idempotency_key, spec.fingerprint, spec.model_dump_json(), state, now,
                        spec.name, spec.team, backend,
                    ],
                )  # fmt: skip
                _remember(database, execution_id, Event(state, now, 1, f"for team {spec.team}"))
                return Execution(execution_id, idempotency_key, spec, state, now)
        if known["fingerprint"] != spec.fingerprint:
            raise KeyConflict(
                f"idempotency key {idempotency_key!r} belongs to another job",
                details={"execution": known["execution_id"]},
                hint="use a new key for a new spec",
            )
        return _execution(known)

    def get(self, execution_id: str) -> Execution:
        """One execution.

        Raises:
            UnknownJob: there is none of this id.
        """
        with self._reading() as database:
            return _execution(_row(database, execution_id))

    def all(
        self,
        *,
        name: str | None = None,
        team: str | None = None,
        state: JobState | None = None,
        limit: int | None = None,
        alive: bool = False,
        kept: bool = False,
    ) -> list[Execution]:
        """Executions, oldest first.

        Args:
            name: only of this job.
            team: only of this team.
            state: only in this state.
            limit: only the newest so many of those.
            alive: only those that have not ended.
            kept: only those that ended and whose files are there.
        """
        wanted = {"name": name, "team": team, "state": state}
        given = {column: value for column, value in wanted.items() if value is not None}
        where = [f"{column} = ?" for column in given]
        ends = ", ".join(f"'{one}'" for one in JobState if one.terminal)
        if alive:
            where.append(f"state NOT IN ({ends})")
        if kept:
            where.append(f"state IN ({ends}) AND removed_at IS NULL")
        query = (
            f"SELECT * FROM job WHERE {' AND '.join(where) or 'TRUE'}"  # noqa: S608 - our own names only
            " ORDER BY submitted_at DESC, rowid DESC LIMIT ?"
        )
        with self._reading() as database:
            rows = database.execute(query, [*given.values(), -1 if limit is None else limit]).fetchall()
        return [_execution(row) for row in reversed(rows)]

    def claim(self, execution_id: str, *, most_active: int | None, ui_port: int | None = None) -> bool:
        """Take a waiting job to ``driver_requested``: of any number of callers one gets it, and starts its driver.

        Args:
            execution_id: a job that is submitted or queued.
            most_active: how many jobs may have a driver at once, older waiting jobs first; None is any number.
            ui_port: port of its Spark UI.

        Returns:
            Whether it is the caller's. If not, it waits for its turn (queued), or somebody else has it.
        """
        now = time.time()
        with self._writing() as database:
            job = _execution(_row(database, execution_id))
            if not job.state.waiting or (job.due_at is not None and job.due_at > now):
                return False
            if most_active is not None and (ahead := _ahead(database, job, now)) >= most_active:
                if job.state is JobState.SUBMITTED:
                    reason = f"{ahead} jobs run or wait before it, {most_active} may run at once"
                    _move(database, job, Step(JobState.QUEUED, reason), now)
                return False
            _move(database, job, Step(JobState.DRIVER_REQUESTED, ""), now)
            database.execute(
                "INSERT INTO attempt (execution_id, number, requested_at, ui_port) VALUES (?, ?, ?, ?)",
                [execution_id, job.attempt, now, ui_port],
            )
        return True

    def move(
        self,
        execution_id: str,
        step: Step,
        *,
        attempt: int | None = None,
        exit_code: int | None = None,
        ended_at: float | None = None,
        error: str = "",
    ) -> Execution:
        """Record a new state; the state that another process recorded meanwhile counts.

        Args:
            execution_id: the job.
            step: the state and its reason.
            attempt: the attempt that was observed; None is the current one.
            exit_code: of the driver.
            ended_at: epoch seconds by the driver's keeper; None is now.
            error: what went wrong.

        Raises:
            UnknownJob: there is none of this id.
            IllegalTransition: the recorded state does not lead there.
            StaleAttempt: the attempt is not the current one.
        """
        now = time.time()
        with self._writing() as database:
            job = _execution(_row(database, execution_id))
            if attempt is not None and attempt != job.attempt:
                raise StaleAttempt(f"attempt {attempt} of Spark job {execution_id} is over, {job.attempt} is on")
            _move(database, job, step, now)
            if step.state.terminal:
                _end(database, job, step, ended_at or now, exit_code, error)
        return self.get(execution_id)

    def again(
        self,
        execution_id: str,
        step: Step,
        *,
        attempt: int,
        pause_s: float,
        exit_code: int | None,
        ended_at: float | None,
    ) -> Execution:
        """Record the end of an attempt, and queue the next one.

        Args:
            execution_id: the job.
            step: how the attempt ended.
            attempt: which one ended.
            pause_s: before the next one.
            exit_code: of the driver.
            ended_at: epoch seconds by the driver's keeper; None is now.

        Raises:
            IllegalTransition: the recorded state does not lead there.
            StaleAttempt: the attempt is not the current one.
        """
        now = time.time()
        with self._writing() as database:
            job = _execution(_row(database, execution_id))
            if attempt != job.attempt:
                raise StaleAttempt(f"attempt {attempt} of Spark job {execution_id} is over, {job.attempt} is on")
            transition(job.state, step.state)
            _close(database, job, step, ended_at or now, exit_code)
            reason = f"attempt {attempt} {step.state}: {step.reason}; the next one in {pause_s:g} s"
            _move(database, job, Step(JobState.QUEUED, reason), now)
            database.execute(
                "UPDATE job SET attempt = ?, due_at = ?, exit_code = ? WHERE execution_id = ?",
                [attempt + 1, now + pause_s, exit_code, execution_id],
            )
        return self.get(execution_id)

    def ask_cancel(self, execution_id: str, by: str) -> Execution:
        """Record that a job's end is asked for: one that waits is cancelled, one with a driver is cancelling.

        Raises:
            UnknownJob: there is none of this id.
            IllegalTransition: it has ended.
        """
        now = time.time()
        with self._writing() as database:
            job = _execution(_row(database, execution_id))
            if job.state is JobState.CANCELLING:
                return job
            new = JobState.CANCELLED if job.state.waiting else JobState.CANCELLING
            _move(database, job, Step(new, f"asked by team {by}"), now)
            database.execute("UPDATE job SET cancel_at = ? WHERE execution_id = ?", [now, execution_id])
            if new.terminal:
                database.execute("UPDATE job SET ended_at = ? WHERE execution_id = ?", [now, execution_id])
        return self.get(execution_id)

    def note(self, execution_id: str, reason: str) -> None:
        """Add to a job's history what does not change its state."""
        with self._writing() as database:
            job = _execution(_row(database, execution_id))
            _remember(database, execution_id, Event(job.state, time.time(), job.attempt, reason))

    def removed(self, execution_id: str) -> None:
        """Record that a job's files are removed."""
        with self._writing() as database:
            database.execute("UPDATE job SET removed_at = ? WHERE execution_id = ?", [time.time(), execution_id])

    def history(self, execution_id: str) -> list[Event]:
        """What happened to one execution, oldest first."""
        query = "SELECT state, at, attempt, reason FROM history WHERE execution_id = ? ORDER BY rowid"
        with self._reading() as database:
            return [
                Event(JobState(row["state"]), row["at"], row["attempt"], row["reason"])
                for row in database.execute(query, [execution_id])
            ]

    def attempts(self, execution_id: str) -> list[AttemptTimes]:
        """The attempts of one execution, the first one first."""
        with self._reading() as database:
            return [_attempt(row) for row in _attempt_rows(database, execution_id)]

    def current_attempts(self, execution_ids: list[str]) -> dict[str, AttemptTimes]:
        """The attempt that is on, by execution; none where no driver was asked for yet."""
        marks = ", ".join("?" for _ in execution_ids)
        query = (
            "SELECT attempt.* FROM attempt JOIN job ON job.execution_id = attempt.execution_id"  # noqa: S608 - marks only
            f" AND job.attempt = attempt.number WHERE job.execution_id IN ({marks})"
        )
        with self._reading() as database:
            return {row["execution_id"]: _attempt(row) for row in database.execute(query, execution_ids)}

    def failures(self, execution_id: str) -> Failures:
        """How often attempts of one execution failed so far, by class."""
        failures = Failures()
        for attempt in self.attempts(execution_id):
            if attempt.outcome is not None:
                failures = failures.and_one(attempt.outcome)
        return failures

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=30.0, isolation_level=None)) as database:
                database.row_factory = sqlite3.Row
                yield database
        except sqlite3.OperationalError as error:
            raise RecordUnusable(
                "the record of Spark jobs cannot be used",
                details={"file": str(self._path), "seen": str(error)},
                hint="make room on its disk; the jobs go on, and nothing that was recorded is lost",
            ) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                if database.in_transaction:  # a full disk has ended it already
                    database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")


def _ahead(database: sqlite3.Connection, job: Execution, now: float) -> int:
    """Jobs that have a driver, and older ones whose turn has come."""
    waiting = (JobState.SUBMITTED, JobState.QUEUED)
    ended = [state for state in JobState if state.terminal]
    marks = ", ".join("?" for _ in ended)
    query = (
        f"SELECT count(*) FROM job WHERE execution_id <> ? AND state NOT IN ({marks})"  # noqa: S608 - marks only
        " AND (state NOT IN (?, ?) OR (submitted_at < ? AND coalesce(due_at, 0) <= ?))"
    )
    row = database.execute(query, [job.execution_id, *ended, *waiting, job.submitted_at, now]).fetchone()
    return int(row[0])


def _move(database: sqlite3.Connection, job: Execution, step: Step, now: float) -> None:
    transition(job.state, step.state)
    database.execute("UPDATE job SET state = ? WHERE execution_id = ?", [step.state, job.execution_id])
    for column in _TIMES.get(step.state, ()):
        database.execute(
            f"UPDATE attempt SET {column} = coalesce({column}, ?) WHERE execution_id = ? AND number = ?",  # noqa: S608 - our names
            [now, job.execution_id, job.attempt],
        )
    _remember(database, job.execution_id, Event(step.state, now, job.attempt, step.reason))


def _end(
    database: sqlite3.Connection, job: Execution, step: Step, ended_at: float, exit_code: int | None, error: str
) -> None:
    said = error or ("" if step.state in {JobState.SUCCEEDED, JobState.CANCELLED} else step.reason)
    database.execute(
        "UPDATE job SET ended_at = ?, exit_code = coalesce(?, exit_code), error = ?, due_at = NULL"
        " WHERE execution_id = ?",
        [ended_at, exit_code, said, job.execution_id],
    )
    _close(database, job, step, ended_at, exit_code)


def _close(database: sqlite3.Connection, job: Execution, step: Step, ended_at: float, exit_code: int | None) -> None:
    database.execute(
        "UPDATE attempt SET ended_at = ?, exit_code = ?, outcome = ?, reason = ? WHERE execution_id = ? AND number = ?",
        [ended_at, exit_code, step.state, step.reason, job.execution_id, job.attempt],
    )


def _remember(database: sqlite3.Connection, execution_id: str, event: Event) -> None:
    database.execute(
        "INSERT INTO history (execution_id, state, at, attempt, reason) VALUES (?, ?, ?, ?, ?)",
        [execution_id, event.state, event.at, event.attempt, event.reason],
    )


def _row(database: sqlite3.Connection, execution_id: str) -> sqlite3.Row:
    row = database.execute("SELECT * FROM job WHERE execution_id = ?", [execution_id]).fetchone()
    if row is None:
        raise UnknownJob(f"no Spark job {execution_id!r}", hint="list the jobs: GET /api/v1/jobs, test-infra jobs list")
    assert isinstance(row, sqlite3.Row)
    return row


def _attempt_rows(database: sqlite3.Connection, execution_id: str) -> list[sqlite3.Row]:
    return database.execute("SELECT * FROM attempt WHERE execution_id = ? ORDER BY number", [execution_id]).fetchall()


def _attempt(row: sqlite3.Row) -> AttemptTimes:
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


def _execution(row: sqlite3.Row) -> Execution:
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
