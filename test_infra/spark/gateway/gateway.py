"""The gateway: every Spark job is submitted, checked, cancelled, listed, followed and described here.

State lives in the record alone. A gateway may be killed at any moment, and any number may work on one record: what a
gateway does to a job it first records, and of those that want to record the same step one succeeds.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from test_infra.base.errors import (
    BadDocument,
    FieldProblem,
    InfrastructureError,
    NotReady,
    TestInfraError,
    UsageError,
)
from test_infra.base.paths import private_dir
from test_infra.base.redaction import redact
from test_infra.spark.driver.session import DriverStatus, read_status
from test_infra.spark.gateway.backend import Attempt, Backend, Refused
from test_infra.spark.gateway.execution import AttemptTimes, Execution, summary
from test_infra.spark.gateway.logs import whole_lines
from test_infra.spark.gateway.processes import ProcessBackend, values_of
from test_infra.spark.gateway.record import JobRecord, StaleAttempt
from test_infra.spark.gateway.restarts import pause_before_restart
from test_infra.spark.gateway.states import Clock, IllegalTransition, JobState, Observation, Step, observed
from test_infra.spark.job.conf import check_conf
from test_infra.spark.job.spec import JobSpec, Retain
from test_infra.stack.ports import free_ports
from test_infra.stack.services.gateway import GatewaySettings

if TYPE_CHECKING:
    from test_infra.stack import Stack

LOG_CHUNK_BYTES = 64 * 1024
FOLLOW_INTERVAL_S = 0.2
STOP_GRACE_S = 10.0
"""How much longer than the keeper's own patience we wait for an end."""


class NotYourJob(UsageError):
    """A team asked to cancel another team's job."""


class SubmissionFailed(InfrastructureError):
    """The backend did not take a Spark job."""


class LogsRemoved(UsageError):
    """The logs of a job were removed, as its retention says."""


