"""Drivers as kept processes: any Python program may be one, so most of these need no Spark.

The first block are the cases of the framework that this gateway took over, by their names.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import BadDocument, NotReady
from test_infra.spark.gateway.backend import Attempt
from test_infra.spark.gateway.execution import Execution
from test_infra.spark.gateway.gateway import LogsRemoved, NotYourJob, SparkGateway, SubmissionFailed
from test_infra.spark.gateway.processes import ProcessBackend
from test_infra.spark.gateway.record import KeyConflict
from test_infra.spark.gateway.record_rows import UnknownJob
from test_infra.spark.gateway.states import JobState
from test_infra.spark.job.spec import (
    FromFile,
    FromVariable,
    JobSpec,
    PythonFile,
    PythonModule,
    RestartPolicy,
    RestartWhen,
    Retain,
    Retention,
    Timeouts,
)
from test_infra.stack import AttachedLease, Stack, StackSpec, down, up
from test_infra.stack.services.gateway import GatewaySettings
from test_infra.stack.spec import Services
from test_infra_tests.jobs import awaited

STACK = "testspark"
QUICK = Timeouts(stop_s=2)
SLEEPS = JobSpec(
    name="sleeps",
    team="ours",
    application=PythonModule(module="http.server"),
    args=("0", "--bind", "127.0.0.1"),
    timeouts=QUICK,
)
NO_SERVICES = StackSpec(services=Services(postgres=None, kafka=None, connect=None))


@pytest.fixture(scope="module")
def stack(test_home: Path) -> Iterator[Stack]:
    yield up(NO_SERVICES, stack_id=STACK, lease=AttachedLease())
    down(STACK)


@pytest.fixture
def gateway(stack: Stack) -> SparkGateway:
    return SparkGateway(stack)


def key() -> str:
    return uuid.uuid4().hex


def program(folder: Path, code: str, name: str = "job.py") -> PythonFile:
    path = folder / name
    path.write_text(code)
    return PythonFile(python_file=str(path))


def ended(gateway: SparkGateway, execution_id: str, within_s: float = 30) -> Execution:
    return awaited(gateway, execution_id, *(state for state in JobState if state.terminal), within_s=within_s)


def whole_log(gateway: SparkGateway, execution_id: str) -> str:
    return "".join(text for text, _ in gateway.follow(execution_id))


class TestCasesOfTheOriginal:
    def test_submit_ok(self, gateway: SparkGateway) -> None:
        execution_id = gateway.submit(
            JobSpec(name="ok", application=PythonModule(module="this")), idempotency_key=key()
        )
        assert gateway.describe(execution_id)["history"][0]["state"] == "submitted"
        assert ended(gateway, execution_id).state is JobState.SUCCEEDED

    def test_nil_spec(self, gateway: SparkGateway) -> None:
        with pytest.raises(AttributeError):
            gateway.submit(None, idempotency_key=key())  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="application"):
            JobSpec.model_validate({"name": "nil"})

    def test_check_running_then_cancel_running_then_cancelled(self, gateway: SparkGateway) -> None:
        execution_id = gateway.submit(SLEEPS, idempotency_key=key())
        assert awaited(gateway, execution_id, JobState.DRIVER_STARTED).exit_code is None
        answer = gateway.cancel(execution_id, team="ours")
        assert (answer.success, answer.execution.state) == (True, JobState.CANCELLED)
        assert gateway.check(execution_id).state is JobState.CANCELLED

    def test_check_turns_completed(self, gateway: SparkGateway) -> None:
        execution_id = gateway.submit(
            JobSpec(name="ends", application=PythonModule(module="this")), idempotency_key=key()
        )
        done = ended(gateway, execution_id)
        assert (done.state, done.exit_code) == (JobState.SUCCEEDED, 0)
        assert done.ended_at is not None
        text, offset = gateway.logs(execution_id)
        assert "Namespaces are one honking great idea" in text
        assert gateway.logs(execution_id, offset) == ("", offset)

    def test_unknown_id(self, gateway: SparkGateway) -> None:
        for ask in (gateway.check, gateway.logs, gateway.describe, lambda one: gateway.cancel(one, team="ours")):
            with pytest.raises(UnknownJob, match="no Spark job 'none'"):
                ask("none")

    def test_cancel_completed_is_no_error(self, gateway: SparkGateway) -> None:
        spec = JobSpec(name="done", team="ours", application=PythonModule(module="this"))
        execution_id = gateway.submit(spec, idempotency_key=key())
        ended(gateway, execution_id)
        answer = gateway.cancel(execution_id, team="ours")
        assert not answer.success
        assert answer.message == "it has ended before: succeeded"
        assert answer.execution.state is JobState.SUCCEEDED

    def test_list_by_job_with_limit_and_other_job(self, gateway: SparkGateway) -> None:
        spec = JobSpec(name="listed", application=PythonModule(module="this"))
        ids = [gateway.submit(spec, idempotency_key=key()) for _ in range(3)]
        assert [execution.execution_id for execution in gateway.list(name="listed")] == ids
        assert [execution.execution_id for execution in gateway.list(name="listed", limit=2)] == ids[1:]
        assert gateway.list(name="other-job") == ()
        for execution_id in ids:
            ended(gateway, execution_id)
        assert len(gateway.list(name="listed", state=JobState.SUCCEEDED)) == 3
        assert gateway.list(name="listed", team="theirs") == ()


def test_the_exit_code_decides(gateway: SparkGateway, tmp_path: Path) -> None:
    spec = JobSpec(name="fails", application=program(tmp_path, "print('last words')\nraise SystemExit(7)"))
    execution_id = gateway.submit(spec, idempotency_key=key())
    failed = ended(gateway, execution_id)
    assert (failed.state, failed.exit_code, failed.error) == (JobState.APPLICATION_FAILED, 7, "exit code 7")
    assert whole_log(gateway, execution_id) == "last words\n"


def test_same_key_is_one_job_whoever_asks_and_another_spec_is_a_conflict(stack: Stack) -> None:
    one_key, found = key(), []
    threads = [
        threading.Thread(target=lambda: found.append(SparkGateway(stack).submit(SLEEPS, idempotency_key=one_key)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gateway = SparkGateway(stack)
    assert len(found) == 6
    assert len(set(found)) == 1
    assert [event["state"] for event in gateway.describe(found[0])["history"]].count("driver_requested") == 1
    with pytest.raises(KeyConflict, match="belongs to another job"):
        gateway.submit(SLEEPS.model_copy(update={"args": ("1",)}), idempotency_key=one_key)
    gateway.cancel(found[0], team="ours")


def test_another_team_cannot_cancel(gateway: SparkGateway) -> None:
    execution_id = gateway.submit(SLEEPS, idempotency_key=key())
    with pytest.raises(NotYourJob, match="belongs to another team"):
        gateway.cancel(execution_id, team="theirs")
    assert not gateway.check(execution_id).state.terminal
    assert gateway.cancel(execution_id, team="ours").success


def test_a_driver_that_is_never_ready_times_out_and_is_ended(stack: Stack, gateway: SparkGateway) -> None:
    spec = SLEEPS.model_copy(update={"timeouts": Timeouts(ready_s=0.5, stop_s=2)})
    execution_id = gateway.submit(spec, idempotency_key=key())
    late = awaited(gateway, execution_id, JobState.READY_TIMED_OUT)
    assert "no Spark session within 0.5 s" in late.error
    assert not stack.runtime.observe(f"spark-{execution_id}").running


def test_a_driver_killed_from_outside_is_evicted_and_tried_again_within_its_limits(gateway: SparkGateway) -> None:
    policy = RestartPolicy(when=RestartWhen.ON_FAILURE, infrastructure_failures=1, backoff_s=0.1)
    execution_id = gateway.submit(SLEEPS.model_copy(update={"restart": policy}), idempotency_key=key())
    awaited(gateway, execution_id, JobState.DRIVER_STARTED)
    gateway.signal(execution_id, signal.SIGKILL)

    def second() -> None:
        if (now := gateway.check(execution_id)).attempt != 2 or now.state is not JobState.DRIVER_STARTED:
            raise StillWaiting(f"attempt {now.attempt} {now.state}")

    wait_for(second, Deadline(20), what="the job", awaited="its second attempt")
    gateway.signal(execution_id, signal.SIGKILL)
    assert ended(gateway, execution_id).state is JobState.EVICTED
    described = gateway.describe(execution_id)
    assert [one["outcome"] for one in described["attempts"]] == ["evicted", "evicted"]
    assert any("the next one in 0.1 s" in event["reason"] for event in described["history"])


def test_an_application_that_fails_once_succeeds_in_its_second_attempt(gateway: SparkGateway, tmp_path: Path) -> None:
    code = (
        f"import pathlib\nseen = pathlib.Path({str(tmp_path / 'seen')!r})\n"
        "ok = seen.exists()\nseen.touch()\nprint('try', ok)\nassert ok"
    )
    policy = RestartPolicy(when=RestartWhen.ON_FAILURE, backoff_s=0)
    spec = JobSpec(name="flaky", application=program(tmp_path, code), restart=policy)
    execution_id = gateway.submit(spec, idempotency_key=key())
    done = ended(gateway, execution_id)
    assert (done.state, done.attempt) == (JobState.SUCCEEDED, 2)
    log = whole_log(gateway, execution_id)
    assert "try False" in log
    assert log.endswith("try True\n")


def test_more_jobs_than_may_run_wait_and_one_that_waits_too_long_fails(stack: Stack) -> None:
    gateway = SparkGateway(stack, settings=GatewaySettings(most_active=1))
    first = gateway.submit(SLEEPS, idempotency_key=key())
    second = gateway.submit(SLEEPS, idempotency_key=key())
    hasty = SLEEPS.model_copy(update={"timeouts": Timeouts(queue_s=0.3)})
    third = gateway.submit(hasty, idempotency_key=key())
    assert gateway.check(second).state is JobState.QUEUED
    late = awaited(gateway, third, JobState.SUBMISSION_FAILED)
    assert "too many jobs run" in late.error
    assert gateway.cancel(first, team="ours").success
    awaited(gateway, second, JobState.DRIVER_STARTED)
    assert gateway.cancel(second, team="ours").success


def test_a_job_that_waits_is_cancelled_without_a_driver(stack: Stack) -> None:
    gateway = SparkGateway(stack, settings=GatewaySettings(most_active=1))
    first, second = (gateway.submit(SLEEPS, idempotency_key=key()) for _ in range(2))
    assert gateway.cancel(second, team="ours").execution.state is JobState.CANCELLED
    assert gateway.describe(second)["attempts"] == []
    assert gateway.cancel(first, team="ours").success


def test_secrets_come_by_reference_and_are_seen_nowhere(
    gateway: SparkGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_WORD", "open-sesame-1234")
    secret = tmp_path / "secret"
    secret.write_text("shut-sesame-5678\n")
    secret.chmod(0o600)
    code = "import os\nprint(len(os.environ['ONE']), os.environ['ONE'], os.environ['TWO'])"
    spec = JobSpec(
        name="secrets",
        application=program(tmp_path, code),
        environment={"ONE": FromVariable(from_variable="OUR_WORD"), "TWO": FromFile(from_file=str(secret))},
    )
    execution_id = gateway.submit(spec, idempotency_key=key())
    ended(gateway, execution_id)
    assert whole_log(gateway, execution_id) == "16 ******** ********\n"
    assert "sesame" not in json.dumps(gateway.describe(execution_id))
    secret.chmod(0o644)
    with pytest.raises(SubmissionFailed, match="others may read"):
        gateway.submit(spec, idempotency_key=key())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"application": PythonFile(python_file="/none/job.py")}, "there is no file /none/job.py"),
        ({"application": PythonModule(module="m", wheel="/none.whl")}, "there is no file /none.whl"),
        ({"files": ("/none/orders.csv",)}, "there is no file /none/orders.csv"),
        ({"spark_version": "3.5"}, "Spark 3.5 is asked for and this machine has .*\n.*backend docker"),
        ({"environment": {"A": FromVariable(from_variable="NOT_THERE")}}, "NOT_THERE"),
        ({"jar_groups": ("none-such",)}, "none-such"),
    ],
)
def test_what_cannot_start_is_a_submission_failure_with_a_reason(
    gateway: SparkGateway, change: dict[str, object], said: str
) -> None:
    with pytest.raises(SubmissionFailed, match=said):
        gateway.submit(SLEEPS.model_copy(update={"name": "refused", **change}), idempotency_key=key())
    assert gateway.list(name="refused")[-1].state is JobState.SUBMISSION_FAILED


def test_properties_that_open_holes_are_refused_before_anything_is_recorded(stack: Stack, tmp_path: Path) -> None:
    spec = JobSpec(name="hole", application=PythonModule(module="this"), conf={"spark.jars.packages": "a:b:1"})
    gateway = SparkGateway(stack)
    with pytest.raises(BadDocument, match=r"spark\.jars\.packages"):
        gateway.submit(spec, idempotency_key=key())
    assert gateway.list(name="hole") == ()
    open_one = SparkGateway(stack, settings=GatewaySettings(allowed_conf=("spark.jars.packages",)))
    ended(open_one, open_one.submit(spec, idempotency_key=key()))


def test_a_module_of_a_wheel_is_run(gateway: SparkGateway, tmp_path: Path) -> None:
    wheel = tmp_path / "acme_jobs-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("acme_jobs/__init__.py", "")
        archive.writestr("acme_jobs/count.py", "import sys\nprint('counted', *sys.argv[1:])")
    spec = JobSpec(
        name="wheel", application=PythonModule(module="acme_jobs.count", wheel=str(wheel)), args=("a b", "$(id)", ";")
    )
    execution_id = gateway.submit(spec, idempotency_key=key())
    ended(gateway, execution_id)
    assert whole_log(gateway, execution_id) == "counted a b $(id) ;\n"


@pytest.mark.parametrize(
    ("retention", "code", "kept"),
    [
        (Retention(), "", True),
        (Retention(retain=Retain.NEVER), "", False),
        (Retention(retain=Retain.ON_FAILURE), "", False),
        (Retention(retain=Retain.ON_FAILURE), "raise SystemExit(1)", True),
        (Retention(ttl_s=0), "", False),
    ],
)
def test_what_is_kept_of_an_ended_job(
    gateway: SparkGateway, tmp_path: Path, retention: Retention, code: str, kept: bool
) -> None:
    spec = JobSpec(name="kept", application=program(tmp_path, code), retention=retention)
    execution_id = gateway.submit(spec, idempotency_key=key())
    end = ended(gateway, execution_id)
    gateway.advance_all()
    assert gateway.log_path(execution_id).exists() is kept
    assert gateway.check(execution_id).exit_code == end.exit_code
    if not kept:
        with pytest.raises(LogsRemoved, match="were removed"):
            gateway.logs(execution_id)


class LosesReplies(ProcessBackend):
    """Starts the driver and then loses the answer."""

    def start(self, attempt: Attempt) -> None:
        super().start(attempt)
        raise NotReady("the reply was lost")


def test_a_reply_that_is_lost_after_the_start_is_one_running_job(stack: Stack) -> None:
    gateway = SparkGateway(stack, backend=LosesReplies(stack))
    one_key = key()
    execution_id = gateway.submit(SLEEPS, idempotency_key=one_key)
    assert gateway.submit(SLEEPS, idempotency_key=one_key) == execution_id
    awaited(gateway, execution_id, JobState.DRIVER_STARTED)
    assert any("no clear answer" in event["reason"] for event in gateway.describe(execution_id)["history"])
    assert gateway.cancel(execution_id, team="ours").success


class NeverStarts(ProcessBackend):
    """Takes the request and never carries it out."""

    def start(self, attempt: Attempt) -> None:
        pass


def test_a_driver_that_never_comes_times_out_and_is_not_called_lost(stack: Stack) -> None:
    gateway = SparkGateway(stack, backend=NeverStarts(stack))
    spec = SLEEPS.model_copy(update={"timeouts": Timeouts(driver_start_s=0.3)})
    execution_id = gateway.submit(spec, idempotency_key=key())
    assert gateway.check(execution_id).state is JobState.DRIVER_REQUESTED
    awaited(gateway, execution_id, JobState.DRIVER_START_TIMED_OUT)


def test_a_cancel_that_comes_after_the_end_does_not_change_it(gateway: SparkGateway, tmp_path: Path) -> None:
    spec = JobSpec(name="race", team="ours", application=program(tmp_path, "pass"))
    for _ in range(5):
        execution_id = gateway.submit(spec, idempotency_key=key())
        answer = gateway.cancel(execution_id, team="ours")
        end = ended(gateway, execution_id)
        assert answer.success is (end.state is JobState.CANCELLED)
        assert end.state in {JobState.CANCELLED, JobState.SUCCEEDED}


SUBMITS = """
import sys, time
from test_infra.spark.gateway.gateway import SparkGateway
from test_infra.spark.job.spec import JobSpec
from test_infra.stack import attach
gateway = SparkGateway(attach(sys.argv[1]))
print(gateway.submit(JobSpec.model_validate_json(sys.argv[2]), idempotency_key=sys.argv[3]), flush=True)
time.sleep(60)
"""


def test_a_gateway_killed_with_9_loses_no_job_no_log_and_no_exit_code(stack: Stack, tmp_path: Path) -> None:
    go = tmp_path / "go"
    code = (
        f"import pathlib, time\nprint('before', flush=True)\ngo = pathlib.Path({str(go)!r})\n"
        "while not go.exists(): time.sleep(0.05)\nprint('after')\nraise SystemExit(5)"
    )
    spec = JobSpec(name="outlives", application=program(tmp_path, code))
    one_key = key()
    submitter = subprocess.Popen(
        [sys.executable, "-c", SUBMITS, STACK, spec.model_dump_json(), one_key], stdout=subprocess.PIPE, text=True
    )
    assert submitter.stdout is not None
    execution_id = submitter.stdout.readline().strip()
    os.kill(submitter.pid, signal.SIGKILL)
    submitter.wait()
    submitter.stdout.close()
    go.touch()
    stack.runtime.observe(f"spark-{execution_id}")
    gateway = SparkGateway(stack)
    assert gateway.submit(spec, idempotency_key=one_key) == execution_id
    end = ended(gateway, execution_id)
    assert (end.state, end.exit_code) == (JobState.APPLICATION_FAILED, 5)
    assert whole_log(gateway, execution_id) == "before\nafter\n"


def test_a_killed_keeper_leaves_no_job_that_looks_alive(test_home: Path) -> None:
    other = up(NO_SERVICES, stack_id="testspark2", lease=AttachedLease())
    gateway = SparkGateway(other)
    execution_id = gateway.submit(SLEEPS, idempotency_key=key())
    awaited(gateway, execution_id, JobState.DRIVER_STARTED)
    os.kill(other.keeper.pid, signal.SIGKILL)
    end = ended(gateway, execution_id)
    assert end.state in {JobState.LOST, JobState.EVICTED}
    down("testspark2")


WORDS = """
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
rows, cores = spark.range(int(sys.argv[1])).count(), spark.sparkContext.defaultParallelism
print("rows", rows, spark.version, cores, spark.conf.get("spark.acme.word"))
spark.stop()
"""


def test_a_spark_program_runs_with_the_properties_of_its_spec(gateway: SparkGateway, tmp_path: Path) -> None:
    import pyspark

    spec = JobSpec(
        name="count",
        application=program(tmp_path, WORDS),
        args=("1000",),
        conf={"spark.acme.word": "a = b: \\ #größer 100%"},
        ui=True,
    )
    execution_id = gateway.submit(spec, idempotency_key=key())
    assert ended(gateway, execution_id, within_s=200).state is JobState.SUCCEEDED
    assert f"rows 1000 {pyspark.__version__} 2 a = b: \\ #größer 100%\n" in whole_log(gateway, execution_id)
    times = gateway.describe(execution_id)["attempts"][0]
    assert times["requested_at"] <= times["started_at"] <= times["ready_at"] <= times["running_at"]
