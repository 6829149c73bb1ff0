"""A class of a user's jar as a Spark job: run by Spark's own submitter, on this machine and in a container."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from test_infra.base.backend import Backend
from test_infra.spark.gateway.execution import Execution
from test_infra.spark.gateway.gateway import SparkGateway
from test_infra.spark.gateway.states import JobState
from test_infra.spark.job.spec import Jar, JobSpec
from test_infra.stack import AttachedLease, StackSpec, down, up
from test_infra.stack.spec import Services
from test_infra_tests.integration import scala_jar
from test_infra_tests.jobs import awaited

WITHIN_S = 150.0
MORE_ENDS = pytest.mark.ci(reason="more ends of a job from a jar")


@pytest.fixture(scope="module")
def jar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scala_jar.compiled(tmp_path_factory.mktemp("jar"))


@pytest.fixture(scope="module", params=[Backend.LOCAL])
def gateway(request: pytest.FixtureRequest, test_home: Path) -> Iterator[SparkGateway]:
    if request.param is Backend.DOCKER:
        request.getfixturevalue("docker_image")
    spec = StackSpec(backend=request.param, services=Services(postgres=None, kafka=None, connect=None))
    name = f"testjar{request.param}"
    yield SparkGateway(up(spec, stack_id=name, lease=AttachedLease()))
    down(name)


def submitted(gateway: SparkGateway, jar: Path, how: str, main_class: str = scala_jar.MAIN_CLASS) -> str:
    spec = JobSpec(
        name="daily",
        team="ours",
        application=Jar(jar=str(jar), main_class=main_class),
        args=("1000", how),
        conf={"spark.acme.word": "a word"},
    )
    return gateway.submit(spec, idempotency_key=uuid.uuid4().hex)


def ended(gateway: SparkGateway, execution_id: str) -> tuple[Execution, str]:
    """How it ended, and its log."""
    execution = awaited(gateway, execution_id, *(state for state in JobState if state.terminal), within_s=WITHIN_S)
    return execution, "".join(text for text, _ in gateway.follow(execution_id))


@pytest.mark.parametrize(
    ("gateway", "how", "state", "exit_code"),
    [
        (Backend.LOCAL, "0", JobState.SUCCEEDED, 0),
        pytest.param(Backend.LOCAL, "7", JobState.APPLICATION_FAILED, 7, marks=MORE_ENDS),
        pytest.param(Backend.LOCAL, "throws", JobState.APPLICATION_FAILED, 1, marks=MORE_ENDS),
        pytest.param(Backend.DOCKER, "0", JobState.SUCCEEDED, 0, marks=MORE_ENDS),
        pytest.param(Backend.DOCKER, "7", JobState.APPLICATION_FAILED, 7, marks=MORE_ENDS),
    ],
    indirect=["gateway"],
)
def test_its_main_class_runs_with_the_jobs_properties_and_its_exit_code_decides(
    gateway: SparkGateway, jar: Path, how: str, state: JobState, exit_code: int
) -> None:
    import pyspark

    execution_id = submitted(gateway, jar, how)
    end, log = ended(gateway, execution_id)
    assert (end.state, end.exit_code) == (state, exit_code), log
    assert f"rows 1000 {pyspark.__version__} a word\n" in log
    assert ("java.lang.IllegalStateException: no orders for this day" in log) == (how == "throws")
    assert "running" in [event["state"] for event in gateway.describe(execution_id)["history"]]


def test_a_class_that_is_not_in_the_jar_is_the_applications_failure(gateway: SparkGateway, jar: Path) -> None:
    end, log = ended(gateway, submitted(gateway, jar, "0", main_class="org.acme.Nightly"))
    assert end.state is JobState.APPLICATION_FAILED
    assert end.exit_code not in (None, 0)
    assert "org.acme.Nightly" in log


@MORE_ENDS
def test_its_java_killed_from_outside_is_evicted_and_no_fault_of_the_application(
    gateway: SparkGateway, jar: Path
) -> None:
    execution_id = submitted(gateway, jar, "waits")
    awaited(gateway, execution_id, JobState.RUNNING, within_s=WITHIN_S)
    gateway.signal(execution_id, signal.SIGTERM)
    end, log = ended(gateway, execution_id)
    assert end.state is JobState.EVICTED, log
    assert "killed by SIGTERM" in end.error
