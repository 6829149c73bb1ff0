"""The REST interface of Kafka Connect."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import BadDocument, FieldProblem, InfrastructureError
from test_infra.base.redaction import redact
from test_infra.stack.services.connect_address import ConnectAddress

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

REQUEST_TIMEOUT_S = 20.0


class ConnectRefused(InfrastructureError):
    """Kafka Connect answered a request with an error."""


@dataclass(frozen=True)
class ConnectorStatus:
    """What Connect says of a connector.

    Args:
        connector: state of the connector, such as RUNNING.
        tasks: task id -> state.
        traces: task id (or -1 for the connector) -> trace of a failure.
    """

    connector: str
    tasks: dict[int, str]
    traces: dict[int, str]

    @property
    def running(self) -> bool:
        """Whether the connector runs, has a task, and every task runs."""
        return self.connector == "RUNNING" and bool(self.tasks) and set(self.tasks.values()) == {"RUNNING"}

    @property
    def failed(self) -> bool:
        """Whether the connector or any task is FAILED."""
        return "FAILED" in {self.connector, *self.tasks.values()}


class ConnectClient:
    """The REST interface of Kafka Connect.

    Args:
        address: where it is; a URL such as ``http://127.0.0.1:8083`` is one, too.
        why_away: what is known of the service that may be why it does not answer; empty when nothing is.
    """

    def __init__(self, address: ConnectAddress | str, why_away: Callable[[], str] = str) -> None:
        self._address = ConnectAddress.of(address)
        self._url = self._address.url
        self._why_away = why_away

    @cached_property
    def _http(self) -> httpx.Client:
        """One client for all requests: reading the certificates costs more than a request."""
        return self._address.client(REQUEST_TIMEOUT_S)

    def wait_ready(self, deadline: Deadline) -> None:
        """Wait until the worker answers for its connectors: while it starts, it refuses, or knows no address at all.

        Raises:
            NotReady: it did not in time.
        """

        def ready() -> None:
            known, _ = self._ask("GET", "/connectors")
            if not known:
                raise StillWaiting("the worker is starting")

        wait_for(ready, deadline, what="Kafka Connect", awaited="its connectors", not_yet=(ConnectRefused,))

    def validate(self, config: dict[str, str]) -> None:
        """Let Connect check a configuration.

        Raises:
            BadDocument: Connect refuses it; one problem per field.
        """
        kind = config["connector.class"].rsplit(".", 1)[-1]
        answer = self._answer("PUT", f"/connector-plugins/{kind}/config/validate", config)
        problems = [
            FieldProblem(field["value"]["name"], redact("; ".join(field["value"]["errors"])))
            for field in answer["configs"]
            if field["value"]["errors"]
        ]
        if problems:
            raise BadDocument(f"configuration of connector {config['name']}", problems)

    def plugin_settings(self, plugin_class: str) -> set[str] | None:
        """Names of the settings that a plugin of the worker knows; None when it has no such plugin."""
        found, body = self._ask("GET", f"/connector-plugins/{plugin_class}/config")
        return {setting["name"] for setting in body} if found else None

    def put(self, name: str, config: dict[str, str]) -> None:
        """Make the connector, or change its configuration."""
        self._answer("PUT", f"/connectors/{name}/config", config)

    def status(self, name: str) -> ConnectorStatus | None:
        """State of connector and tasks; None while Connect does not know it, as for a moment after it was made."""
        found, body = self._ask("GET", f"/connectors/{name}/status")
        if not found:
            return None
        traces = {task["id"]: task["trace"] for task in body["tasks"] if task.get("trace")}
        if trace := body["connector"].get("trace"):
            traces[-1] = trace
        return ConnectorStatus(
            body["connector"]["state"], {task["id"]: task["state"] for task in body["tasks"]}, traces
        )

    def delete_and_wait(self, name: str, timeout_s: float = 30.0) -> None:
        """Delete the connector and wait until Connect no longer knows it; one that is not there is fine.

        Raises:
            NotReady: it was still there at the deadline.
        """
        self._ask("DELETE", f"/connectors/{name}")

        def gone() -> None:
            if (status := self.status(name)) is not None:
                raise StillWaiting(f"it is {status.connector}")

        wait_for(gone, Deadline(timeout_s), what=f"connector {name}", awaited="its end")

    def offsets(self, name: str) -> dict[str, Any] | None:
        """The source offset that Connect has committed; None before the first."""
        known, body = self._ask("GET", f"/connectors/{name}/offsets")
        entries = body["offsets"] if known else []
        return dict(entries[0]["offset"]) if entries and entries[0]["offset"] else None

    def restart(self, name: str) -> None:
        """Restart the connector and all its tasks."""
        self._answer("POST", f"/connectors/{name}/restart?includeTasks=true&onlyFailed=false")

    def _answer(self, method: str, path: str, config: dict[str, str] | None = None) -> Any:
        """The body of a successful answer.

        Raises:
            ConnectRefused: any other answer.
        """
        found, body = self._ask(method, path, config)
        if not found:
            raise ConnectRefused("Kafka Connect does not know what was asked", details={"request": f"{method} {path}"})
        return body

    def _ask(self, method: str, path: str, config: dict[str, str] | None = None) -> tuple[bool, Any]:
        """Whether the thing was found, and the body. Waits out a rebalance, which Connect answers with 409."""
        import httpx

        def asked() -> httpx.Response:
            answer = self._http.request(method, path, json=config)
            if answer.status_code == httpx.codes.CONFLICT:
                raise StillWaiting(redact(answer.text))
            return answer

        request = f"{method} {path}"
        try:
            answer = wait_for(
                asked, Deadline(REQUEST_TIMEOUT_S), what="Kafka Connect", awaited=f"an answer to {request}"
            )
        except httpx.HTTPError as error:
            raise ConnectRefused(
                ": ".join(filter(None, [f"Kafka Connect at {self._url} did not answer", self._why_away()])),
                details={"request": request, "seen": redact(str(error))},
                hint="test-infra status",
            ) from error
        if answer.status_code == httpx.codes.NOT_FOUND:
            return False, None
        if answer.is_error:
            seen = f"{answer.status_code}: {redact(answer.text)[:2_000]}"
            raise ConnectRefused("Kafka Connect refused a request", details={"request": request, "seen": seen})
        return True, answer.json() if answer.content else None
