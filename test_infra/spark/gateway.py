"""The gateway: every Spark job is submitted, checked, cancelled and described here.

A driver is a process kept by the stack's runtime; this is the `local` backend, the only one today.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import test_infra
from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import InfrastructureError, NotReady, TestInfraError, UsageError
from test_infra.base.paths import private_dir, write_private
from test_infra.base.redaction import redact
from test_infra.spark.driver import JOB_DIR_VARIABLE, DriverStatus, driver_jars, read_status
from test_infra.spark.record import Execution, JobRecord
from test_infra.spark.states import IllegalTransition, JobState, Observation, observed

if TYPE_CHECKING:
    from test_infra.runtime.backend import Runtime
    from test_infra.runtime.process import ProcessState
    from test_infra.spark.spec import JobSpec
    from test_infra.stack import Stack

LOG_CHUNK_BYTES = 64 * 1024
END_TOLD_WITHIN_S = 5.0
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TEST_INFRA_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")


class NotYourJob(UsageError):
    """A team asked to cancel another team's job."""


class SubmissionFailed(InfrastructureError):
    """The backend did not take a Spark job."""


class SparkGateway:
    """Spark jobs of one stack.

    Args:
        stack: whose runtime keeps the drivers and whose folder holds the record.
    """

    def __init__(self, stack: Stack) -> None:
        self._runtime: Runtime = stack.runtime
        self._jobs = private_dir(stack.dir / "jobs")
        self._record = JobRecord(self._jobs / "record.sqlite")

    def submit(self, spec: JobSpec, *, idempotency_key: str) -> str:
        """Start a Spark job and return its execution id; the same key and spec give the same execution.

        Raises:
            KeyConflict: the key was used for another spec.
            SubmissionFailed: the backend did not take it.
        """
        execution = self._record.add(uuid.uuid4().hex[:12], idempotency_key, spec)
        if execution.state is not JobState.SUBMITTED or self._known(execution.execution_id):
            return execution.execution_id
        try:
            self._start(execution)
        except TestInfraError as error:
            self._record.move(execution.execution_id, JobState.SUBMISSION_FAILED, error=redact(str(error)))
            raise SubmissionFailed(f"Spark job {spec.name} was not started", details={"why": error.what}) from error
        return execution.execution_id

    def check(self, execution_id: str) -> Execution:
        """The execution with its state brought up to date; a terminal one is returned as recorded.

        Raises:
            UnknownJob: no such execution.
        """
        execution = self._record.get(execution_id)
        if execution.state.terminal:
            return execution
        status = self.driver(execution_id)
        seen = self._look(execution, status)
        new = observed(execution.state, seen, start_timeout_s=execution.spec.start_timeout_s)
        if new is execution.state:
            return execution
        if new is JobState.START_TIMED_OUT:
            self._runtime.stop(_process(execution_id), timeout_s=execution.spec.stop_timeout_s)
        try:
            return self._record.move(execution_id, new, exit_code=seen.exit_code, error=redact(status.error))
        except IllegalTransition:  # another process has seen more than we did
            return self._record.get(execution_id)

    def cancel(self, execution_id: str, *, team: str) -> Execution:
        """Ask a job to end and wait until it did: SIGTERM, then SIGKILL. An ended job stays as it is.

        Raises:
            UnknownJob: no such execution.
            NotYourJob: it belongs to another team.
        """
        execution = self.check(execution_id)
        if execution.spec.team != team:
            raise NotYourJob(f"Spark job {execution_id} belongs to another team", details={"team": execution.spec.team})
        if execution.state.terminal:
            return execution
        if execution.state is not JobState.CANCELLING:
            self._record.move(execution_id, JobState.CANCELLING)
        # The keeper kills after the spec's patience; we wait a little longer than it does.
        self._runtime.stop(_process(execution_id), timeout_s=execution.spec.stop_timeout_s + 10.0)
        return self.check(execution_id)

    def list(self, *, name: str | None = None) -> tuple[Execution, ...]:
        """Executions, oldest first, with their states brought up to date; only those of one job with ``name``."""
        return tuple(
            self.check(execution.execution_id)
            for execution in self._record.all()
            if name is None or execution.spec.name == name
        )

    def logs(self, execution_id: str, offset: int = 0) -> tuple[str, int]:
        """A piece of the driver's log from a byte offset, redacted, and the offset that follows it.

        Raises:
            UnknownJob: no such execution.
        """
        self._record.get(execution_id)
        try:
            with self.log_path(execution_id).open("rb") as log:
                log.seek(offset)
                chunk = log.read(LOG_CHUNK_BYTES)
        except FileNotFoundError:
            return "", offset
        return redact(chunk.decode(errors="replace")), offset + len(chunk)

    def describe(self, execution_id: str) -> dict[str, object]:
        """Everything known of an execution, ready for JSON.

        Raises:
            UnknownJob: no such execution.
        """
        execution = self.check(execution_id)
        return {
            "execution_id": execution_id,
            "state": str(execution.state),
            "spec": execution.spec.model_dump(mode="json"),
            "submitted_at": execution.submitted_at,
            "ended_at": execution.ended_at,
            "exit_code": execution.exit_code,
            "error": execution.error,
            "history": [{"state": str(state), "at": at} for state, at in self._record.history(execution_id)],
            "driver": self.driver(execution_id).model_dump(),
            "log": str(self.log_path(execution_id)),
        }

    def driver(self, execution_id: str) -> DriverStatus:
        """What the driver last said of itself."""
        return read_status(self._dir(execution_id))

    def log_path(self, execution_id: str) -> Path:
        """The driver's log file."""
        return self._dir(execution_id) / "driver.log"

    def signal(self, execution_id: str, signum: int) -> None:
        """Send a signal to the driver; for fault tests."""
        self._runtime.signal(_process(execution_id), signum)

    def _dir(self, execution_id: str) -> Path:
        return self._jobs / execution_id

    def _known(self, execution_id: str) -> bool:
        return _process(execution_id) in self._runtime.observe_all()

    def _start(self, execution: Execution) -> None:
        from test_infra.jvm.java import find_java
        from test_infra.runtime.process import ProcessSpec

        folder, spec = private_dir(self._dir(execution.execution_id)), execution.spec
        # Here, where the user's proxies and certificates are known; the driver's environment is bare.
        driver_jars(spec.jar_groups)
        write_private(folder / "job.json", spec.model_dump_json())
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment |= {
            JOB_DIR_VARIABLE: str(folder),
            "JAVA_HOME": str(find_java().home),
            "PYTHONPATH": str(Path(test_infra.__file__).parents[1]),
            "PYTHONUNBUFFERED": "1",
            "SPARK_LOCAL_IP": "127.0.0.1",
        }
        self._runtime.start(
            ProcessSpec(
                name=_process(execution.execution_id),
                argv=(sys.executable, "-m", spec.module, *spec.args),
                env=environment,
                cwd=folder,
                log_path=self.log_path(execution.execution_id),
                stop_timeout_s=spec.stop_timeout_s,
                exit_path=folder / "exit.json",
            )
        )

    def _look(self, execution: Execution, status: DriverStatus) -> Observation:
        process = self._seen(_process(execution.execution_id))
        age_s = time.time() - execution.submitted_at
        if process is None:
            # Between the record and the keeper's first sight of the process there is a moment without either.
            return Observation(found=age_s < 5.0, running=age_s < 5.0, age_s=age_s)
        return Observation(
            found=True,
            running=process.running or (process.exit_code is None and age_s < 5.0),
            exit_code=process.exit_code,
            driver_ready=status.driver_ready_at is not None,
            at_work=status.ready_at is not None,
            age_s=age_s,
        )

    def _seen(self, name: str) -> ProcessState | None:
        """The process as its keeper has it; a moment passes between a process's end and the keeper's word on it."""
        last: ProcessState | None = None

        def told() -> None:
            nonlocal last
            last = self._runtime.observe_all().get(name)
            if last is not None and not last.running and last.exit_code is None:
                raise StillWaiting("it is gone, and how it ended is not on record")

        with suppress(NotReady):
            wait_for(told, Deadline(END_TOLD_WITHIN_S), what=name, awaited="the keeper's word on its end")
        return last


def _process(execution_id: str) -> str:
    return f"spark-{execution_id}"
