from __future__ import annotations

from pathlib import Path

import pytest

from test_infra.spark.gateway.execution import Execution
from test_infra.spark.gateway.job_files import JobFiles, removal_is_due
from test_infra.spark.gateway.states import JobState
from test_infra.spark.job.spec import JobSpec, PythonModule, Retain, Retention

S, R = JobState, Retention
NOW = 100.0


def job(state: JobState, retention: Retention, removed_at: float | None = None) -> Execution:
    spec = JobSpec(name="job", application=PythonModule(module="a.b"), retention=retention)
    return Execution("one", "key", spec, state, 0.0, ended_at=90.0 if state.terminal else None, removed_at=removed_at)


@pytest.mark.parametrize(
    ("state", "retention", "due"),
    [
        (S.SUCCEEDED, R(), False),
        (S.SUCCEEDED, R(retain=Retain.NEVER), True),
        (S.RUNNING, R(retain=Retain.NEVER), False),
        (S.SUCCEEDED, R(retain=Retain.ON_FAILURE), True),
        (S.CANCELLED, R(retain=Retain.ON_FAILURE), True),
        (S.LOST, R(retain=Retain.ON_FAILURE), False),
        (S.LOST, R(retain=Retain.ON_FAILURE, ttl_s=10), True),
        (S.SUCCEEDED, R(ttl_s=10), True),
        (S.SUCCEEDED, R(ttl_s=11), False),
        (S.RUNNING, R(ttl_s=0), False),
    ],
)
def test_files_go_when_the_retention_says_so(state: JobState, retention: Retention, due: bool) -> None:
    assert removal_is_due(job(state, retention), NOW) is due


def test_files_that_went_are_not_removed_again() -> None:
    assert not removal_is_due(job(S.SUCCEEDED, R(retain=Retain.NEVER), removed_at=95.0), NOW)


def test_later_attempts_have_folders_of_their_own_and_the_log_of_the_job(tmp_path: Path) -> None:
    files = JobFiles(tmp_path)
    assert files.attempt_dir("one", 1) == tmp_path / "one"
    assert files.attempt_dir("one", 2) == tmp_path / "one" / "attempt-2"
    assert files.attempt(job(S.SUBMITTED, R())).log_path == files.log_path("one")
