"""The gateway: every Spark job is submitted, checked, cancelled, listed, followed and described here.

The way of a job: `submit` records it and starts its driver (`JobDrivers.start_if_due`). Then `check`, `list` and
`advance_all` record what the backend sees of the driver (`JobDrivers.record_observations`), and start the drivers of
jobs that had to wait or that are tried again. All state is in the record, so a gateway may be killed at any moment, and
any number of gateways may work on one record.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from test_infra.base.errors import BadDocument, FieldProblem, InfrastructureError, UsageError
from test_infra.base.paths import private_dir
from test_infra.base.redaction import redact
from test_infra.spark.driver.status import DriverStatus, read_status
from test_infra.spark.gateway.backend import DriverBackend, Refused
from test_infra.spark.gateway.drivers import JobDrivers
from test_infra.spark.gateway.environment import values_of
from test_infra.spark.gateway.execution import AttemptTimes, Execution, Submission, summary
from test_infra.spark.gateway.job_files import JobFiles, removal_is_due
from test_infra.spark.gateway.logs import whole_lines
from test_infra.spark.gateway.processes import ProcessBackend
from test_infra.spark.gateway.record import JobRecord
from test_infra.spark.gateway.states import IllegalTransition, JobState
from test_infra.spark.job.conf import check_conf
from test_infra.spark.job.spec import JobSpec
from test_infra.stack.services.gateway import GatewaySettings

if TYPE_CHECKING:
    from test_infra.stack import Stack

LOG_CHUNK_BYTES = 64 * 1024
FOLLOW_INTERVAL_S = 0.2


class NotYourJob(UsageError):
    """A team asked to cancel another team's job."""


class SubmissionFailed(InfrastructureError):
    """The backend did not start a Spark job."""


class LogsRemoved(UsageError):
    """The logs of a job were removed, as its retention says."""


@dataclass(frozen=True)
class Cancellation:
    """The answer to `SparkGateway.cancel`.

    Args:
        success: whether this cancel ended the job.
        message: what was done, or why nothing was.
        execution: the job as it is now.
    """

    success: bool
    message: str
    execution: Execution


