"""The `docker` backend on a real engine: what runs in containers, how it is shut in, how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import httpx
import pytest

from docker import DockerClient
from test_infra.base.backend import Backend
from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.cdc.sources import postgres
from test_infra.runtime import docker_engine
from test_infra.runtime.container import ContainerRefused
from test_infra.runtime.process import ProcessSpec
from test_infra.spark.gateway.connect_servers import ConnectServers, ConnectSpec
from test_infra.spark.gateway.gateway import SparkGateway, SubmissionFailed
from test_infra.spark.gateway.states import JobState
from test_infra.spark.job.spec import JobSpec, PythonFile, PythonModule, Timeouts
from test_infra.stack import AttachedLease, Stack, StackNotRunning, StackSpec, attach, down, up
from test_infra.stack.service import ServiceFailed
from test_infra.stack.services.kafka import broker_answers
from test_infra.stack.services.postgres import PostgresSettings
from test_infra.stack.spec import Services
from test_infra.stack.sweep import stack_tag
from test_infra_tests.jobs import awaited

STACK = "testdocker"
SLEEPS = PythonModule(module="http.server")
QUICK = Timeouts(stop_s=2)
ASKS = """
import sys
from pathlib import Path
from pyspark.sql import SparkSession
from test_infra.spark.driver.connect_address import connect_url
spark = SparkSession.builder.remote(connect_url(int(sys.argv[1]), Path(sys.argv[2]).read_text())).getOrCreate()
print(spark.sql("SELECT 40 + 2 AS answer").collect()[0].answer)
"""
OURS = Path("/var/run/test_infra-dockerd")
OURS_SCRIPT = str(Path(__file__).parents[2] / ".ci" / "docker")
POSTGRES_ONLY = StackSpec(backend=Backend.DOCKER, services=Services(kafka=None, connect=None))


def eventually(observe, within_s: float, awaited: str) -> None:
    wait_for(observe, Deadline(within_s), what="the test's wish", awaited=awaited, interval_s=0.1)


@pytest.fixture(scope="module")
def client(docker_image: str) -> Iterator[DockerClient]:
    with_engine = docker_engine.engine()
    yield with_engine
    with_engine.close()


@pytest.fixture(scope="module")
def stack(docker_image: str, test_home: Path) -> Iterator[Stack]:
    yield up(StackSpec(backend=Backend.DOCKER), stack_id=STACK, lease=AttachedLease(), timeout_s=180)
    down(STACK)


@pytest.fixture
def small(docker_image: str, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """PostgreSQL alone, for tests that end their stack in some way."""
    name = f"d{abs(hash(request.node.name)) % 10**8}"
    yield up(POSTGRES_ONLY, stack_id=name, lease=AttachedLease(), timeout_s=120)
    down(name)


def containers(client: DockerClient, stack_id: str) -> dict[str, dict]:
    """Process -> what the engine says of its container, ended ones included."""
    wanted = {"label": f"{docker_engine.STACK_LABEL}={stack_tag(stack_id)}"}
    found = client.containers.list(all=True, filters=wanted, ignore_removed=True)
    return {one.labels[docker_engine.PROCESS_LABEL]: one.attrs for one in found}


def running(client: DockerClient, stack_id: str) -> set[str]:
    return {name for name, seen in containers(client, stack_id).items() if seen["State"]["Running"]}


def nothing_is_left(client: DockerClient, stack_id: str) -> None:
    wanted = {"label": f"{docker_engine.STACK_LABEL}={stack_tag(stack_id)}"}
    left = [*containers(client, stack_id), *client.networks.list(filters=wanted), *client.volumes.list(filters=wanted)]
    if left:
        raise StillWaiting(str(left))


def test_every_service_runs_in_a_container_and_is_usable_from_outside(stack: Stack, client: DockerClient) -> None:
    assert running(client, STACK) == {"postgres", "kafka", "connect"}
    status = stack.status()
    assert status.usable
    seen = containers(client, STACK)
    assert {one.name: one.pid for one in status.services} == {
        name: inspected["State"]["Pid"] for name, inspected in seen.items()
    }
    for name, endpoint in stack.endpoints.items():
        assert endpoint.host == "127.0.0.1"
        assert endpoint.inside.host == name
        assert endpoint.version


def test_containers_are_shut_in(stack: Stack, client: DockerClient) -> None:
    for name, seen in containers(client, STACK).items():
        host = seen["HostConfig"]
        assert not seen["Config"]["User"].startswith(("0", "root")), name
        assert host["CapDrop"] == ["ALL"]
        assert "no-new-privileges" in host["SecurityOpt"]
        assert 0 < host["Memory"] == host["MemorySwap"]
        assert host["PidsLimit"] > 0
        assert not host["Privileged"]
        assert [binding["HostIp"] for ports in host["PortBindings"].values() for binding in ports] == ["127.0.0.1"]
        assert seen["Config"]["Labels"][docker_engine.OWNER_LABEL]
        assert seen["Config"]["Labels"][docker_engine.EXPIRES_LABEL] == "attached"
        seen_of_this_machine = {Path(mount["Source"]) for mount in seen["Mounts"]}
        assert not any(path == Path("/") or "docker.sock" in path.name for path in seen_of_this_machine), name


def test_a_folder_below_the_home_of_root_is_reached_by_who_is_not_root(
    docker_image: str, tmp_path: Path, client: DockerClient
) -> None:
    """There lies the stack of root who named no other place."""
    told = tmp_path / "place.json"
    told.write_text("told")
    for path in (tmp_path, told):
        path.chmod(0o755)
    # By its exit code: what a container says in its last moment, the engine may give too late to be read.
    client.containers.run(
        docker_image,
        ["grep", "--fixed-strings", "--line-regexp", "told", "/root/.local/share/test_infra/place.json"],
        user="101:104",
        volumes={str(tmp_path): {"bind": "/root/.local/share/test_infra", "mode": "ro"}},
        remove=True,
    )


def test_no_secret_stands_where_the_engine_shows_it(stack: Stack, client: DockerClient) -> None:
    secrets = [path.read_text() for endpoint in stack.endpoints.values() for path in endpoint.secret_files.values()]
    assert secrets
    told = str(containers(client, STACK)) + "".join(log.read_text() for log in stack.logs.glob("*.log"))
    assert not any(secret in told for secret in secrets)


def test_a_service_is_given_its_own_secrets_only(stack: Stack, client: DockerClient) -> None:
    given = {
        name: {Path(mount["Source"]).name for mount in seen["Mounts"] if "/secrets/" in mount["Source"]}
        for name, seen in containers(client, STACK).items()
    }
    assert given == {
        "postgres": {"owner_password", "capture_password"}, "kafka": set(), "connect": {"capture_password"}
    }  # fmt: skip


@pytest.mark.ci(reason="more of what a container can meet")
def test_a_killed_container_comes_back_and_is_reported(stack: Stack, client: DockerClient) -> None:
    before = stack.runtime.observe("kafka").restarts
    client.containers.get(containers(client, STACK)["kafka"]["Id"]).kill()

    def back() -> None:
        if stack.runtime.observe("kafka").restarts == before:
            raise StillWaiting("no restart is on record")
        broker_answers(stack.endpoint("kafka"))

    eventually(back, 60, "kafka restarted")
    assert ("kafka", "ended") in {(event["service"], event["event"]) for event in stack.events()}


def test_a_job_reaches_the_services_by_their_names(stack: Stack) -> None:
    gateway = SparkGateway(stack)
    address = stack.endpoint("kafka").inside
    module = JobSpec(
        name="telnet",
        application=PythonModule(module="timeit"),
        args=("-n", "1", f"import socket; socket.create_connection({(address.host, address.port)}, 5).close()"),
    )
    execution_id = gateway.submit(module, idempotency_key="telnet")
    ended = awaited(gateway, execution_id, JobState.SUCCEEDED, JobState.APPLICATION_FAILED)
    assert ended.state is JobState.SUCCEEDED, gateway.logs(execution_id)


@pytest.mark.ci(reason="more of what a container can meet")
def test_a_spark_program_of_this_machine_runs_in_the_image_and_is_ready_by_its_events(
    stack: Stack, client: DockerClient, tmp_path: Path
) -> None:
    program = tmp_path / "counts.py"
    program.write_text(
        "from pyspark.sql import SparkSession\n"
        "spark = SparkSession.builder.getOrCreate()\n"
        "print('counted', spark.range(7).count(), spark.version, spark.conf.get('spark.driver.extraClassPath'))\n"
        "spark.stop()\n"
    )
    tmp_path.chmod(0o755)
    gateway = SparkGateway(stack)
    execution_id = gateway.submit(
        JobSpec(name="counts", application=PythonFile(python_file=str(program))), idempotency_key="counts"
    )
    ended = awaited(gateway, execution_id, JobState.SUCCEEDED, JobState.APPLICATION_FAILED, within_s=90)
    text, _ = gateway.logs(execution_id)
    assert ended.state is JobState.SUCCEEDED, text
    assert re.search(r"counted 7 \S+ /opt/test_infra/cache/", text), text
    assert "running" in [event["state"] for event in gateway.describe(execution_id)["history"]]


@pytest.mark.ci(reason="more of what a container can meet")
def test_the_spark_ui_of_a_job_answers_at_its_mapped_port_while_it_runs(
    stack: Stack, client: DockerClient, tmp_path: Path
) -> None:
    program = tmp_path / "shown.py"
    program.write_text(
        "import time\n"
        "from pyspark.sql import SparkSession\n"
        "print('counted', SparkSession.builder.getOrCreate().range(7).count(), flush=True)\n"
        "time.sleep(600)\n"
    )
    gateway = SparkGateway(stack)
    spec = JobSpec(name="shown", application=PythonFile(python_file=str(program)), timeouts=QUICK, ui=True)
    execution_id = gateway.submit(spec, idempotency_key="shown")
    awaited(gateway, execution_id, JobState.RUNNING, within_s=90)
    url = gateway.describe(execution_id)["ui"]
    (published,) = containers(client, STACK)[f"spark-{execution_id}"]["HostConfig"]["PortBindings"].values()
    assert [f"http://{one['HostIp']}:{one['HostPort']}" for one in published] == [url]
    (application,) = httpx.get(f"{url}/api/v1/applications", timeout=20, trust_env=False).json()
    assert application["name"] == "shown"
    (finished,) = httpx.get(f"{url}/api/v1/applications/{application['id']}/jobs", timeout=20, trust_env=False).json()
    assert finished["status"] == "SUCCEEDED"
    assert gateway.cancel(execution_id, team="test_infra").success
    assert gateway.describe(execution_id)["ui"] is None
    with pytest.raises(httpx.TransportError):
        httpx.get(url, timeout=5, trust_env=False)


def test_a_job_without_a_ui_publishes_no_port(stack: Stack, client: DockerClient) -> None:
    gateway = SparkGateway(stack)
    spec = JobSpec(name="hidden", application=SLEEPS, args=("0", "--bind", "127.0.0.1"), timeouts=QUICK)
    execution_id = gateway.submit(spec, idempotency_key="hidden")
    assert not containers(client, STACK)[f"spark-{execution_id}"]["HostConfig"]["PortBindings"]
    assert gateway.describe(execution_id)["ui"] is None
    gateway.cancel(execution_id, team="test_infra")


@pytest.mark.parametrize(
    ("module", "state", "exit_code"), [("this", JobState.SUCCEEDED, 0), ("none_such", JobState.APPLICATION_FAILED, 1)]
)
def test_the_exit_code_decides_and_logs_stay_when_the_container_is_gone(
    stack: Stack, client: DockerClient, module: str, state: JobState, exit_code: int
) -> None:
    gateway = SparkGateway(stack)
    execution_id = gateway.submit(JobSpec(name="ends", application=PythonModule(module=module)), idempotency_key=module)
    ended = awaited(gateway, execution_id, JobState.SUCCEEDED, JobState.APPLICATION_FAILED)
    assert (ended.state, ended.exit_code) == (state, exit_code)
    assert f"spark-{execution_id}" not in containers(client, STACK)
    text, _ = gateway.logs(execution_id)
    assert ("Namespaces are one honking great idea" in text) == (state is JobState.SUCCEEDED)


def test_a_cancelled_job_stays_cancelled_and_its_container_goes(stack: Stack, client: DockerClient) -> None:
    gateway = SparkGateway(stack)
    spec = JobSpec(name="sleeps", application=SLEEPS, args=("0", "--bind", "127.0.0.1"), timeouts=QUICK)
    execution_id = gateway.submit(spec, idempotency_key="sleeps")
    assert f"spark-{execution_id}" in running(client, STACK)
    assert gateway.cancel(execution_id, team="test_infra").execution.state is JobState.CANCELLED
    assert f"spark-{execution_id}" not in containers(client, STACK)
    assert gateway.check(execution_id).state is JobState.CANCELLED


def test_a_killed_attendant_takes_its_container_along(stack: Stack, client: DockerClient) -> None:
    gateway = SparkGateway(stack)
    spec = JobSpec(name="orphan", application=SLEEPS, args=("0", "--bind", "127.0.0.1"), timeouts=QUICK)
    execution_id = gateway.submit(spec, idempotency_key="orphan")
    attendant = stack.host_runtime.observe(f"spark-{execution_id}").pid
    os.kill(attendant, signal.SIGKILL)

    def gone() -> None:
        if f"spark-{execution_id}" in running(client, STACK):
            raise StillWaiting("it runs")

    eventually(gone, 15, "the end of the orphan")
    assert awaited(gateway, execution_id, JobState.EVICTED).exit_code == -signal.SIGKILL


def test_a_container_over_its_memory_limit_is_killed_and_the_log_says_so(stack: Stack, tmp_path: Path) -> None:
    log = tmp_path / "greedy.log"
    tmp_path.chmod(0o755)
    greedy = ProcessSpec(
        name="greedy",
        argv=(sys.executable, "-c", "b = bytearray(10**9)"),
        cwd=tmp_path,
        log_path=log,
        memory_limit_mib=64,
    )
    stack.runtime.start(greedy)

    def ended() -> None:
        if stack.runtime.observe("greedy").running:
            raise StillWaiting("it runs")

    eventually(ended, 30, "its end")
    assert stack.runtime.observe("greedy").exit_code == -signal.SIGKILL
    assert "more than its limit of 64 MiB" in log.read_text()
    assert "64 MiB" in stack.runtime.describe("greedy")["container"]


def test_a_container_that_is_made_and_not_started_is_refused_and_removed(
    stack: Stack, client: DockerClient, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        spec = ProcessSpec(
            name="blocked", argv=(sys.executable, "-c", ""), cwd=tmp_path, log_path=tmp_path / "log",
            ports=(taken.getsockname()[1],),
        )  # fmt: skip
        with pytest.raises(ContainerRefused, match=r"address already in use|port is already allocated"):
            stack.runtime.start(spec)
    assert not stack.runtime.observe("blocked").running
    assert "blocked" not in containers(client, STACK)


def test_without_its_image_a_job_is_a_failed_submission(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    record = stack._record.model_copy(update={"spec": stack._record.spec.model_copy(update={"image": "no/such:image"})})
    without = Stack(stack._folders, record)
    with pytest.raises(SubmissionFailed):
        SparkGateway(without).submit(
            JobSpec(name="noimage", application=PythonModule(module="this")), idempotency_key="noimage"
        )
    (execution,) = SparkGateway(without).list(name="noimage")
    assert execution.state is JobState.SUBMISSION_FAILED
    assert "No such image" in execution.error
    assert "make image" in execution.error


def test_without_the_image_of_its_spark_a_job_is_a_failed_submission_that_says_what_to_build(stack: Stack) -> None:
    gateway = SparkGateway(stack)
    spec = JobSpec(name="older", application=PythonModule(module="this"), spark_version="3.5")
    with pytest.raises(SubmissionFailed, match=r"make image SPARK=3\.5"):
        gateway.submit(spec, idempotency_key="older")
    (execution,) = gateway.list(name="older")
    assert execution.state is JobState.SUBMISSION_FAILED
    assert f"No such image: {stack.spec.image}-3.5" in execution.error


def test_a_job_that_asks_for_the_spark_of_the_stacks_image_has_it(stack: Stack) -> None:
    gateway = SparkGateway(stack)
    spec = JobSpec(name="same", application=PythonModule(module="this"), spark_version=metadata.version("pyspark")[:3])
    execution_id = gateway.submit(spec, idempotency_key="same")
    assert awaited(gateway, execution_id, JobState.SUCCEEDED, JobState.APPLICATION_FAILED).succeeded


def test_without_its_image_no_stack_begins(docker_image: str, test_home: Path, client: DockerClient) -> None:
    spec = POSTGRES_ONLY.model_copy(update={"image": "no/such:image"})
    with pytest.raises(docker_engine.ImageMissing, match="make image"):
        up(spec, stack_id="noimage", lease=AttachedLease())
    nothing_is_left(client, "noimage")


@pytest.mark.ci(reason="more of what a container can meet")
def test_a_service_that_dies_while_starting_shows_container_exit_code_and_last_words(
    docker_image: str, test_home: Path, client: DockerClient
) -> None:
    # Not enough for the first page of its buffers.
    settings = PostgresSettings(shared_buffers_mib=100_000)
    spec = POSTGRES_ONLY.model_copy(update={"services": Services(postgres=settings, kafka=None, connect=None)})
    with pytest.raises(ServiceFailed) as failed:
        up(spec, stack_id="dies", lease=AttachedLease(), timeout_s=60)
    told = str(failed.value)
    assert re.search(r"-postgres \w+, last exit code [13]", told), told
    assert "could not map" in told
    nothing_is_left(client, "dies")


@pytest.mark.ci(reason="more of what a container can meet")
def test_a_killed_keeper_ends_every_container_and_the_next_up_clears_them(small: Stack, client: DockerClient) -> None:
    os.kill(small.keeper.pid, signal.SIGKILL)

    def ended() -> None:
        if left := running(client, small.id):
            raise StillWaiting(str(left))

    eventually(ended, 15, "the end of its containers")
    with pytest.raises(StackNotRunning):
        attach(small.id)
    again = up(POSTGRES_ONLY, stack_id=small.id, lease=AttachedLease(), timeout_s=120)
    assert again.status().usable
    assert running(client, small.id) == {"postgres"}


@pytest.mark.ci(reason="more of what a container can meet")
def test_a_restarted_engine_brings_services_back_and_fails_jobs(small: Stack) -> None:
    if not OURS.exists():
        pytest.skip("optional: the engine is not one that .ci/docker started, so it is not ours to restart")
    gateway = SparkGateway(small)
    spec = JobSpec(name="cut", application=SLEEPS, args=("0", "--bind", "127.0.0.1"), timeouts=QUICK)
    execution_id = gateway.submit(spec, idempotency_key="cut")
    with postgres.connect(small.endpoint("postgres"), "owner") as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        connection.commit()
    subprocess.run([OURS_SCRIPT, "restart"], check=True, timeout=120, stdin=subprocess.DEVNULL)

    def back() -> None:
        if not small.status().usable or not small.runtime.observe("postgres").restarts:
            raise StillWaiting(str(small.status()))

    eventually(back, 90, "PostgreSQL in a new container")
    with postgres.connect(small.endpoint("postgres"), "owner") as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
    assert awaited(gateway, execution_id, JobState.APPLICATION_FAILED, JobState.EVICTED).exit_code not in (None, 0)


@pytest.mark.ci(reason="more of what a container can meet")
def test_the_last_lease_takes_containers_network_and_volumes_along(docker_image: str, client: DockerClient) -> None:
    lease = AttachedLease()
    up(POSTGRES_ONLY, stack_id="leased", lease=lease, timeout_s=120)
    lease.release()
    eventually(lambda: nothing_is_left(client, "leased"), 20, "nothing is left")


@pytest.mark.ci(reason="more of what a container can meet")
def test_two_stacks_of_one_engine_never_meet(small: Stack, stack: Stack, client: DockerClient) -> None:
    assert not set(containers(client, small.id)["postgres"]["NetworkSettings"]["Networks"]) & set(
        containers(client, STACK)["postgres"]["NetworkSettings"]["Networks"]
    )
    assert small.endpoint("postgres").port != stack.endpoint("postgres").port


@pytest.mark.ci(reason="more of what a container can meet")
def test_a_connect_server_in_a_container_answers_from_outside_and_its_token_is_not_shown(
    stack: Stack, client: DockerClient
) -> None:
    servers = ConnectServers(stack, SparkGateway(stack))
    server = servers.wait_ready(servers.start(ConnectSpec(name="contained")).id, Deadline(150))
    secret = server.endpoint.secret("token")
    asked = subprocess.run(
        [sys.executable, "-c", ASKS, str(server.endpoint.port), str(server.endpoint.secret_files["token"])],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert asked.stdout.strip() == "42", asked.stderr[-1500:]
    assert secret not in str(containers(client, STACK))
    assert servers.stop(server.id, team="test_infra").success
