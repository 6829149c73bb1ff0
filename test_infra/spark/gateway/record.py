"""The record of Spark jobs: SQLite, so that it survives a restart and many processes may use it at once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from test_infra.base.errors import UsageError
from test_infra.spark.gateway import record_rows as rows
from test_infra.spark.gateway.execution import AttemptTimes, Event, Execution, Submission
from test_infra.spark.gateway.record_file import RecordFile
from test_infra.spark.gateway.restarts import Failures
from test_infra.spark.gateway.states import JobState, Transition, check_legal
from test_infra.spark.job.spec import JobSpec

_ENDED = ", ".join(f"'{state}'" for state in JobState if state.terminal)


class KeyConflict(UsageError):
    """An idempotency key was used again for another spec."""


class StaleAttempt(UsageError):
    """What was to be recorded is about an attempt that is over."""


class JobRecord:
    """Executions, their attempts and their history.

    Args:
        path: the SQLite file, of mode 0600; created when missing.

    Raises:
        RecordOfAnotherVersion: the file has another schema.
    """

    def __init__(self, path: Path) -> None:
        self._file = RecordFile(path)

    def add(self, execution_id: str, idempotency_key: str, spec: JobSpec, *, backend: str = "local") -> Submission:
        """Record a submission, or find the one that this key made before.

        Raises:
            KeyConflict: the key belongs to another spec.
        """
        with self._file.writing() as database:
            known = database.execute("SELECT * FROM job WHERE idempotency_key = ?", [idempotency_key]).fetchone()
            if known is None:
                added = Execution(execution_id, idempotency_key, spec, JobState.SUBMITTED, time.time())
                rows.insert_job(database, added, backend)
                return Submission(added, created=True)
        if known["fingerprint"] != spec.fingerprint:
            raise KeyConflict(
                f"idempotency key {idempotency_key!r} belongs to another job",
                details={"execution": known["execution_id"]},
                hint="use a new key for a new spec",
            )
        return Submission(rows.execution(known), created=False)

    def request_driver(self, execution_id: str, *, most_active: int | None, ui_port: int | None = None) -> bool:
        """Move a waiting job to ``driver_requested``; of any number of callers one succeeds, and starts its driver.

        Args:
            execution_id: a job that is submitted or queued.
            most_active: how many jobs may have a driver at once, older waiting jobs first; None is any number.
            ui_port: port of its Spark UI.

        Returns:
            Whether the caller must start the driver. If not, the job has to wait (queued), or another caller starts it.
        """
        now = time.time()
        with self._file.writing() as database:
            job = rows.job(database, execution_id)
            if not job.state.waiting or (job.due_at is not None and job.due_at > now):
                return False
            if most_active is not None and (ahead := rows.jobs_ahead(database, job, now)) >= most_active:
                if job.state is JobState.SUBMITTED:
                    reason = f"{ahead} jobs run or wait before it, {most_active} may run at once"
                    rows.set_state(database, job, Transition(JobState.QUEUED, reason), now)
                return False
            rows.set_state(database, job, Transition(JobState.DRIVER_REQUESTED, ""), now)
            rows.insert_attempt(database, job, now, ui_port)
        return True

    def move(
        self,
        execution_id: str,
        new: Transition,
        *,
        attempt: int | None = None,
        exit_code: int | None = None,
        ended_at: float | None = None,
        error: str = "",
    ) -> Execution:
        """Record a new state, unless another process has recorded one that excludes it.

        Args:
            execution_id: the job.
            new: the state and its reason.
            attempt: the attempt that was observed; None is the current one.
            exit_code: of the driver.
            ended_at: epoch seconds by the clock of the process that waited for the driver; None is now.
            error: what went wrong.

        Raises:
            UnknownJob: there is none of this id.
            IllegalTransition: the recorded state does not allow it.
            StaleAttempt: the attempt is not the current one.
        """
        now = time.time()
        with self._file.writing() as database:
            job = rows.job(database, execution_id)
            if attempt is not None:
                _check_current(job, attempt)
            rows.set_state(database, job, new, now)
            if new.state.terminal:
                rows.end_job(database, job, new, ended_at or now, exit_code, error)
        return self.get(execution_id)

    def fail_submission(self, execution_id: str, reason: str) -> Execution:
        """End a job whose driver was not requested yet; a job whose driver was requested meanwhile goes on.

        Raises:
            UnknownJob: there is none of this id.
        """
        now = time.time()
        with self._file.writing() as database:
            job = rows.job(database, execution_id)
            if job.state.waiting:
                end = Transition(JobState.SUBMISSION_FAILED, reason)
                rows.set_state(database, job, end, now)
                rows.end_job(database, job, end, now, None, "")
        return self.get(execution_id)

    def queue_next_attempt(
        self,
        execution_id: str,
        end: Transition,
        *,
        attempt: int,
        pause_s: float,
        exit_code: int | None,
        ended_at: float | None,
    ) -> Execution:
        """Record the end of an attempt, and queue the next one.

        Args:
            execution_id: the job.
            end: how the attempt ended.
            attempt: number of the attempt that ended.
            pause_s: seconds before the next one.
            exit_code: of the driver.
            ended_at: epoch seconds by the clock of the process that waited for the driver; None is now.

        Raises:
            IllegalTransition: the recorded state does not allow this end.
            StaleAttempt: the attempt is not the current one.
        """
        now = time.time()
        with self._file.writing() as database:
            job = rows.job(database, execution_id)
            _check_current(job, attempt)
            check_legal(job.state, end.state)
            rows.end_attempt(database, job, end, ended_at or now, exit_code)
            reason = f"attempt {attempt} {end.state}: {end.reason}; the next one in {pause_s:g} s"
            rows.set_state(database, job, Transition(JobState.QUEUED, reason), now)
            database.execute(
                "UPDATE job SET attempt = ?, due_at = ?, exit_code = ? WHERE execution_id = ?",
                [attempt + 1, now + pause_s, exit_code, execution_id],
            )
        return self.get(execution_id)

    def request_cancel(self, execution_id: str, by: str) -> Execution:
        """Record that a team wants a job to end: a waiting one is cancelled, one with a driver is cancelling.

        Raises:
            UnknownJob: there is none of this id.
            IllegalTransition: it has ended.
        """
        now = time.time()
        with self._file.writing() as database:
            job = rows.job(database, execution_id)
            if job.state is JobState.CANCELLING:
                return job
            new = JobState.CANCELLED if job.state.waiting else JobState.CANCELLING
            rows.set_state(database, job, Transition(new, f"asked by team {by}"), now)
            database.execute("UPDATE job SET cancel_at = ? WHERE execution_id = ?", [now, execution_id])
            if new.terminal:
                database.execute("UPDATE job SET ended_at = ? WHERE execution_id = ?", [now, execution_id])
        return self.get(execution_id)

    def add_note(self, execution_id: str, reason: str) -> None:
        """Add an event that does not change the job's state to its history."""
        with self._file.writing() as database:
            job = rows.job(database, execution_id)
            rows.insert_event(database, execution_id, Event(job.state, time.time(), job.attempt, reason))

    def mark_files_removed(self, execution_id: str) -> None:
        """Record that a job's files are removed."""
        with self._file.writing() as database:
            database.execute("UPDATE job SET removed_at = ? WHERE execution_id = ?", [time.time(), execution_id])

    def get(self, execution_id: str) -> Execution:
        """One execution.

        Raises:
            UnknownJob: there is none of this id.
        """
        with self._file.reading() as database:
            return rows.job(database, execution_id)

    def find(
        self,
        *,
        name: str | None = None,
        team: str | None = None,
        state: JobState | None = None,
        limit: int | None = None,
    ) -> list[Execution]:
        """Executions, oldest first.

        Args:
            name: only of this job.
            team: only of this team.
            state: only in this state.
            limit: only the newest so many of those.
        """
        return self._select("TRUE", {"name": name, "team": team, "state": state}, limit)

    def alive(self, *, name: str | None = None, team: str | None = None) -> list[Execution]:
        """Executions that have not ended, oldest first; only of one job or team where these are given."""
        return self._select(f"state NOT IN ({_ENDED})", {"name": name, "team": team})

    def ended_with_files(self) -> list[Execution]:
        """Executions that ended and whose files were not removed, oldest first."""
        return self._select(f"state IN ({_ENDED}) AND removed_at IS NULL", {})

    def history(self, execution_id: str) -> list[Event]:
        """What happened to one execution, oldest first."""
        query = "SELECT state, at, attempt, reason FROM history WHERE execution_id = ? ORDER BY rowid"
        with self._file.reading() as database:
            return [
                Event(JobState(row["state"]), row["at"], row["attempt"], row["reason"])
                for row in database.execute(query, [execution_id])
            ]

    def attempts(self, execution_id: str) -> list[AttemptTimes]:
        """The attempts of one execution, the first one first."""
        query = "SELECT * FROM attempt WHERE execution_id = ? ORDER BY number"
        with self._file.reading() as database:
            return [rows.attempt(row) for row in database.execute(query, [execution_id])]

    def current_attempts(self, execution_ids: list[str]) -> dict[str, AttemptTimes]:
        """The current attempt of each execution; an execution whose driver was not requested yet is left out."""
        marks = ", ".join("?" for _ in execution_ids)
        query = (
            "SELECT attempt.* FROM attempt JOIN job ON job.execution_id = attempt.execution_id"  # noqa: S608 - marks only
            f" AND job.attempt = attempt.number WHERE job.execution_id IN ({marks})"
        )
        with self._file.reading() as database:
            return {row["execution_id"]: rows.attempt(row) for row in database.execute(query, execution_ids)}

    def failures(self, execution_id: str) -> Failures:
        """How often attempts of one execution failed so far, by class."""
        failures = Failures()
        for attempt in self.attempts(execution_id):
            if attempt.outcome is not None:
                failures = failures.plus(attempt.outcome)
        return failures

    def _select(self, condition: str, equal: dict[str, Any], limit: int | None = None) -> list[Execution]:
        given = {column: value for column, value in equal.items() if value is not None}
        where = " AND ".join([condition, *(f"{column} = ?" for column in given)])
        query = f"SELECT * FROM job WHERE {where} ORDER BY submitted_at DESC, rowid DESC LIMIT ?"  # noqa: S608 - our own names only
        with self._file.reading() as database:
            found = database.execute(query, [*given.values(), -1 if limit is None else limit]).fetchall()
        return [rows.execution(row) for row in reversed(found)]


def _check_current(job: Execution, attempt: int) -> None:
    if attempt != job.attempt:
        raise StaleAttempt(
            f"attempt {attempt} of Spark job {job.execution_id} is over, {job.attempt} is the current one"
        )
