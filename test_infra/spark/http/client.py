"""A client of the gateway's HTTP API with the verbs of `SparkGateway`."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from test_infra.base.errors import InfrastructureError, UsageError
from test_infra.spark.gateway.connect_servers import ConnectServer, ConnectSpec
from test_infra.spark.gateway.states import JobState
from test_infra.spark.http.documents import Cancelled, Description, Job, Jobs
from test_infra.spark.job.spec import JobSpec

if TYPE_CHECKING:
    import httpx

    from test_infra.stack.endpoint import Endpoint

TIMEOUT_S = 60.0
"""Long, because a cancel waits for the end of a driver."""


class GatewayRefused(UsageError):
    """The gateway refused a request; has its reasons and how to mend it."""


class GatewayFailed(InfrastructureError):
    """The gateway could not be reached, or failed."""


class GatewayClient:
    """Spark jobs of a stack over HTTP.

    Args:
        endpoint: of the service ``gateway``.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        import httpx

        headers = {"Authorization": f"Bearer {endpoint.secret('token')}"}
        self._http = httpx.Client(base_url=endpoint.url, headers=headers, timeout=TIMEOUT_S, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def submit(self, spec: JobSpec, *, idempotency_key: str) -> str:
        """Start a Spark job and return its execution id; the same key and spec give the same execution."""
        headers = {"Idempotency-Key": idempotency_key}
        body = self._ask("POST", "/api/v1/jobs", json=spec.model_dump(mode="json"), headers=headers)
        return Job.model_validate(body).execution_id

    def check(self, execution_id: str) -> Job:
        """A job's state now."""
        return Job.model_validate(self._ask("GET", f"/api/v1/jobs/{execution_id}"))

    def cancel(self, execution_id: str, *, team: str) -> Cancelled:
        """End a job and wait until it ended; one that had ended before is no error."""
        return Cancelled.model_validate(self._ask("DELETE", f"/api/v1/jobs/{execution_id}", params={"team": team}))

    def list(
        self,
        *,
        name: str | None = None,
        team: str | None = None,
        state: JobState | None = None,
        limit: int | None = None,
    ) -> tuple[Job, ...]:
        """Jobs, oldest first; with ``limit`` the newest so many."""
        wanted = {"name": name, "team": team, "state": state, "limit": limit}
        given = {label: str(value) for label, value in wanted.items() if value is not None}
        return tuple(Jobs.model_validate(self._ask("GET", "/api/v1/jobs", params=given)).jobs)

    def logs(self, execution_id: str, offset: int = 0) -> tuple[str, int]:
        """A piece of the log from a byte offset, and the offset that follows it."""
        answer = self._answer("GET", f"/api/v1/jobs/{execution_id}/logs", params={"offset": str(offset)})
        return answer.text, int(answer.headers["X-Next-Offset"])

    def follow(self, execution_id: str, offset: int = 0) -> Iterator[str]:
        """The log from a byte offset as it comes, until the job has ended."""
        import httpx

        params = {"offset": str(offset), "follow": "true"}
        path = f"/api/v1/jobs/{execution_id}/logs"
        try:
            with self._http.stream("GET", path, params=params, timeout=httpx.Timeout(TIMEOUT_S, read=None)) as answer:
                if answer.is_error:
                    answer.read()
                    _raise(answer)
                yield from answer.iter_text()
        except httpx.HTTPError as error:
            raise _unreachable(error) from error

    def describe(self, execution_id: str) -> Description:
        """Everything known of a job."""
        return Description.model_validate(self._ask("GET", f"/api/v1/jobs/{execution_id}/describe"))

    def start_cluster(self, spec: ConnectSpec) -> ConnectServer:
        """Start a Spark Connect server."""
        return ConnectServer.model_validate(self._ask("POST", "/api/v1/clusters", json=spec.model_dump(mode="json")))

    def check_cluster(self, server_id: str) -> ConnectServer:
        """A Connect server's state now."""
        return ConnectServer.model_validate(self._ask("GET", f"/api/v1/clusters/{server_id}"))

    def clusters(self) -> tuple[ConnectServer, ...]:
        """Connect servers that have not ended."""
        return tuple(ConnectServer.model_validate(one) for one in self._ask("GET", "/api/v1/clusters"))

    def stop_cluster(self, server_id: str, *, team: str) -> Cancelled:
        """End a Connect server and wait until it did."""
        return Cancelled.model_validate(self._ask("DELETE", f"/api/v1/clusters/{server_id}", params={"team": team}))

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        return self._answer(method, path, **options).json()

    def _answer(self, method: str, path: str, **options: Any) -> httpx.Response:
        import httpx

        try:
            answer = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise _unreachable(error) from error
        if answer.is_error:
            _raise(answer)
        return answer


def _raise(answer: httpx.Response) -> None:
    try:
        problem = answer.json()
        what, details, hint = str(problem["title"]), dict(problem["details"]), str(problem["hint"])
    except (ValueError, KeyError, TypeError):
        what, details, hint = f"the gateway answered {answer.status_code}", {"seen": answer.text[:200]}, ""
    kind = GatewayFailed if answer.is_server_error else GatewayRefused
    raise kind(what, details=details, hint=hint or None)


def _unreachable(error: Exception) -> GatewayFailed:
    return GatewayFailed(
        "the Spark gateway does not answer",
        details={"seen": f"{type(error).__name__}: {error}"},
        hint="test-infra status; a stack has a gateway when its spec says services: {gateway: {}}",
    )
