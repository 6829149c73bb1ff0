"""Where the files of jobs are, and when those of an ended job are removed."""

from __future__ import annotations

import shutil
from pathlib import Path

from test_infra.base.paths import private_dir
from test_infra.spark.gateway.backend import Attempt
from test_infra.spark.gateway.execution import Execution
from test_infra.spark.gateway.states import JobState
from test_infra.spark.job.spec import Retain


class JobFiles:
    """Files of the jobs of one gateway: a folder for each job, in it one log and a folder for each later attempt.

    Args:
        folder: of the gateway.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def job_dir(self, execution_id: str) -> Path:
        """Folder of a job."""
        return self.folder / execution_id

    def attempt_dir(self, execution_id: str, number: int) -> Path:
        """Folder of an attempt; the first one uses the job's own."""
        folder = self.job_dir(execution_id)
        return folder if number == 1 else folder / f"attempt-{number}"

    def log_path(self, execution_id: str) -> Path:
        """The log file of all drivers of a job."""
        return self.job_dir(execution_id) / "driver.log"

    def attempt(self, job: Execution, *, ui_port: int | None = None) -> Attempt:
        """The current attempt of a job, as its backend needs it."""
        return Attempt(
            execution_id=job.execution_id,
            number=job.attempt,
            spec=job.spec,
            folder=self.attempt_dir(job.execution_id, job.attempt),
            log_path=self.log_path(job.execution_id),
            ui_port=ui_port,
        )

    def create(self, attempt: Attempt) -> None:
        """Create the folders of an attempt, mode 0700."""
        private_dir(self.job_dir(attempt.execution_id))
        private_dir(attempt.folder)

    def remove_scratch(self, job: Execution) -> None:
        """Delete what the driver of the current attempt wrote for itself alone."""
        shutil.rmtree(self.attempt_dir(job.execution_id, job.attempt) / "scratch", ignore_errors=True)

    def remove(self, job: Execution) -> None:
        """Delete all files of a job."""
        shutil.rmtree(self.job_dir(job.execution_id), ignore_errors=True)


def removal_is_due(job: Execution, now: float) -> bool:
    """Whether the job's retention says that its files go now.

    Args:
        job: any job; the files of one that has not ended stay.
        now: epoch seconds.
    """
    if not job.state.terminal or job.removed_at is not None:
        return False
    retention = job.spec.retention
    if retention.retain is Retain.NEVER:
        return True
    if retention.retain is Retain.ON_FAILURE and job.state in {JobState.SUCCEEDED, JobState.CANCELLED}:
        return True
    return retention.ttl_s is not None and job.ended_at is not None and now - job.ended_at >= retention.ttl_s
