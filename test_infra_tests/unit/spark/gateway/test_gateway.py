"""The gateway over a second backend: a fake of ten lines, driven by hand, without a process or a stack."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from test_infra.base.errors import NotReady
from test_infra.spark.driver.status import DriverStatus, write_status
from test_infra.spark.gateway.backend import Attempt, Refused
from test_infra.spark.gateway.drivers import JobDrivers
from test_infra.spark.gateway.gateway import LogsRemoved, SparkGateway, SubmissionFailed
from test_infra.spark.gateway.job_files import JobFiles
from test_infra.spark.gateway.record import JobRecord
from test_infra.spark.gateway.states import DriverState, JobState, Observation, Transition
from test_infra.spark.job.spec import JobSpec, PythonModule, RestartPolicy, RestartWhen, Retain, Retention, Timeouts
from test_infra.stack import Stack, StackSpec
from test_infra.stack.services.gateway import GatewaySettings

SPEC = JobSpec(name="job", team="ours", application=PythonModule(module="a.b"))
RUNS = Observation(DriverState.RUNNING, driver_ready=True, at_work=True)
SUCCEEDS = Observation(DriverState.ENDED, exit_code=0, ended_at=5.0)
FAILS = Observation(DriverState.ENDED, exit_code=3, ended_at=5.0)


class FakeCluster:
    """Runs nothing: it remembers what it was asked for, and shows whatever a test sets."""

    name = "fake"

    def __init__(self) -> None:
        self.started: list[str] = []
        self.seen = Observation(DriverState.ABSENT)

    def start(self, attempt: Attempt) -> None:
        self.started.append(attempt.process_name)
        self.seen = Observation(DriverState.RUNNING)

    def observe(self, attempts: list[Attempt]) -> list[Observation]:
        return [self.seen for _ in attempts]

    def stop(self, attempt: Attempt, timeout_s: float) -> None:
        self.seen = Observation(DriverState.ENDED, exit_code=143)

    def signal(self, attempt: Attempt, signum: int) -> None:
        self.seen = Observation(DriverState.ENDED, exit_code=-signum)

    def logs(self, attempt: Attempt, offset: int, size_bytes: int) -> bytes:
        return b"first line\nlast line\n"[offset : offset + size_bytes]


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


def gateway(folder: Path, cluster: FakeCluster, most_active: int | None = None) -> SparkGateway:
    stack = cast("Stack", SimpleNamespace(dir=folder, spec=StackSpec()))
    return SparkGateway(stack, backend=cluster, settings=GatewaySettings(most_active=most_active))


def history(of: SparkGateway, execution_id: str) -> list[str]:
    return [event["state"] for event in of.describe(execution_id)["history"]]


def test_a_job_on_another_backend_runs_to_its_end(tmp_path: Path, cluster: FakeCluster) -> None:
    ours = gateway(tmp_path, cluster)
    execution_id = ours.submit(SPEC, idempotency_key="one")
    assert cluster.started == [f"spark-{execution_id}"]
    assert ours.check(execution_id).state is JobState.DRIVER_STARTED
    cluster.seen = RUNS
    assert ours.check(execution_id).state is JobState.RUNNING
    cluster.seen = SUCCEEDS
    done = ours.check(execution_id)
    assert (done.state, done.exit_code, done.ended_at) == (JobState.SUCCEEDED, 0, 5.0)
    assert history(ours, execution_id) == ["submitted", "driver_requested", "driver_started", "running", "succeeded"]
    assert "".join(text for text, _ in ours.follow(execution_id)) == "first line\nlast line\n"


def test_a_submit_says_whether_it_made_the_job(tmp_path: Path, cluster: FakeCluster) -> None:
    ours = gateway(tmp_path, cluster)
    first = ours.submit_or_find(SPEC, idempotency_key="one")
    again = ours.submit_or_find(SPEC, idempotency_key="one")
    assert (first.created, again.created) == (True, False)
    assert first.execution.execution_id == again.execution.execution_id
    assert len(cluster.started) == 1


def test_a_job_that_was_recorded_and_not_started_is_started_by_the_next_call(
    tmp_path: Path, cluster: FakeCluster
) -> None:
    """A gateway may be killed between the two steps of a submit."""
    ours = gateway(tmp_path, cluster)
    JobRecord(ours.folder / "record.sqlite").add("one", "key", SPEC)
    ours.advance_all()
    assert cluster.started == ["spark-one"]
    assert ours.submit(SPEC, idempotency_key="key") == "one"
    assert cluster.started == ["spark-one"]


def test_a_queued_job_starts_when_its_turn_comes(tmp_path: Path, cluster: FakeCluster) -> None:
    ours = gateway(tmp_path, cluster, most_active=1)
    first, second = (ours.submit(SPEC, idempotency_key=key) for key in ("one", "two"))
    assert ours.check(second).state is JobState.QUEUED
    assert cluster.started == [f"spark-{first}"]
    cluster.seen = SUCCEEDS
    ours.advance_all()
    assert cluster.started == [f"spark-{first}", f"spark-{second}"]
    assert ours.check(first).state is JobState.SUCCEEDED


def test_a_restart_starts_by_the_same_way(tmp_path: Path, cluster: FakeCluster) -> None:
    ours = gateway(tmp_path, cluster)
    policy = RestartPolicy(when=RestartWhen.ON_FAILURE, application_failures=1, backoff_s=0)
    execution_id = ours.submit(SPEC.model_copy(update={"restart": policy}), idempotency_key="one")
    cluster.seen = FAILS
    assert ours.check(execution_id).state is JobState.QUEUED
    ours.advance_all()
    assert cluster.started == [f"spark-{execution_id}", f"spark-{execution_id}-2"]
    cluster.seen = FAILS
    assert ours.check(execution_id).state is JobState.APPLICATION_FAILED


def test_what_the_driver_wrote_is_the_error_of_a_failed_job(tmp_path: Path, cluster: FakeCluster) -> None:
    ours = gateway(tmp_path, cluster)
    execution_id = ours.submit(SPEC, idempotency_key="one")
    write_status(ours.attempt_dir(execution_id), DriverStatus(error="no such table"))
    cluster.seen = FAILS
    assert ours.check(execution_id).error == "no such table"


def test_a_cancelled_job_is_stopped_and_is_not_started_again(tmp_path: Path, cluster: FakeCluster) -> None:
    ours = gateway(tmp_path, cluster)
    policy = RestartPolicy(when=RestartWhen.ALWAYS, backoff_s=0)
    execution_id = ours.submit(SPEC.model_copy(update={"restart": policy}), idempotency_key="one")
    answer = ours.cancel(execution_id, team="ours")
    assert (answer.success, answer.execution.state) == (True, JobState.CANCELLED)
    ours.advance_all()
    assert len(cluster.started) == 1


@pytest.fixture
def drivers(tmp_path: Path, record: JobRecord, cluster: FakeCluster) -> JobDrivers:
    return JobDrivers(record, cluster, JobFiles(tmp_path / "jobs"), most_active=None)


@pytest.fixture
def record(tmp_path: Path) -> JobRecord:
    return JobRecord(tmp_path / "record.sqlite")


def test_a_job_that_another_gateway_queued_meanwhile_is_not_observed(record: JobRecord, drivers: JobDrivers) -> None:
    """Between reading the jobs and their attempts the next attempt may be queued; it has no driver yet."""
    record.add("one", "key", SPEC)
    assert record.request_driver("one", most_active=None)
    read_before = record.get("one")
    failed = Transition(JobState.APPLICATION_FAILED, "exit code 3")
    record.queue_next_attempt("one", failed, attempt=1, pause_s=0, exit_code=3, ended_at=5.0)
    (now,) = drivers.record_observations([read_before])
    assert (now.state, now.attempt) == (JobState.QUEUED, 2)


def test_a_job_that_waits_too_long_is_failed(record: JobRecord, drivers: JobDrivers, cluster: FakeCluster) -> None:
    late = SPEC.model_copy(update={"timeouts": Timeouts(queue_s=1e-6)})
    job = drivers.start_if_due(record.add("one", "key", late).execution)
    assert job.state is JobState.SUBMISSION_FAILED
    assert "no driver was requested within" in job.error
    assert job.ended_at is not None
    assert cluster.started == []


def test_a_job_that_another_gateway_started_meanwhile_is_not_failed_as_late(
    record: JobRecord, drivers: JobDrivers
) -> None:
    late = SPEC.model_copy(update={"timeouts": Timeouts(queue_s=1e-6)})
    read_before = record.add("one", "key", late).execution
    assert record.request_driver("one", most_active=None)
    assert drivers.start_if_due(read_before).state is JobState.DRIVER_REQUESTED


class RefusingCluster(FakeCluster):
    def start(self, attempt: Attempt) -> None:
        raise Refused("no room", details={"why": "the quota is used up"})


def test_a_backend_that_refuses_fails_the_submission_with_its_reason(tmp_path: Path) -> None:
    ours = gateway(tmp_path, RefusingCluster())
    with pytest.raises(SubmissionFailed, match="the quota is used up"):
        ours.submit(SPEC, idempotency_key="one")
    (job,) = ours.list()
    assert (job.state, job.error) == (JobState.SUBMISSION_FAILED, "the quota is used up")


class UncertainCluster(FakeCluster):
    """Loses its reply; the driver may have started."""

    def start(self, attempt: Attempt) -> None:
        self.started.append(attempt.process_name)
        raise NotReady("the reply was lost")


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Observation(DriverState.ABSENT), JobState.DRIVER_REQUESTED),
        (Observation(DriverState.UNREACHABLE), JobState.DRIVER_REQUESTED),
        (Observation(DriverState.RUNNING), JobState.DRIVER_STARTED),
        (Observation(DriverState.REFUSED), JobState.SUBMISSION_FAILED),
    ],
)
def test_after_a_lost_reply_observations_decide(tmp_path: Path, seen: Observation, expected: JobState) -> None:
    cluster = UncertainCluster()
    ours = gateway(tmp_path, cluster)
    execution_id = ours.submit(SPEC, idempotency_key="one")
    cluster.seen = seen
    assert ours.check(execution_id).state is expected
    assert any("no clear answer" in event["reason"] for event in ours.describe(execution_id)["history"])


class StubbornCluster(FakeCluster):
    stuck = True

    def stop(self, attempt: Attempt, timeout_s: float) -> None:
        if self.stuck:
            raise NotReady("it still runs")
        super().stop(attempt, timeout_s)


def test_a_job_is_not_over_while_its_driver_may_run(tmp_path: Path) -> None:
    cluster = StubbornCluster()
    ours = gateway(tmp_path, cluster)
    late = SPEC.model_copy(update={"timeouts": Timeouts(ready_s=1e-6)})
    execution_id = ours.submit(late, idempotency_key="one")
    assert [ours.check(execution_id).state for _ in range(3)] == [JobState.DRIVER_STARTED] * 3
    cluster.stuck = False
    assert ours.check(execution_id).state is JobState.READY_TIMED_OUT


def test_files_go_as_the_retention_says(tmp_path: Path, cluster: FakeCluster) -> None:
    ours = gateway(tmp_path, cluster)
    spec = SPEC.model_copy(update={"retention": Retention(retain=Retain.ON_FAILURE)})
    execution_id = ours.submit(spec, idempotency_key="one")
    folder = ours.attempt_dir(execution_id)
    assert folder.exists()
    cluster.seen = SUCCEEDS
    ours.advance_all()
    ours.advance_all()
    assert not folder.exists()
    with pytest.raises(LogsRemoved):
        ours.logs(execution_id)
