"""The documents that the API answers with, as OpenAPI describes them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from test_infra.spark.gateway.states import JobState
from test_infra.spark.job.spec import JobSpec, JobType


class Job(BaseModel):
    """A Spark job as a list shows it."""

    execution_id: str = Field(description="Id of this submission.")
    name: str
    team: str
    owner: str
    user: str
    type: JobType
    labels: dict[str, str]
    state: JobState
    submitted_at: float = Field(description="Epoch seconds.")
    ended_at: float | None = Field(description="Epoch seconds; null while it has not ended.")
    exit_code: int | None = Field(description="Of the driver; negative is a signal.")
    error: str = Field(description="What went wrong, empty when nothing did.")
    attempt: int = Field(description="Number of the current or last attempt; 1 is the first.")
    logs_kept: bool = Field(description="Whether its logs still exist.")


class Jobs(BaseModel):
    """A list of jobs, oldest first."""

    jobs: list[Job]


class Cancelled(BaseModel):
    """The answer to a cancel; a job that had ended is no error."""

    success: bool = Field(description="Whether this request ended the job.")
    message: str = Field(description="What was done, or why nothing was.")
    job: Job


class Description(Job):
    """Everything known of a Spark job."""

    spec: JobSpec
    attempts: list[dict[str, Any]] = Field(description="Times, exit code and outcome of each start of its driver.")
    history: list[dict[str, Any]] = Field(description="Every state with its time (epoch seconds) and its reason.")
    driver: dict[str, Any] = Field(description="The last status that the driver wrote.")
    ui: str | None = Field(description="URL of Spark's own UI, while it is served.")
    log: str = Field(description="The log file on the gateway's machine.")


class Health(BaseModel):
    """The gateway answers."""

    status: str
    version: str
    stack: str
