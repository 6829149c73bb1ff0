"""The Debezium connector of a pipeline: configured, validated, made ready, observed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import InfrastructureError
from test_infra.base.redaction import redact
from test_infra.cdc.pipeline import value_properties
from test_infra.cdc.pipeline.large_records import HINT, too_large
from test_infra.cdc.pipeline.origin import Discontinuity
from test_infra.cdc.pipeline.topics import create_topics
from test_infra.cdc.sources.debezium import exact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from test_infra.cdc.pipeline.connect_client import ConnectorStatus
    from test_infra.cdc.pipeline.running import RunningPipeline
    from test_infra.cdc.types.table import TableSchema


class ConnectorFailed(InfrastructureError):
    """The connector or one of its tasks is FAILED; carries the trace."""


def connector_config(pipeline: RunningPipeline, schemas: Sequence[TableSchema]) -> dict[str, str]:
    """The Debezium configuration of a pipeline. The password stays in Connect's secrets file, never in here.

    Args:
        pipeline: its spec's ``connector.config`` wins over what is set here.
        schemas: the captured tables.
    """
    configured, names, source = pipeline.spec.connector, pipeline.names, pipeline.source
    secrets_file = pipeline.endpoint("connect").properties["secrets_file"]
    heartbeat = {
        "heartbeat.interval.ms": str(configured.heartbeat_interval_ms),
        "topic.heartbeat.prefix": "__debezium-heartbeat",
        **source.heartbeat_properties(),
    }
    return {
        "name": names.connector,
        "connector.class": source.connector_class,
        "tasks.max": "1",
        "topic.prefix": names.topic_prefix,
        "table.include.list": ",".join(exact(schema.schema, schema.name) for schema in schemas),
        **source.connector_properties(schemas, password=f"${{file:{secrets_file}:capture_password}}"),
        **value_properties.EVENTS,
        "tombstones.on.delete": "true",
        "poll.interval.ms": str(configured.poll_interval_ms),
        "max.batch.size": str(configured.max_batch_size),
        "max.queue.size": str(configured.max_queue_size),
        "max.queue.size.in.bytes": str(configured.max_queue_mib * 1024 * 1024),
        "snapshot.fetch.size": str(configured.snapshot_fetch_size),
        **(heartbeat if configured.heartbeat_interval_ms else {}),
        **configured.config,
    }


def topics_of(pipeline: RunningPipeline, schemas: Sequence[TableSchema]) -> dict[str, int]:
    """Every topic that the connector writes, with its number of partitions."""
    prefix = pipeline.names.topic_prefix
    data = {pipeline.topic(schema.label): pipeline.spec.connector.partitions for schema in schemas}
    of_transactions = {} if all(schema.key for schema in schemas) else {f"{prefix}.transaction": 1}
    return {**data, f"__debezium-heartbeat.{prefix}": 1, pipeline.names.message_topic: 1, **of_transactions}


def create(pipeline: RunningPipeline, schemas: Sequence[TableSchema], *, timeout_s: float = 60.0) -> None:
    """Make the connector and return when it captures: validated, topics there, tasks RUNNING, the source read from.

    Raises:
        BadDocument: Connect refuses the configuration, field by field, or it would change the values of the events.
        UsageError: Connect cannot keep NULL apart from a column's default.
        ConnectorFailed: the connector or a task failed; carries the trace.
        Discontinuity: what the source keeps for the connector is not what this connector has read from.
        NotReady: it did not capture in time.
    """
    name, client = pipeline.names.connector, pipeline.connect
    config = connector_config(pipeline, schemas)
    source = pipeline.source
    value_properties.check_overrides(
        pipeline.spec.name, pipeline.spec.connector.config, source.value_forms, source.kept_properties
    )
    deadline = Deadline(timeout_s)
    client.wait_ready(deadline)
    value_properties.check_worker(client)
    client.validate(config)
    if found := pipeline.source.capture_breaks(pipeline.committed):
        raise Discontinuity(pipeline.spec.name, found)
    create_topics(pipeline.bootstrap, topics_of(pipeline, schemas))
    client.put(name, config)
    wait_running(pipeline, deadline)
    # A task may fail while the slot is made: at names that Debezium cannot take, or a value of the snapshot.
    pipeline.source.wait_capturing(deadline, lambda: raise_if_failed(pipeline))


def wait_running(pipeline: RunningPipeline, deadline: Deadline) -> None:
    """Wait until the connector and every task run.

    Raises:
        ConnectorFailed: it or a task failed; carries the trace.
        NotReady: it did not run in time.
    """
    name = pipeline.names.connector

    def running() -> None:
        status = raise_if_failed(pipeline)
        if status is None or not status.running:
            raise StillWaiting(
                "Connect does not know it" if status is None else f"{status.connector}, tasks {status.tasks}"
            )

    wait_for(running, deadline, what=f"connector {name}", awaited="connector and every task RUNNING")


def raise_if_failed(pipeline: RunningPipeline) -> ConnectorStatus | None:
    """What Connect says of the connector; None when it knows no such connector.

    Raises:
        ConnectorFailed: it or a task failed; carries the trace.
    """
    status = pipeline.connect.status(pipeline.names.connector)
    if status is not None and status.failed:
        raise failure(pipeline, status)
    return status


def failure(pipeline: RunningPipeline, status: ConnectorStatus) -> ConnectorFailed:
    """The error of a failed connector, with the causes from its trace."""
    trace = redact("\n".join(status.traces.values()))
    causes = [line.strip() for line in trace.splitlines() if line and not line.startswith(("\t", " "))]
    large = too_large_record(pipeline, status)
    return ConnectorFailed(
        f"connector {pipeline.names.connector} failed{f': {large[0]}' if large else ''}",
        details={
            **(large[1] if large else {}),
            "connector": status.connector,
            "tasks": str(status.tasks),
            "trace": "\n             ".join(causes[:8]),
        },
        hint=HINT if large else "test-infra logs connect",
    )


def too_large_record(pipeline: RunningPipeline, status: ConnectorStatus) -> tuple[str, dict[str, str]] | None:
    """The record that ended the connector because Kafka does not take it, in words, and the row it may be of."""
    found = too_large(status.traces.values(), pipeline.endpoint("connect").log_path)
    if found is None:
        return None
    table = next((table for table in pipeline.tables if pipeline.topic(table) == found.topic), None)
    row = pipeline.source.largest_row(table) if table is not None else None
    return found.what, {f"largest row of {table} now": row} if row else {}
