"""The routes of the gateway. Each calls the verb of the same name and nothing else."""

# No `from __future__ import annotations`: FastAPI needs real ones.
import secrets
import uuid
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from test_infra import __version__
from test_infra.spark.gateway.connect_servers import ConnectServer, ConnectServers, ConnectSpec
from test_infra.spark.gateway.execution import summary
from test_infra.spark.gateway.gateway import SparkGateway
from test_infra.spark.gateway.states import JobState
from test_infra.spark.http import problems
from test_infra.spark.http.documents import Cancelled, Description, Health, Job, Jobs
from test_infra.spark.job.spec import JobSpec

NEXT_OFFSET = "X-Next-Offset"
MOST_LISTED = 1_000
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": problems.Problem, "content": {problems.MEDIA_TYPE: {}}} for status in (401, 404, 422)
}

Team = Annotated[str, Query(description="The caller's team; only a job's own team may end it.")]


def api(gateway: SparkGateway, clusters: ConnectServers, *, stack_id: str, token: str) -> FastAPI:
    """The application.

    Args:
        gateway: of the stack.
        clusters: Connect servers of the stack.
        stack_id: shown by ``/healthz``.
        token: required of every request but those for ``/healthz`` and ``/openapi.json``.
    """
    app = FastAPI(title="Spark gateway of test_infra", version=__version__, docs_url=None, redoc_url=None)
    # Protects from web pages whose host name resolves to loopback (DNS rebinding).
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    problems.install(app)
    guard = _guard(token)
    app.include_router(_jobs(gateway), prefix="/api/v1", dependencies=[Depends(guard)], responses=_PROBLEMS)
    app.include_router(_clusters(clusters), prefix="/api/v1", dependencies=[Depends(guard)], responses=_PROBLEMS)

    @app.get("/healthz", tags=["health"])
    def healthz() -> Health:
        """Whether the gateway answers; needs no token."""
        return Health(status="ok", version=__version__, stack=stack_id)

    return app


def _guard(token: str) -> Any:
    bearer = HTTPBearer(auto_error=False, description="The token of the stack's gateway, from its file.")

    def guard(given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        if given is None or not secrets.compare_digest(given.credentials.encode(), token.encode()):
            raise HTTPException(
                401,
                "the token is missing or wrong; send Authorization: Bearer with the content of the stack's token file",
                {"WWW-Authenticate": "Bearer"},
            )

    return guard


def _jobs(gateway: SparkGateway) -> APIRouter:
    router = APIRouter(prefix="/jobs", tags=["jobs"])

    @router.post("", status_code=201)
    def submit(
        spec: JobSpec,
        response: Response,
        idempotency_key: Annotated[
            str | None, Header(max_length=200, description="The same key and spec is the same job, sent once or often.")
        ] = None,
    ) -> Job:
        """Submit a job. 201 when this request made it, 200 when an earlier one with the same key did."""
        submission = gateway.submit_or_find(spec, idempotency_key=idempotency_key or uuid.uuid4().hex)
        execution_id = submission.execution.execution_id
        response.headers["Location"] = f"/api/v1/jobs/{execution_id}"
        response.status_code = 201 if submission.created else 200
        return _job(gateway, execution_id)

    @router.get("")
    def list_jobs(
        name: str | None = None,
        team: str | None = None,
        state: JobState | None = None,
        limit: Annotated[int, Query(ge=1, le=MOST_LISTED, description="Only this many, the newest.")] = 200,
    ) -> Jobs:
        """Jobs, oldest first."""
        found = gateway.list(name=name, team=team, state=state, limit=limit)
        return Jobs(jobs=[Job.model_validate(summary(execution)) for execution in found])

    @router.get("/{execution_id}")
    def check(execution_id: str) -> Job:
        """A job's state now."""
        return _job(gateway, execution_id)

    @router.get("/{execution_id}/describe")
    def describe(execution_id: str) -> Description:
        """Spec, attempts, history, links."""
        return Description.model_validate(gateway.describe(execution_id))

    @router.get("/{execution_id}/logs", response_class=PlainTextResponse)
    def logs(
        execution_id: str,
        offset: Annotated[int, Query(ge=0, description="Byte to begin at.")] = 0,
        follow: Annotated[bool, Query(description="Go on until the job has ended.")] = False,
    ) -> Response:
        """The log as text from a byte offset; without follow, X-Next-Offset says where the next piece begins."""
        text, after = gateway.logs(execution_id, offset)
        if not follow:
            return PlainTextResponse(text, headers={NEXT_OFFSET: str(after)})
        return StreamingResponse(_followed(gateway, execution_id, offset), media_type="text/plain; charset=utf-8")

    @router.delete("/{execution_id}")
    def cancel(execution_id: str, team: Team) -> Cancelled:
        """End a job and wait until it ended; success=false when it had ended before."""
        done = gateway.cancel(execution_id, team=team)
        return Cancelled(success=done.success, message=done.message, job=Job.model_validate(summary(done.execution)))

    return router


def _clusters(clusters: ConnectServers) -> APIRouter:
    router = APIRouter(prefix="/clusters", tags=["Spark Connect"])

    @router.post("", status_code=201)
    def start(spec: ConnectSpec, response: Response) -> ConnectServer:
        """Start a Spark Connect server; it is ready when its state is running."""
        server = clusters.start(spec)
        response.headers["Location"] = f"/api/v1/clusters/{server.id}"
        return server

    @router.get("")
    def list_clusters(team: str | None = None) -> list[ConnectServer]:
        """Connect servers that have not ended, oldest first."""
        return clusters.list(team=team)

    @router.get("/{server_id}")
    def check(server_id: str) -> ConnectServer:
        """A Connect server's state now."""
        return clusters.check(server_id)

    @router.delete("/{server_id}")
    def stop(server_id: str, team: Team) -> Cancelled:
        """End a Connect server and wait until it ended."""
        done = clusters.stop(server_id, team=team)
        return Cancelled(success=done.success, message=done.message, job=Job.model_validate(summary(done.execution)))

    return router


def _job(gateway: SparkGateway, execution_id: str) -> Job:
    return Job.model_validate(summary(gateway.check(execution_id)))


def _followed(gateway: SparkGateway, execution_id: str, offset: int) -> Iterator[str]:
    for text, _ in gateway.follow(execution_id, offset):
        yield text