@dataclass(frozen=True)
class Cancellation:
    """The answer to `SparkGateway.cancel`.

    Args:
        success: whether the job was ended by this.
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
        backend: where drivers run; None is where the stack's processes do.
        settings: limits; None takes the stack's, without a limit of jobs at once where it has no gateway service.
    """

    def __init__(
        self, stack: Stack, *, backend: Backend | None = None, settings: GatewaySettings | None = None
    ) -> None:
        self._backend: Backend = backend or ProcessBackend(stack)
        self._settings = settings or stack.spec.services.gateway or GatewaySettings(most_active=None)
        self._jobs = private_dir(stack.dir / "jobs")
        self._record = JobRecord(self._jobs / "record.sqlite")

    @property
    def folder(self) -> Path:
        """Where it keeps the record and the files of jobs, 0700."""
        return self._jobs

    def submit(self, spec: JobSpec, *, idempotency_key: str) -> str:
        """Start a Spark job and return its execution id; the same key and spec give the same execution.

        Raises:
            BadDocument: the spec sets Spark properties that are refused.
            KeyConflict: the key was used for another spec.
            SubmissionFailed: the backend did not take it.
        """
        check_conf(spec.conf, frozenset(self._settings.allowed_conf))
        if relative := spec.relative_paths():
            raise BadDocument("the Spark job", [FieldProblem(name, "must be an absolute path") for name in relative])
        execution = self._record.add(uuid.uuid4().hex[:12], idempotency_key, spec, backend=self._backend.name)
        execution = self._brought_up_to_date(execution) if execution.state is JobState.SUBMITTED else execution
        if execution.state is JobState.SUBMISSION_FAILED:
            raise SubmissionFailed(
                f"Spark job {spec.name} was not started",
                details={"execution": execution.execution_id, "why": execution.error},
            )
        return execution.execution_id

    def check(self, execution_id: str) -> Execution:
        """The execution with its state brought up to date; a terminal one is returned as recorded.

        Raises:
            UnknownJob: no such execution.
        """
        return self._brought_up_to_date(self._record.get(execution_id))

    def cancel(self, execution_id: str, *, team: str) -> Cancellation:
        """Ask a job to end and wait until it did: SIGTERM, then SIGKILL. An ended job stays as it is.

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
            execution = self._record.ask_cancel(execution_id, team)
        except IllegalTransition:
            execution = self._record.get(execution_id)
            return Cancellation(False, f"it has ended before: {execution.state}", execution)
        if execution.state is JobState.CANCELLING:
            self._end_driver(execution)
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
        """Executions with their states brought up to date, oldest first; with ``limit`` the newest so many."""
        self._all_up_to_date(self._record.all(name=name, team=team, alive=True))
        return tuple(self._record.all(name=name, team=team, state=state, limit=limit))

    def logs(self, execution_id: str, offset: int = 0) -> tuple[str, int]:
        """A piece of the log of all attempts from a byte offset, whole lines, redacted, and the offset that follows it.

        Raises:
            UnknownJob: no such execution.
            LogsRemoved: the job's retention let them go.
        """
        execution = self._record.get(execution_id)
        if execution.removed_at is not None:
            raise LogsRemoved(
                f"the logs of Spark job {execution_id} were removed",
                details={"retention": execution.spec.retention.model_dump_json()},
                hint="submit with retention: {retain: Always} and no ttl_s",
            )
        with suppress(Refused):  # a gateway that was started anew has to learn again what to mask
            values_of(execution.spec)
        chunk = self._backend.logs(self._attempt(execution, None), offset, LOG_CHUNK_BYTES)
        lines = whole_lines(chunk, most_bytes=LOG_CHUNK_BYTES, final=execution.state.terminal)
        return redact(lines.decode(errors="replace")), offset + len(lines)

    def follow(self, execution_id: str, offset: int = 0) -> Iterator[tuple[str, int]]:
        """Pieces of the log with the offsets that follow them, as they come, until the job has ended and all was read.

        Raises:
            UnknownJob: no such execution.
            LogsRemoved: the job's retention let them go.
        """
        looks_after_end = 0
        while True:
            ended = self.check(execution_id).state.terminal
            text, offset = self.logs(execution_id, offset)
            if text:
                yield text, offset
                continue
            # An end may be on record a moment before the last words: those take a way of their own.
            looks_after_end += ended
            if looks_after_end > 1:
                return
            time.sleep(FOLLOW_INTERVAL_S)

    def describe(self, execution_id: str) -> dict[str, Any]:
        """Everything known of an execution, ready for JSON: spec, times, attempts, history, driver, links.

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
        """What the driver of the newest attempt last said of itself."""
        return read_status(self._attempt_dir(execution_id, self._record.get(execution_id).attempt))

    def log_path(self, execution_id: str) -> Path:
        """The log file of the job's drivers."""
        return self._dir(execution_id) / "driver.log"

    def attempt_dir(self, execution_id: str) -> Path:
        """Folder of the attempt that is on, or was the last."""
        return self._attempt_dir(execution_id, self._record.get(execution_id).attempt)

    def signal(self, execution_id: str, signum: int) -> None:
        """Send a signal to the driver; for fault tests."""
        self._backend.signal(self._attempt(self._record.get(execution_id), None), signum)

    def look(self) -> None:
        """Bring every job up to date: start what waits, see ends, restart, remove what is not to be kept.

        Any call on a job does this for that job. A gateway that serves calls this all the time.
        """
        self._all_up_to_date(self._record.all(alive=True))
        for job in self._record.all(kept=True):
            self._remove_if_due(job)

    def _all_up_to_date(self, jobs: Sequence[Execution]) -> Sequence[Execution]:
        driven = [job for job in jobs if not job.state.waiting]
        times = self._record.current_attempts([job.execution_id for job in driven])
        attempts = [self._attempt(job, times.get(job.execution_id)) for job in driven]
        seen = dict(zip((job.execution_id for job in driven), self._backend.observe(attempts), strict=True))
        found = []
        for job in jobs:
            if job.state.waiting:
                found.append(self._waiting(job))
            else:
                found.append(self._after(job, seen[job.execution_id], times[job.execution_id]))
        return found

    def _brought_up_to_date(self, execution: Execution) -> Execution:
        if not execution.state.terminal:
            (execution,) = self._all_up_to_date([execution])
        self._remove_if_due(execution)
        return execution

    def _waiting(self, job: Execution) -> Execution:
        """A job without a driver: start it when its turn has come, give up when that took too long."""
        now = time.time()
        since = job.submitted_at if job.due_at is None else job.due_at
        if now - since > job.spec.timeouts.queue_s:
            reason = f"no driver was requested within {job.spec.timeouts.queue_s:g} s: too many jobs run"
            return self._recorded(
                job, lambda: self._record.move(job.execution_id, Step(JobState.SUBMISSION_FAILED, reason))
            )
        ui_port = free_ports(1)[0] if job.spec.ui else None
        if not self._record.claim(job.execution_id, most_active=self._settings.most_active, ui_port=ui_port):
            return self._record.get(job.execution_id)
        # Ours alone from here on. Should we be killed now, the driver is never started twice: it times out.
        attempt = self._attempt(job, AttemptTimes(job.attempt, now, ui_port=ui_port))
        private_dir(self._dir(job.execution_id))
        private_dir(attempt.folder)
        try:
            self._backend.start(attempt)
        except Refused as error:
            step = Step(JobState.SUBMISSION_FAILED, redact(error.details.get("why", error.what)))
            return self._attempt_ended(job, step, Observation(found=False))
        except (TestInfraError, OSError) as error:
            # Lost reply or real refusal, nobody knows: what is seen of the driver decides.
            self._record.note(
                job.execution_id, f"the backend gave no clear answer: {redact(str(error)).splitlines()[0]}"
            )
        return self._record.get(job.execution_id)

    def _after(self, job: Execution, seen: Observation, times: AttemptTimes) -> Execution:
        timeouts = job.spec.timeouts
        clock = Clock(
            now=time.time(),
            requested_at=times.requested_at,
            started_at=times.started_at,
            ready_at=times.ready_at,
            cancel_at=job.cancel_at,
            driver_start_s=timeouts.driver_start_s,
            ready_s=timeouts.ready_s,
            run_s=timeouts.run_s,
        )
        step = observed(job.state, seen, clock)
        if step is None:
            if (
                job.cancel_at is not None
                and seen.running
                and clock.now - job.cancel_at > timeouts.stop_s + STOP_GRACE_S
            ):
                self._end_driver(job)  # the gateway that was to do it may have been killed
            return job
        if not step.state.terminal:
            return self._recorded(job, lambda: self._record.move(job.execution_id, step, attempt=job.attempt))
        # Timed out or lost: it must be certain that nothing runs before anything follows.
        if (seen.running or not seen.found) and not self._end_driver(job):
            return job
        return self._attempt_ended(job, step, seen)

    def _attempt_ended(self, job: Execution, step: Step, seen: Observation) -> Execution:
        failures = self._record.failures(job.execution_id).and_one(step.state)
        pause_s = None if job.cancel_at else pause_before_restart(job.spec.restart, step.state, failures)
        if pause_s is not None:
            return self._recorded(
                job,
                lambda: self._record.again(
                    job.execution_id,
                    step,
                    attempt=job.attempt,
                    pause_s=pause_s,
                    exit_code=seen.exit_code,
                    ended_at=seen.ended_at,
                ),
            )
        shutil.rmtree(self._attempt_dir(job.execution_id, job.attempt) / "scratch", ignore_errors=True)
        said = read_status(self._attempt_dir(job.execution_id, job.attempt)).error
        return self._recorded(
            job,
            lambda: self._record.move(
                job.execution_id,
                step,
                attempt=job.attempt,
                exit_code=seen.exit_code,
                ended_at=seen.ended_at,
                error=redact(said) if step.state is JobState.APPLICATION_FAILED else "",
            ),
        )

    def _recorded(self, job: Execution, record: Callable[[], Execution]) -> Execution:
        try:
            return record()
        except (IllegalTransition, StaleAttempt):  # another gateway has seen more than we did
            return self._record.get(job.execution_id)

    def _end_driver(self, job: Execution) -> bool:
        """Stop the driver of the current attempt; returns whether it has ended for certain."""
        try:
            self._backend.stop(self._attempt(job, None), job.spec.timeouts.stop_s + STOP_GRACE_S)
        except NotReady:
            return False
        return True

    def _remove_if_due(self, job: Execution) -> None:
        if not job.state.terminal or job.removed_at is not None or not _files_are_due(job, time.time()):
            return
        shutil.rmtree(self._dir(job.execution_id), ignore_errors=True)
        self._record.removed(job.execution_id)

    def _attempt(self, job: Execution, times: AttemptTimes | None) -> Attempt:
        return Attempt(
            execution_id=job.execution_id,
            number=job.attempt,
            spec=job.spec,
            folder=self._attempt_dir(job.execution_id, job.attempt),
            log_path=self.log_path(job.execution_id),
            ui_port=times.ui_port if times is not None else None,
        )

    def _dir(self, execution_id: str) -> Path:
        return self._jobs / execution_id

    def _attempt_dir(self, execution_id: str, number: int) -> Path:
        folder = self._dir(execution_id)
        return folder if number == 1 else folder / f"attempt-{number}"


def _ui(execution: Execution, attempts: Sequence[AttemptTimes]) -> str | None:
    port = attempts[-1].ui_port if attempts else None
    return None if port is None or execution.state.terminal else f"http://127.0.0.1:{port}"


def _files_are_due(job: Execution, now: float) -> bool:
    """Whether an ended job's files are to be removed."""
    retention = job.spec.retention
    at_once = retention.retain is Retain.NEVER or (
        retention.retain is Retain.ON_FAILURE and job.state in {JobState.SUCCEEDED, JobState.CANCELLED}
    )
    if at_once:
        return True
    return retention.ttl_s is not None and job.ended_at is not None and now - job.ended_at >= retention.ttl_s


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
