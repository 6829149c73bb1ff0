"""Spark Connect servers: Spark jobs that many clients use; each has its own token and ends when it is idle or old."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pydantic import Field

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.document import Document
from test_infra.base.errors import InfrastructureError
from test_infra.base.ids import token
from test_infra.base.paths import private_dir, write_private
from test_infra.spark.driver.connect_address import CLIENT_HOST, TOKEN_VARIABLE, connect_url
from test_infra.spark.gateway.execution import Execution
from test_infra.spark.gateway.record_rows import UnknownJob
from test_infra.spark.gateway.states import JobState
from test_infra.spark.job.spec import (
    ConfKey,
    FromFile,
    JobName,
    JobSpec,
    JobType,
    PythonModule,
    Resources,
    Retention,
    TeamName,
    Timeouts,
)
from test_infra.stack.endpoint import Endpoint
from test_infra.stack.ports import free_ports

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from test_infra.spark.gateway.gateway import Cancellation, SparkGateway
    from test_infra.stack import Stack

APPLICATION = PythonModule(module="test_infra.spark.driver.connect_server")
MOST_RETRIES = 4
LONGEST_BACKOFF_MS = 5_000
"""A server on this machine that is silent for five seconds is gone. By default Spark's client would retry for ten
minutes, and again when a process with an open session ends."""


class ServerFailed(InfrastructureError):
    """A Connect server ended before it was ready."""


class ConnectSpec(Document):
    """A Spark Connect server as its user describes it."""

    name: JobName = Field(default="connect", description="Name of its Spark job.")
    team: TeamName = Field(default="test_infra", description="Who may stop it.")
    owner: str = Field(default="", max_length=200, description="Who answers for it.")
    user: str = Field(default="", max_length=200, description="Who started it.")
    conf: dict[ConfKey, str] = Field(default_factory=dict, description="Spark properties; they win over ours.")
    resources: Resources = Resources()
    jar_groups: tuple[str, ...] = Field(default=(), description="Groups of the jar lock on the server's class path.")
    idle_ttl_s: float = Field(
        default=1_800.0, gt=0, description="It ends when no session was used for this long, seconds."
    )
    max_ttl_s: float = Field(default=14_400.0, gt=0, description="It ends after this long in any case, seconds.")
    ready_timeout_s: float = Field(default=180.0, gt=0, description="Longest time until a session answers, seconds.")


class ConnectServer(Document):
    """A Connect server as it is now.

    Args:
        id: the execution id of its job.
        state: of its job; ``running`` means that a session answered a query.
        endpoint: ``sc://`` address, and the file of mode 0600 that holds its token.
        error: why it ended, where it did.
    """

    id: str
    name: str
    team: str
    state: JobState
    submitted_at: float
    ended_at: float | None
    endpoint: Endpoint
    error: str

    @property
    def ready(self) -> bool:
        """Whether a session answers."""
        return self.state is JobState.RUNNING


class ConnectServers:
    """Connect servers of one stack.

    Args:
        stack: whose folder holds the tokens.
        gateway: that runs them.
    """

    def __init__(self, stack: Stack, gateway: SparkGateway) -> None:
        self._gateway = gateway
        self._tokens = private_dir(stack.dir / "secrets" / "connect")

    def start(self, spec: ConnectSpec, *, idempotency_key: str | None = None) -> ConnectServer:
        """Start a server and return at once; it is ready when its state is running.

        Args:
            spec: the server.
            idempotency_key: the same key finds the same server; None starts another one.

        Raises:
            BadDocument: the spec sets Spark properties that are refused.
            SubmissionFailed: the backend did not start it.
        """
        key = f"connect/{idempotency_key or uuid.uuid4().hex}"
        known = next((one for one in self._gateway.list(name=spec.name) if one.idempotency_key == key), None)
        if known is not None:
            return _server(known)
        (port,) = free_ports(1)
        secret = self._tokens / uuid.uuid4().hex
        write_private(secret, token(64))
        job = JobSpec(
            name=spec.name,
            team=spec.team,
            owner=spec.owner,
            user=spec.user,
            application=APPLICATION,
            args=(str(port), str(spec.idle_ttl_s), str(spec.max_ttl_s)),
            conf=spec.conf,
            resources=spec.resources,
            jar_groups=spec.jar_groups,
            type=JobType.STREAMING,
            ports=(port,),
            environment={TOKEN_VARIABLE: FromFile(from_file=str(secret))},
            timeouts=Timeouts(ready_s=spec.ready_timeout_s, stop_s=5.0),
            retention=Retention(),
            ready_by="status",
        )
        try:
            return self.check(self._gateway.submit(job, idempotency_key=key))
        except BaseException:
            secret.unlink(missing_ok=True)
            raise

    def check(self, server_id: str) -> ConnectServer:
        """A server as it is now.

        Raises:
            UnknownJob: there is none of this id.
        """
        return _server(_check_server(self._gateway.check(server_id)))

    def list(self, *, team: str | None = None) -> list[ConnectServer]:
        """Servers that have not ended, oldest first."""
        found = self._gateway.list(team=team)
        return [_server(one) for one in found if _is_server(one.spec) and not one.state.terminal]

    def find_like(self, spec: ConnectSpec) -> ConnectServer | None:
        """The newest server that has not ended and has the name, team, properties, size and jars of this spec."""
        found = [one for one in self.list(team=spec.team) if one.name == spec.name]
        for server in reversed(found):
            job = self._gateway.check(server.id).spec
            if (job.conf, job.resources, job.jar_groups) == (spec.conf, spec.resources, spec.jar_groups):
                return server
        return None

    def stop(self, server_id: str, *, team: str) -> Cancellation:
        """End a server and wait until it ended; its token is worthless afterwards.

        Raises:
            UnknownJob: there is none of this id.
            NotYourJob: it belongs to another team.
        """
        _check_server(self._gateway.check(server_id))
        return self._gateway.cancel(server_id, team=team)

    def wait_ready(self, server_id: str, deadline: Deadline) -> ConnectServer:
        """Wait until a session of the server answered a query.

        Raises:
            ServerFailed: it ended.
            NotReady: not in time.
        """

        def ready() -> ConnectServer:
            server = self.check(server_id)
            if server.state.terminal:
                raise ServerFailed(
                    f"Spark Connect server {server_id} {server.state}",
                    details={"error": server.error},
                    log=self._gateway.log_path(server_id),
                )
            if not server.ready:
                raise StillWaiting(f"it is {server.state}")
            return server

        log = self._gateway.log_path(server_id)
        return wait_for(
            ready, deadline, what=f"Spark Connect server {server_id}", awaited="an answer to a query", log=log
        )


def open_session(server: ConnectServer) -> SparkSession:
    """A new session of a server; ``stop()`` ends the session, not the server."""
    from pyspark.sql.connect.client.retries import DefaultPolicy
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    url = connect_url(server.endpoint.port, server.endpoint.secret("token"))
    session = ConnectSession.builder.remote(url).create()
    session.client.set_retry_policies([DefaultPolicy(max_retries=MOST_RETRIES, max_backoff=LONGEST_BACKOFF_MS)])
    # It has the methods of the classic session, which PySpark's types do not say.
    return cast("SparkSession", session)


def _is_server(spec: JobSpec) -> bool:
    """Whether a job has what `ConnectServers.start` gives to a server; anybody may submit the same module otherwise."""
    has_token = isinstance(spec.environment.get(TOKEN_VARIABLE), FromFile)
    return spec.application == APPLICATION and len(spec.ports) == 1 and has_token


def _check_server(execution: Execution) -> Execution:
    if not _is_server(execution.spec):
        raise UnknownJob(f"Spark job {execution.execution_id} is no Spark Connect server", hint="GET /api/v1/clusters")
    return execution


def _server(execution: Execution) -> ConnectServer:
    (port,) = execution.spec.ports
    reference = execution.spec.environment[TOKEN_VARIABLE]
    assert isinstance(reference, FromFile)
    return ConnectServer(
        id=execution.execution_id,
        name=execution.spec.name,
        team=execution.spec.team,
        state=execution.state,
        submitted_at=execution.submitted_at,
        ended_at=execution.ended_at,
        endpoint=Endpoint(
            service="spark-connect",
            host=CLIENT_HOST,
            port=port,
            url=f"sc://{CLIENT_HOST}:{port}",
            secret_files={"token": Path(reference.from_file)},
        ),
        error=execution.error,
    )
