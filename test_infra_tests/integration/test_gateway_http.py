"""The gateway as a service of a stack: over HTTP, killed and started again; its Spark Connect servers."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.spark.driver.connect_address import connect_url
from test_infra.spark.gateway.connect_servers import ConnectServer, ConnectSpec, open_session
from test_infra.spark.gateway.states import JobState
from test_infra.spark.http.client import GatewayClient, GatewayRefused
from test_infra.spark.http.documents import Job
from test_infra.spark.job.spec import JobSpec, PythonFile, PythonModule, Timeouts
from test_infra.stack import AttachedLease, Stack, StackSpec, down, up
from test_infra.stack.services.gateway import GatewaySettings
from test_infra.stack.spec import Services

STACK = "testgateway"
SPEC = StackSpec(services=Services(postgres=None, kafka=None, connect=None, gateway=GatewaySettings()))
SLEEPS = JobSpec(
    name="sleeps",
    team="ours",
    application=PythonModule(module="http.server"),
    args=("0", "--bind", "127.0.0.1"),
    timeouts=Timeouts(stop_s=2),
)


@pytest.fixture(scope="module")
def stack(test_home: Path) -> Iterator[Stack]:
    yield up(SPEC, stack_id=STACK, lease=AttachedLease())
    down(STACK)


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[GatewayClient]:
    with GatewayClient(stack.endpoint("gateway")) as made:
        yield made


@pytest.fixture(scope="module")
def raw(stack: Stack) -> Iterator[httpx.Client]:
    """Plain HTTP without our client."""
    endpoint = stack.endpoint("gateway")
    headers = {"Authorization": f"Bearer {endpoint.secret('token')}"}
    with httpx.Client(base_url=endpoint.url, headers=headers, timeout=30, trust_env=False) as made:
        yield made


def key() -> str:
    return uuid.uuid4().hex


def ended(client: GatewayClient, execution_id: str, within_s: float = 30) -> Job:
    def there() -> Job:
        job = client.check(execution_id)
        if not job.state.terminal:
            raise StillWaiting(job.state)
        return job

    return wait_for(there, Deadline(within_s), what=f"job {execution_id}", awaited="its end")


def in_state(client: GatewayClient, execution_id: str, state: JobState) -> None:
    def there() -> None:
        if (seen := client.check(execution_id).state) is not state:
            raise StillWaiting(seen)

    wait_for(there, Deadline(30), what=f"job {execution_id}", awaited=state)


def test_the_service_is_usable_private_and_says_so(stack: Stack) -> None:
    endpoint = stack.endpoint("gateway")
    assert endpoint.version
    assert endpoint.secret_files["token"].stat().st_mode & 0o777 == 0o600
    assert [service.state for service in stack.status().services] == ["usable"]
    listening = [
        connection.laddr.ip
        for connection in psutil.Process(stack.runtime.observe("gateway").pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}])
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/clusters", "/api/v1/jobs/x/logs"])
def test_without_its_token_nothing_is_answered(stack: Stack, headers: dict[str, str], path: str) -> None:
    answer = httpx.get(f"{stack.endpoint('gateway').url}{path}", headers=headers, trust_env=False)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Authorization: Bearer" in answer.json()["title"]


def test_another_host_name_is_refused(raw: httpx.Client) -> None:
    assert raw.get("/healthz", headers={"Host": "evil.example"}).status_code == 400


def test_health_and_openapi_are_open(stack: Stack) -> None:
    url = stack.endpoint("gateway").url
    assert httpx.get(f"{url}/healthz", trust_env=False).json()["stack"] == STACK
    document = httpx.get(f"{url}/openapi.json", trust_env=False).json()
    assert set(document["paths"]) == {
        "/healthz", "/api/v1/jobs", "/api/v1/jobs/{execution_id}", "/api/v1/jobs/{execution_id}/logs",
        "/api/v1/jobs/{execution_id}/describe", "/api/v1/clusters", "/api/v1/clusters/{server_id}",
    }  # fmt: skip
    assert document["components"]["schemas"]["JobSpec"]["additionalProperties"] is False


def test_submit_check_list_describe_cancel(client: GatewayClient) -> None:
    execution_id = client.submit(SLEEPS, idempotency_key=key())
    in_state(client, execution_id, JobState.DRIVER_STARTED)
    assert [job.execution_id for job in client.list(name="sleeps", team="ours", state=JobState.DRIVER_STARTED)] == [
        execution_id
    ]
    described = client.describe(execution_id)
    assert described.spec == SLEEPS
    assert described.history[0]["state"] == "submitted"
    with pytest.raises(GatewayRefused, match="belongs to another team"):
        client.cancel(execution_id, team="theirs")
    assert client.cancel(execution_id, team="ours").success
    again = client.cancel(execution_id, team="ours")
    assert (again.success, again.message) == (False, "it has ended before: cancelled")


def test_the_idempotency_key_is_a_header(raw: httpx.Client) -> None:
    body, headers = SLEEPS.model_dump(mode="json"), {"Idempotency-Key": key()}
    first = raw.post("/api/v1/jobs", json=body, headers=headers)
    second = raw.post("/api/v1/jobs", json=body, headers=headers)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["execution_id"] == second.json()["execution_id"]
    assert first.headers["Location"] == f"/api/v1/jobs/{first.json()['execution_id']}"
    other = raw.post("/api/v1/jobs", json={**body, "args": ["1"]}, headers=headers)
    assert other.status_code == 409
    assert other.json()["hint"] == "use a new key for a new spec"
    assert raw.delete(first.headers["Location"], params={"team": "ours"}).json()["success"]


@pytest.mark.parametrize(
    ("change", "status", "where", "said"),
    [
        ({"colour": "red"}, 422, "body.colour", "Extra inputs"),
        ({"application": {}}, 422, "body.application", "name one of python_file"),
        ({"conf": {"spark.jars": "x"}}, 422, "conf.spark.jars", "refused"),
        ({"application": {"python_file": "job.py"}}, 422, "application.python_file", "absolute"),
        ({"application": {"python_file": "/none.py"}}, 502, "why", "there is no file /none.py"),
    ],
)
def test_a_refusal_names_the_field_and_how_to_mend_it(
    raw: httpx.Client, change: dict[str, object], status: int, where: str, said: str
) -> None:
    answer = raw.post("/api/v1/jobs", json={**SLEEPS.model_dump(mode="json"), **change})
    assert answer.status_code == status
    assert said in answer.json()["details"][where]


def test_an_unknown_job_or_path_is_404_with_a_hint(raw: httpx.Client) -> None:
    for path in ("/api/v1/jobs/none", "/api/v1/jobs/none/logs", "/api/v1/clusters/none", "/api/v2"):
        answer = raw.get(path)
        assert answer.status_code == 404
        assert answer.json()["hint"]


def test_logs_are_paged_by_offset_and_streamed(client: GatewayClient, raw: httpx.Client, tmp_path: Path) -> None:
    program, go = tmp_path / "job.py", tmp_path / "go"
    program.write_text(
        f"import pathlib, time\nprint('größe', flush=True)\ngo = pathlib.Path({str(go)!r})\n"
        "while not go.exists(): time.sleep(0.05)\nprint('the end')"
    )
    spec = JobSpec(name="talks", application=PythonFile(python_file=str(program)))
    execution_id = client.submit(spec, idempotency_key=key())
    pieces = client.follow(execution_id)
    assert next(pieces) == "größe\n"
    go.touch()
    assert "".join(pieces) == "the end\n"
    text, offset = client.logs(execution_id)
    assert (text, offset) == ("größe\nthe end\n", len("größe\nthe end\n".encode()))
    middle = raw.get(f"/api/v1/jobs/{execution_id}/logs", params={"offset": len("größe\n".encode())})
    assert middle.text == "the end\n"
    assert middle.headers["X-Next-Offset"] == str(offset)


def test_a_job_that_nobody_asks_for_comes_to_its_recorded_end(stack: Stack, client: GatewayClient) -> None:
    execution_id = client.submit(JobSpec(name="alone", application=PythonModule(module="this")), idempotency_key=key())

    def recorded() -> None:
        # Not through the gateway: it would look after the job because it is asked.
        with closing(sqlite3.connect(stack.dir / "jobs" / "record.sqlite")) as database:
            [(state,)] = database.execute("SELECT state FROM job WHERE execution_id = ?", [execution_id]).fetchall()
        if state != JobState.SUCCEEDED:
            raise StillWaiting(state)

    wait_for(recorded, Deadline(30), what="the record", awaited=JobState.SUCCEEDED)


def test_curl_submits_follows_and_a_killed_gateway_sees_the_end_right(stack: Stack, tmp_path: Path) -> None:
    """The walk of docs/spark-jobs.md, with the gateway killed -9 in the middle."""
    endpoint = stack.endpoint("gateway")
    program, go = tmp_path / "job.py", tmp_path / "go"
    program.write_text(
        f"import pathlib, time\nprint('before', flush=True)\ngo = pathlib.Path({str(go)!r})\n"
        "while not go.exists(): time.sleep(0.05)\nprint('after')\nraise SystemExit(3)"
    )
    secret = f'header = "Authorization: Bearer {endpoint.secret("token")}"\n'

    def curl(*arguments: str) -> str:
        command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--config", "-", *arguments]
        return subprocess.run(command, input=secret, capture_output=True, text=True, check=True, timeout=60).stdout

    body = json.dumps({"name": "curled", "application": {"python_file": str(program)}})
    made = json.loads(
        curl("-X", "POST", f"{endpoint.url}/api/v1/jobs", "-H", "Content-Type: application/json", "-d", body)
    )
    job_url = f"{endpoint.url}/api/v1/jobs/{made['execution_id']}"

    def said(words: str) -> None:
        if curl(f"{job_url}/logs") != words:
            raise StillWaiting("not yet")

    wait_for(lambda: said("before\n"), Deadline(20), what="the log", awaited="its first line")
    old = stack.runtime.observe("gateway").pid
    assert old is not None
    os.kill(old, signal.SIGKILL)
    go.touch()

    def back() -> None:
        try:
            ready = httpx.get(f"{endpoint.url}/healthz", trust_env=False).is_success
        except httpx.HTTPError as error:
            raise StillWaiting(str(error)) from error
        if not ready or stack.runtime.observe("gateway").pid == old:
            raise StillWaiting("the old one answers")

    wait_for(back, Deadline(30), what="the gateway", awaited="its return")
    assert curl(f"{job_url}/logs?follow=true") == "before\nafter\n"
    end = json.loads(curl(job_url))
    assert (end["state"], end["exit_code"]) == ("application_failed", 3)


def usable(client: GatewayClient, server: ConnectServer) -> ConnectServer:
    def ready() -> ConnectServer:
        seen = client.check_cluster(server.id)
        assert not seen.state.terminal, seen.error
        if not seen.ready:
            raise StillWaiting(seen.state)
        return seen

    return wait_for(ready, Deadline(200), what="the Connect server", awaited="an answer to a query")


@pytest.mark.ci(reason="Connect servers over HTTP: token, idle time, longest time")
def test_a_connect_server_answers_who_has_its_token_and_nobody_else(client: GatewayClient) -> None:
    from pyspark.sql.connect.session import SparkSession

    started = client.start_cluster(ConnectSpec(team="ours", idle_ttl_s=600))
    assert not started.ready

    server = usable(client, started)
    secret = server.endpoint.secret_files["token"]
    assert secret.stat().st_mode & 0o777 == 0o600
    assert server.endpoint.url == f"sc://localhost:{server.endpoint.port}"
    assert [one.id for one in client.clusters()] == [server.id]
    session = open_session(server)
    try:
        assert session.range(100).selectExpr("sum(id)").collect()[0][0] == 4950
        # A session that may read the configuration must not find the token there.
        assert session.conf.get("spark.connect.authenticate.token", None) != server.endpoint.secret("token")
    finally:
        session.stop()
    for url in (connect_url(server.endpoint.port, "wrong-token"), server.endpoint.url):
        refused = SparkSession.builder.remote(url).create()
        try:
            with pytest.raises(Exception, match=r"(?i)unauthenticated"):
                refused.range(1).collect()
        finally:
            # Else it asks for its session again, of a server that is gone by then, when this process ends.
            refused.stop()
    everywhere = json.dumps(client.describe(server.id).model_dump(mode="json")) + client.logs(server.id)[0]
    assert server.endpoint.secret("token") not in everywhere
    for process in psutil.process_iter(["cmdline"]):
        assert server.endpoint.secret("token") not in " ".join(process.info["cmdline"] or [])
    with pytest.raises(GatewayRefused, match="belongs to another team"):
        client.stop_cluster(server.id, team="theirs")
    left = open_session(server)
    assert client.stop_cluster(server.id, team="ours").success
    assert client.clusters() == ()
    # Spark's own client would ask on for ten minutes.
    with pytest.raises(Exception, match=r"RETRIES_EXCEEDED"):
        left.range(1).collect()
    left.stop()


def assert_over(client: GatewayClient, server: ConnectServer) -> None:
    """It is listed as a job that came to its end, as a server no more, and nobody listens at its port."""
    assert server.id not in [one.id for one in client.clusters()]
    assert server.id in [job.execution_id for job in client.list(name=server.name, state=JobState.SUCCEEDED)]
    seen = client.check_cluster(server.id)
    assert (seen.state, seen.ready, seen.error) == (JobState.SUCCEEDED, False, "")
    with socket.socket() as asking:
        assert asking.connect_ex(("127.0.0.1", server.endpoint.port)) != 0


@pytest.mark.ci(reason="Connect servers over HTTP: token, idle time, longest time")
def test_a_connect_server_in_use_outlives_its_idle_time_and_then_ends_by_it(client: GatewayClient) -> None:
    idle_ttl_s = 4
    server = usable(client, client.start_cluster(ConnectSpec(name="idle", idle_ttl_s=idle_ttl_s)))
    session, in_use = open_session(server), Deadline(2.5 * idle_ttl_s)
    while not in_use.expired:
        assert session.range(10).count() == 10
    last_use = time.time()
    assert [one.id for one in client.clusters() if one.ready] == [server.id]
    end = ended(client, server.id, within_s=60)
    session.client.set_retry_policies([])
    session.stop()
    assert (end.state, end.exit_code) == (JobState.SUCCEEDED, 0)
    assert end.ended_at is not None
    assert end.ended_at - last_use > idle_ttl_s - 1
    assert f"no session was used for {idle_ttl_s} s" in client.logs(server.id)[0]
    assert_over(client, server)
    with pytest.raises(GatewayRefused, match="no Spark Connect server"):
        client.check_cluster(client.submit(SLEEPS, idempotency_key="no-server"))
    client.cancel(client.list(name="sleeps")[-1].execution_id, team="ours")


@pytest.mark.ci(reason="Connect servers over HTTP: token, idle time, longest time")
def test_a_connect_server_ends_at_its_longest_time_in_the_middle_of_a_query(client: GatewayClient) -> None:
    max_ttl_s = 6
    server = usable(client, client.start_cluster(ConnectSpec(name="short", max_ttl_s=max_ttl_s, idle_ttl_s=600)))
    (attempt,) = client.describe(server.id).attempts
    session = open_session(server)
    session.client.set_retry_policies([])  # the first refusal, not the end of asking again, is what is looked at
    with pytest.raises(Exception, match=r"(?i)unavailable|cancel|closed|connect"):
        session.sql("SELECT sum(a.id * b.id) FROM range(10000000) a CROSS JOIN range(10000000) b").collect()
    end = ended(client, server.id, within_s=60)
    session.stop()
    assert (end.state, end.exit_code) == (JobState.SUCCEEDED, 0)
    assert end.ended_at is not None
    assert end.ended_at - attempt["ready_at"] > max_ttl_s - 1
    assert f"its longest time, {max_ttl_s} s, is over" in client.logs(server.id)[0]
    assert_over(client, server)