class SparkGateway:
    """Spark jobs of one stack.

    Args:
        stack: whose folder holds the record and whose keeper keeps the drivers.
        backend: where drivers run; None is where the stack's processes run.
        settings: limits; None takes the stack's, and no limit of jobs at once where the stack has no gateway service.
    """

    def __init__(
        self, stack: Stack, *, backend: DriverBackend | None = None, settings: GatewaySettings | None = None
    ) -> None:
        self._backend: DriverBackend = backend or ProcessBackend(stack)
        self._settings = settings or stack.spec.services.gateway or GatewaySettings(most_active=None)
        self._files = JobFiles(private_dir(stack.dir / "jobs"))
        self._record = JobRecord(self.folder / "record.sqlite")
        self._drivers = JobDrivers(self._record, self._backend, self._files, most_active=self._settings.most_active)

    @property
    def folder(self) -> Path:
        """The folder of the record and of the files of jobs, 0700."""
        return self._files.folder

    def submit(self, spec: JobSpec, *, idempotency_key: str) -> str:
        """Submit a Spark job and return its execution id; see `submit_or_find`."""
        return self.submit_or_find(spec, idempotency_key=idempotency_key).execution.execution_id

    def submit_or_find(self, spec: JobSpec, *, idempotency_key: str) -> Submission:
        """Record a Spark job and start its driver; the same key and spec find the job that they made before.

        Raises:
            BadDocument: the spec has refused Spark properties or relative paths.
            KeyConflict: the key was used for another spec.
            SubmissionFailed: the backend did not start it.
        """
        check_conf(spec.conf, frozenset(self._settings.allowed_conf))
        if relative := spec.relative_paths():
            raise BadDocument("the Spark job", [FieldProblem(name, "must be an absolute path") for name in relative])
        submission = self._record.add(uuid.uuid4().hex[:12], idempotency_key, spec, backend=self._backend.name)
        execution = submission.execution
        if execution.state is JobState.SUBMITTED:
            execution = self._drivers.start_if_due(execution)
        if execution.state is JobState.SUBMISSION_FAILED:
            raise SubmissionFailed(
                f"Spark job {spec.name} was not started",
                details={"execution": execution.execution_id, "why": execution.error},
            )
        return Submission(execution, submission.created)

    def check(self, execution_id: str) -> Execution:
        """The job with its present state; a job that has ended is returned as recorded.

        Raises:
            UnknownJob: no such execution.
        """
        job = self._record.get(execution_id)
        if job.state.waiting:
            job = self._drivers.start_if_due(job)
        elif not job.state.terminal:
            (job,) = self._drivers.record_observations([job])
        self._remove_files_if_due(job)
        return job

    def cancel(self, execution_id: str, *, team: str) -> Cancellation:
        """End a job and wait until it ended: SIGTERM, then SIGKILL. Does nothing to a job that has ended.

        Raises:
            UnknownJob: no such execution.
            NotYourJob: it belongs to another team.
        """
        execution = self.check(execution_id)
        if execution.spec.team != team:
            raise NotYourJob(
                f"Spark job {execution_id} belongs to another team",
                details={"team": execution.spec.team, "asked by": team},
                hint=f"ask team {execution.spec.team}",
            )
        if execution.state.terminal:
            return Cancellation(False, f"it has ended before: {execution.state}", execution)
        try:
            execution = self._record.request_cancel(execution_id, team)
        except IllegalTransition:
            execution = self._record.get(execution_id)
            return Cancellation(False, f"it has ended before: {execution.state}", execution)
        if execution.state is JobState.CANCELLING:
            self._drivers.end(execution)
            execution = self.check(execution_id)
        if execution.state is JobState.CANCELLED:
            return Cancellation(True, "it was cancelled", execution)
        if execution.state is JobState.CANCELLING:
            return Cancellation(True, "it was asked to end and has not ended yet", execution)
        return Cancellation(False, f"it ended by itself meanwhile: {execution.state}", execution)

    def list(
        self,
        *,
        name: str | None = None,
        team: str | None = None,
        state: JobState | None = None,
        limit: int | None = None,
    ) -> tuple[Execution, ...]:
        """Jobs with their present states, oldest first; with ``limit`` the newest so many."""
        self._advance(self._record.alive(name=name, team=team))
        return tuple(self._record.find(name=name, team=team, state=state, limit=limit))

    def logs(self, execution_id: str, offset: int = 0) -> tuple[str, int]:
        """A piece of the log of all attempts from a byte offset, whole lines, redacted, and the offset that follows it.

        Raises:
            UnknownJob: no such execution.
            LogsRemoved: they were removed, as the job's retention says.
        """
        execution = self._record.get(execution_id)
        if execution.removed_at is not None:
            raise LogsRemoved(
                f"the logs of Spark job {execution_id} were removed",
                details={"retention": execution.spec.retention.model_dump_json()},
                hint="submit with retention: {retain: Always} and no ttl_s",
            )
        with suppress(Refused):  # this process may not have started the job, so it learns here which values to mask
            values_of(execution.spec)
        chunk = self._backend.logs(self._files.attempt(execution), offset, LOG_CHUNK_BYTES)
        lines = whole_lines(chunk, most_bytes=LOG_CHUNK_BYTES, final=execution.state.terminal)
        return redact(lines.decode(errors="replace")), offset + len(lines)

    def follow(self, execution_id: str, offset: int = 0) -> Iterator[tuple[str, int]]:
        """Pieces of the log with the offsets that follow them, as they come, until the job has ended and all was read.

        Raises:
            UnknownJob: no such execution.
            LogsRemoved: they were removed, as the job's retention says.
        """
        empty_reads_after_end = 0
        while True:
            ended = self.check(execution_id).state.terminal
            text, offset = self.logs(execution_id, offset)
            if text:
                yield text, offset
                continue
            # The end may be recorded a moment before the last lines are in the log, which reach it through a pipe.
            empty_reads_after_end += ended
            if empty_reads_after_end > 1:
                return
            time.sleep(FOLLOW_INTERVAL_S)

    def describe(self, execution_id: str) -> dict[str, Any]:
        """Everything known of a job, ready for JSON: spec, times, attempts, history, driver, links.

        Raises:
            UnknownJob: no such execution.
        """
        execution = self.check(execution_id)
        attempts = self._record.attempts(execution_id)
        return {
            **summary(execution),
            "spec": execution.spec.model_dump(mode="json"),
            "attempts": [_without_none(asdict(attempt)) for attempt in attempts],
            "history": [asdict(event) for event in self._record.history(execution_id)],
            "driver": self.driver(execution_id).model_dump(),
            "ui": _ui(execution, attempts),
            "log": str(self.log_path(execution_id)),
        }

    def driver(self, execution_id: str) -> DriverStatus:
        """The last status that the driver of the newest attempt wrote."""
        return read_status(self.attempt_dir(execution_id))

    def log_path(self, execution_id: str) -> Path:
        """The log file of the job's drivers."""
        return self._files.log_path(execution_id)

    def attempt_dir(self, execution_id: str) -> Path:
        """Folder of the current or last attempt."""
        return self._files.attempt_dir(execution_id, self._record.get(execution_id).attempt)

    def signal(self, execution_id: str, signum: int) -> None:
        """Send a signal to the driver; for fault tests."""
        self._backend.signal(self._files.attempt(self._record.get(execution_id)), signum)

    def advance_all(self) -> None:
        """Record what all drivers did, start those that are due, remove files whose retention has ended.

        Any call on a job does this for that job. A gateway that serves calls this twice a second.
        """
        self._advance(self._record.alive())
        for job in self._record.ended_with_files():
            self._remove_files_if_due(job)

    def _advance(self, jobs: Sequence[Execution]) -> None:
        self._drivers.record_observations([job for job in jobs if not job.state.waiting])
        for job in jobs:
            if job.state.waiting:
                self._drivers.start_if_due(job)

    def _remove_files_if_due(self, job: Execution) -> None:
        if removal_is_due(job, time.time()):
            self._files.remove(job)
            self._record.mark_files_removed(job.execution_id)


def _ui(execution: Execution, attempts: Sequence[AttemptTimes]) -> str | None:
    port = attempts[-1].ui_port if attempts else None
    return None if port is None or execution.state.terminal else f"http://127.0.0.1:{port}"


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
