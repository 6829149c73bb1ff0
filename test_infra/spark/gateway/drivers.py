"""Starts, observes and ends the drivers of jobs; each step is recorded before it is taken.

Any number of gateways may work on one record, and each may be killed at any moment. Of several that want to start the
same driver only one gets the record's permission, and a state that another gateway recorded first counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from test_infra.base.errors import NotReady, TestInfraError
from test_infra.base.redaction import redact
from test_infra.spark.driver.status import read_status
from test_infra.spark.gateway.backend import DriverBackend, Refused
from test_infra.spark.gateway.execution import AttemptTimes, Execution
from test_infra.spark.gateway.job_files import JobFiles
from test_infra.spark.gateway.record import JobRecord, StaleAttempt
from test_infra.spark.gateway.restarts import pause_before_restart
from test_infra.spark.gateway.states import (
    Clock,
    DriverState,
    IllegalTransition,
    JobState,
    Observation,
    Transition,
    next_transition,
)
from test_infra.stack.ports import free_ports

STOP_GRACE_S = 10.0
"""How much longer than the job's own patience (``stop_s``) we wait for the end of its driver."""
_NOTHING_SEEN = Observation(DriverState.ABSENT)


class JobDrivers:
    """The drivers of the jobs of one gateway.

    Args:
        record: of the jobs.
        backend: where the drivers run.
        files: where their files are.
        most_active: how many jobs may have a driver at once; None is any number.
    """

    def __init__(self, record: JobRecord, backend: DriverBackend, files: JobFiles, *, most_active: int | None) -> None:
        self._record = record
        self._backend = backend
        self._files = files
        self._most_active = most_active

    def start_if_due(self, job: Execution) -> Execution:
        """Start the driver of a job that waits, if its turn has come; fail the job if it has waited too long.

        Returns:
            The job as it is recorded afterwards.
        """
        now = time.time()
        if now - (job.submitted_at if job.due_at is None else job.due_at) > job.spec.timeouts.queue_s:
            reason = f"no driver was requested within {job.spec.timeouts.queue_s:g} s: too many jobs run"
            return self._record.fail_submission(job.execution_id, reason)
        ui_port = free_ports(1)[0] if job.spec.ui else None
        if not self._record.request_driver(job.execution_id, most_active=self._most_active, ui_port=ui_port):
            return self._record.get(job.execution_id)
        # From here on no other gateway starts this driver. If we are killed now, nobody does, and the job times out.
        return self._start(job, ui_port)

    def record_observations(self, jobs: Sequence[Execution]) -> list[Execution]:
        """Record what the backend sees of the drivers of these jobs; end drivers that are too late.

        Args:
            jobs: jobs whose driver was requested and that have not ended.

        Returns:
            The jobs as they are recorded afterwards, in the same order.
        """
        times = self._record.current_attempts([job.execution_id for job in jobs])
        # Another gateway may have queued the next attempt since the jobs were read; that one has no driver to observe.
        driven = [job for job in jobs if job.execution_id in times]
        attempts = [self._files.attempt(job, ui_port=times[job.execution_id].ui_port) for job in driven]
        observations = self._backend.observe(attempts) if attempts else []
        recorded = {
            job.execution_id: self._record_observation(job, seen, times[job.execution_id])
            for job, seen in zip(driven, observations, strict=True)
        }
        return [recorded.get(job.execution_id) or self._record.get(job.execution_id) for job in jobs]

    def end(self, job: Execution) -> bool:
        """Stop the driver of the current attempt; returns whether it has certainly ended."""
        try:
            self._backend.stop(self._files.attempt(job), job.spec.timeouts.stop_s + STOP_GRACE_S)
        except NotReady:
            return False
        return True

    def _start(self, job: Execution, ui_port: int | None) -> Execution:
        attempt = self._files.attempt(job, ui_port=ui_port)
        self._files.create(attempt)
        try:
            self._backend.start(attempt)
        except Refused as error:
            refused = Transition(JobState.SUBMISSION_FAILED, redact(error.details.get("why", error.what)))
            return self._end_attempt(job, refused, _NOTHING_SEEN)
        except (TestInfraError, OSError) as error:
            # A lost reply or a real failure, nobody knows: observations of the driver decide.
            answer = redact(str(error)).splitlines()[0]
            self._record.add_note(job.execution_id, f"the backend gave no clear answer: {answer}")
        return self._record.get(job.execution_id)

    def _record_observation(self, job: Execution, seen: Observation, times: AttemptTimes) -> Execution:
        clock = _clock(job, times)
        new = next_transition(job.state, seen, clock)
        if new is None:
            if seen.driver is DriverState.RUNNING and _cancel_is_stuck(job, clock.now):
                self.end(job)  # the gateway that was to do it may have been killed
            return job
        if not new.state.terminal:
            return self._unless_stale(job, lambda: self._record.move(job.execution_id, new, attempt=job.attempt))
        # Timed out or lost: nothing may follow before it is certain that the driver does not run.
        if seen.driver in {DriverState.RUNNING, DriverState.ABSENT} and not self.end(job):
            return job
        return self._end_attempt(job, new, seen)

    def _end_attempt(self, job: Execution, end: Transition, seen: Observation) -> Execution:
        """Record how the current attempt ended: the job ends with it, or its restart policy queues the next one."""
        failures = self._record.failures(job.execution_id).plus(end.state)
        pause_s = None if job.cancel_at else pause_before_restart(job.spec.restart, end.state, failures)
        if pause_s is not None:
            return self._unless_stale(
                job,
                lambda: self._record.queue_next_attempt(
                    job.execution_id,
                    end,
                    attempt=job.attempt,
                    pause_s=pause_s,
                    exit_code=seen.exit_code,
                    ended_at=seen.ended_at,
                ),
            )
        self._files.remove_scratch(job)
        error = ""
        if end.state is JobState.APPLICATION_FAILED:
            error = redact(read_status(self._files.attempt_dir(job.execution_id, job.attempt)).error)
        return self._unless_stale(
            job,
            lambda: self._record.move(
                job.execution_id,
                end,
                attempt=job.attempt,
                exit_code=seen.exit_code,
                ended_at=seen.ended_at,
                error=error,
            ),
        )

    def _unless_stale(self, job: Execution, record: Callable[[], Execution]) -> Execution:
        try:
            return record()
        except (IllegalTransition, StaleAttempt):  # another gateway has recorded more than we saw
            return self._record.get(job.execution_id)


def _clock(job: Execution, times: AttemptTimes) -> Clock:
    limits = job.spec.timeouts
    return Clock(
        now=time.time(),
        requested_at=times.requested_at,
        started_at=times.started_at,
        ready_at=times.ready_at,
        cancel_at=job.cancel_at,
        driver_start_s=limits.driver_start_s,
        ready_s=limits.ready_s,
        run_s=limits.run_s,
    )


def _cancel_is_stuck(job: Execution, now: float) -> bool:
    return job.cancel_at is not None and now - job.cancel_at > job.spec.timeouts.stop_s + STOP_GRACE_S
