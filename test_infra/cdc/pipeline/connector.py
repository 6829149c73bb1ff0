"""The Debezium connector of a pipeline: configured, validated, made ready, observed, ended."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import BadDocument, FieldProblem, InfrastructureError
from test_infra.base.redaction import redact
from test_infra.cdc.pipeline.origin import Discontinuity
from test_infra.cdc.pipeline.topics import create_topics

if TYPE_CHECKING:
    import httpx

    from test_infra.cdc.pipeline.names import PipelineNames
    from test_infra.cdc.pipeline.spec import PipelineSpec
    from test_infra.cdc.types.table import TableSchema
    from test_infra.stack import Endpoint, Stack

CONNECTOR_CLASS = "io.debezium.connector.postgresql.PostgresConnector"
HEARTBEAT_PREFIX = "test_infra_heartbeat"
REQUEST_TIMEOUT_S = 20.0


class ConnectRefused(InfrastructureError):
    """Kafka Connect answered a request with an error."""


class ConnectorFailed(InfrastructureError):
    """The connector or one of its tasks is FAILED; carries the trace."""


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
        url: such as ``http://127.0.0.1:8083``.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

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

    def committed_lsn(self, name: str) -> int | None:
        """Everything of an earlier LSN is acknowledged by Kafka; None before streaming began.

        During the initial snapshot the offset carries the key ``snapshot`` and an LSN that means something else.
        """
        offset = self.offsets(name)
        if offset is None or "snapshot" in offset:
            return None
        known = [int(offset[key]) for key in ("lsn", "lsn_commit") if offset.get(key) is not None]
        return max(known, default=None)

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
            answer = httpx.request(method, self._url + path, json=config, timeout=REQUEST_TIMEOUT_S, verify=_tls())
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
                f"Kafka Connect at {self._url} did not answer",
                details={"request": request, "seen": redact(str(error))},
                hint="test-infra status",
            ) from error
        if answer.status_code == httpx.codes.NOT_FOUND:
            return False, None
        if answer.is_error:
            seen = f"{answer.status_code}: {redact(answer.text)[:2_000]}"
            raise ConnectRefused("Kafka Connect refused a request", details={"request": request, "seen": seen})
        return True, answer.json() if answer.content else None


@cache
def _tls() -> ssl.SSLContext:
    """Made once: httpx makes one for each request otherwise, which costs more than the request."""
    return ssl.create_default_context()


def connector_config(
    spec: PipelineSpec, names: PipelineNames, schemas: list[TableSchema], source: Endpoint, secrets_file: str
) -> dict[str, str]:
    """The Debezium configuration of a pipeline. The password stays in Connect's secrets file, never in here.

    Args:
        spec: the pipeline; its ``connector.config`` wins over what is set here.
        names: of this pipeline in this stack.
        schemas: the captured tables.
        source: endpoint of PostgreSQL.
        secrets_file: properties file that Connect's file config provider may read.
    """
    configured = spec.connector
    # The stream never has generated columns; without this the snapshot would.
    generated = [f"{schema.qualified}.{name}" for schema in schemas for name in schema.generated]
    heartbeat = {
        "heartbeat.interval.ms": str(configured.heartbeat_interval_ms),
        "topic.heartbeat.prefix": "__debezium-heartbeat",
        # Moves the confirmed LSN of an idle source; the capture role may call it, and it writes into no table.
        "heartbeat.action.query": f"SELECT pg_logical_emit_message(false, '{HEARTBEAT_PREFIX}', '')",
    }
    return {
        "name": names.connector,
        "connector.class": CONNECTOR_CLASS,
        "tasks.max": "1",
        "database.hostname": source.host,
        "database.port": str(source.port),
        "database.dbname": source.properties["database"],
        "database.user": source.properties["capture_user"],
        "database.password": f"${{file:{secrets_file}:capture_password}}",
        "topic.prefix": names.topic_prefix,
        "table.include.list": ",".join(schema.qualified for schema in schemas),
        "plugin.name": "pgoutput",
        "slot.name": names.slot,
        "publication.name": names.publication,
        "publication.autocreate.mode": "disabled",
        # A slot that is ahead of the committed offset was made again: fail, where the default would go on from it.
        "offset.mismatch.strategy": "trust_offset",
        "snapshot.mode": "initial",
        "snapshot.locking.mode": "none",
        # Values arrive exactly and in one form, whatever the precision of the column; see cdc.types.
        "decimal.handling.mode": "string",
        "time.precision.mode": "microseconds",
        # JSON is base64 anyway; in the mode of that name a value that was not sent (TOAST) arrives as null.
        "binary.handling.mode": "bytes",
        "interval.handling.mode": "string",
        # Without it a column of a type that Debezium does not know would be missing from the events in silence.
        "include.unknown.datatypes": "true",
        "skipped.operations": "none",
        "tombstones.on.delete": "true",
        "key.converter": "org.apache.kafka.connect.json.JsonConverter",
        "key.converter.schemas.enable": "false",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
        "poll.interval.ms": str(configured.poll_interval_ms),
        "max.batch.size": str(configured.max_batch_size),
        "max.queue.size": str(configured.max_queue_size),
        "errors.tolerance": "none",
        **({"column.exclude.list": ",".join(map(re.escape, generated))} if generated else {}),
        **(heartbeat if configured.heartbeat_interval_ms else {}),
        **configured.config,
    }


def topics_of(spec: PipelineSpec, names: PipelineNames, schemas: list[TableSchema]) -> dict[str, int]:
    """Every topic that the connector writes, with its number of partitions."""
    data = {names.topic(schema.schema, schema.name): spec.connector.partitions for schema in schemas}
    return {**data, f"__debezium-heartbeat.{names.topic_prefix}": 1, f"{names.topic_prefix}.message": 1}


def create(stack: Stack, spec: PipelineSpec, schemas: list[TableSchema], *, timeout_s: float = 60.0) -> None:
    """Make the connector and return when it captures: validated, topics there, tasks RUNNING, slot active.

    Raises:
        BadDocument: Connect refuses the configuration, field by field.
        ConnectorFailed: the connector or a task failed; carries the trace.
        Discontinuity: the slot is not the one that this connector has read from.
        NotReady: it did not capture in time.
    """
    from test_infra.cdc.pipeline.names import PipelineNames

    names = PipelineNames(stack.id, spec.name)
    source, kafka, connect = (stack.endpoint(service) for service in (spec.source.service, "kafka", "connect"))
    config = connector_config(spec, names, schemas, source.inside, connect.properties["secrets_file"])
    client = ConnectClient(connect.url)
    client.validate(config)
    _check_slot(client, spec, names, source)
    create_topics(kafka.url, topics_of(spec, names, schemas))
    client.put(names.connector, config)
    deadline = Deadline(timeout_s)
    wait_running(client, names.connector, deadline)
    wait_slot_active(source, names.slot, deadline)


def _check_slot(client: ConnectClient, spec: PipelineSpec, names: PipelineNames, source: Endpoint) -> None:
    from test_infra.cdc.sources.postgres import connect
    from test_infra.cdc.sources.postgres.slot import slot_breaks

    with connect(source, "owner") as connection:
        found = slot_breaks(connection, names, lambda: client.committed_lsn(names.connector))
    if found:
        raise Discontinuity(spec.name, found)


def wait_running(client: ConnectClient, name: str, deadline: Deadline) -> None:
    """Wait until the connector and every task run.

    Raises:
        ConnectorFailed: it or a task failed; carries the trace.
        NotReady: it did not run in time.
    """

    def running() -> None:
        status = client.status(name)
        if status is not None and status.failed:
            raise failure(name, status)
        if status is None or not status.running:
            raise StillWaiting(
                "Connect does not know it" if status is None else f"{status.connector}, tasks {status.tasks}"
            )

    wait_for(running, deadline, what=f"connector {name}", awaited="connector and every task RUNNING")


def failure(name: str, status: ConnectorStatus) -> ConnectorFailed:
    """The error of a failed connector, with the causes from its trace."""
    trace = redact("\n".join(status.traces.values()))
    causes = [line.strip() for line in trace.splitlines() if line and not line.startswith(("\t", " "))]
    return ConnectorFailed(
        f"connector {name} failed",
        details={
            "connector": status.connector,
            "tasks": str(status.tasks),
            "trace": "\n             ".join(causes[:8]),
        },
        hint="test-infra logs connect",
    )


def wait_slot_active(source: Endpoint, slot: str, deadline: Deadline) -> None:
    """Wait until a walsender reads from the replication slot and the slot has a confirmed position.

    Raises:
        NotReady: it was not active in time.
    """
    from test_infra.cdc.sources.postgres import connect

    query = "SELECT active, confirmed_flush_lsn IS NOT NULL FROM pg_replication_slots WHERE slot_name = %s"
    with connect(source, "owner") as connection:

        def active() -> None:
            row = connection.execute(query, [slot]).fetchone()
            if row != (True, True):
                raise StillWaiting("there is no such slot" if row is None else f"active, confirmed: {row}")

        wait_for(active, deadline, what=f"slot {slot}", awaited="a walsender on it")
