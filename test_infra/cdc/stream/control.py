"""Drives a pipeline's stream: submitted early, released when its source is ready, stopped, started again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.base.deadline import StillWaiting, wait_for
from test_infra.base.errors import InfrastructureError
from test_infra.base.paths import private_dir
from test_infra.cdc.pipeline.names import PipelineFolders, PipelineNames
from test_infra.cdc.pipeline.origin import origin_of
from test_infra.cdc.pipeline.spec import PipelineSpec
from test_infra.cdc.sources import postgres
from test_infra.cdc.stream.spec import Release, StreamConfig, TopicOfTable, write
from test_infra.spark.gateway.gateway import SparkGateway
from test_infra.spark.gateway.states import JobState
from test_infra.spark.job.spec import Driver, JobSpec, JobType, PythonModule, Resources

if TYPE_CHECKING:
    from test_infra.base.deadline import Deadline
    from test_infra.cdc.types.table import TableSchema
    from test_infra.spark.gateway.execution import Execution
    from test_infra.stack import Stack

TEAM = "test_infra"
APPLICATION = "test_infra.cdc.stream.application"
JAR_GROUPS = ("spark-kafka",)
BESIDE_THE_HEAP_MIB = 2_048
"""Arrow, DuckDB and delta-rs of the driver's Python, for all tables of a pipeline at once."""
SPARK_CONF = {"spark.sql.codegen.wholeStage": "false"}
"""The plan of a micro-batch only picks columns; to write Java for it each time costs more than it brings."""


class StreamFailed(InfrastructureError):
    """The stream's driver ended, or never began."""


class StreamMissing(InfrastructureError):
    """The pipeline's stream was never submitted in this stack."""


def submit(stack: Stack, spec: PipelineSpec, schemas: list[TableSchema] | None = None) -> str:
    """Start the driver and return its execution id; a driver that lives already is that one.

    May come before there is a topic or a table: the driver opens its session and waits for its `release`. With
    ``schemas`` it is released at once.
    """
    gateway = SparkGateway(stack)
    known = gateway.list(name=PipelineNames(stack.id, spec.name).stream)
    alive = [execution for execution in known if not execution.state.terminal]
    if alive:
        execution_id = alive[-1].execution_id
    else:
        config = StreamConfig(
            release_path=_release_path(stack, spec),
            max_offsets_per_trigger=spec.stream.max_offsets_per_trigger,
            trigger_interval_ms=spec.stream.trigger_interval_ms,
            mirror_interval_ms=spec.stream.mirror_interval_ms,
        )
        write(config, _config_path(stack, spec))
        job = job_spec(stack, spec)
        execution_id = gateway.submit(job, idempotency_key=f"{job.name}/{len(known)}")
    if schemas is not None:
        release(stack, spec, schemas)
    return execution_id


def release(stack: Stack, spec: PipelineSpec, schemas: list[TableSchema], tx_id_reference: int | None = None) -> None:
    """Tell the driver what to read and where to write; it begins as soon as the topics exist.

    Args:
        stack: the stack of the pipeline.
        spec: the pipeline.
        schemas: captured tables.
        tx_id_reference: a 64-bit transaction id of about now; None: the source is asked.
    """
    names, folders = PipelineNames(stack.id, spec.name), PipelineFolders(stack.dir, spec.name)
    for folder in (folders.lake, folders.checkpoint):
        private_dir(folder)
    entries = tuple(
        TopicOfTable(
            topic=names.topic(schema.schema, schema.name),
            table=schema,
            changes=folders.changes(schema.name),
            mirror=folders.mirror(schema.name),
        )
        for schema in schemas
    )
    with postgres.connect(stack.endpoint(spec.source.service), "owner") as connection:
        origin = origin_of(connection, spec, names)
    document = Release(
        bootstrap=stack.endpoint("kafka").inside.url,
        tables=entries,
        quarantine=folders.quarantine,
        checkpoint=folders.checkpoint,
        origin=origin,
        tx_id_reference=current_tx_id(stack, spec) if tx_id_reference is None else tx_id_reference,
        connect_url=stack.endpoint("connect").inside.url,
        connector=names.connector,
    )
    write(document, _release_path(stack, spec))
    stack.hand_over(folders.lake, folders.checkpoint, _release_path(stack, spec))


def wait_running(stack: Stack, spec: PipelineSpec, deadline: Deadline) -> datetime:
    """Wait for the stream's first progress and return its time.

    Raises:
        StreamFailed: the driver ended; carries its last words.
        NotReady: no progress in time.
    """
    gateway = SparkGateway(stack)
    execution_id = newest(stack, spec).execution_id

    def at_work() -> None:
        execution = gateway.check(execution_id)
        if execution.state.terminal:
            raise StreamFailed(
                f"the stream of {spec.name} {execution.state}",
                details={"error": execution.error or f"exit code {execution.exit_code}"},
                log=gateway.log_path(execution_id),
            )
        if execution.state is not JobState.RUNNING:
            raise StillWaiting(f"it is {execution.state}")

    wait_for(
        at_work,
        deadline,
        what=f"the stream of {spec.name}",
        awaited="its first progress",
        log=gateway.log_path(execution_id),
    )
    return ready_at(stack, spec)


def stop(stack: Stack, spec: PipelineSpec) -> Execution:
    """End the stream cleanly: its micro-batch is finished and committed first. A stream that ended is left as it is.

    Raises:
        StreamMissing: it was never submitted.
    """
    return SparkGateway(stack).cancel(newest(stack, spec).execution_id, team=TEAM).execution


def restart(stack: Stack, spec: PipelineSpec) -> str:
    """Stop the stream if it lives and start it again from its checkpoint; returns the new execution id."""
    stop(stack, spec)
    return submit(stack, spec)


def state(stack: Stack, spec: PipelineSpec) -> JobState:
    """Where the newest driver of the stream stands.

    Raises:
        StreamMissing: it was never submitted.
    """
    return newest(stack, spec).state


def ready_at(stack: Stack, spec: PipelineSpec) -> datetime:
    """When the newest driver made its first progress; lag is measured on changes committed after it.

    Raises:
        StreamFailed: it has made none.
    """
    status = SparkGateway(stack).driver(newest(stack, spec).execution_id)
    if status.ready_at is None:
        raise StreamFailed(f"the stream of {spec.name} has made no progress", details={"error": status.error or "none"})
    return datetime.fromtimestamp(status.ready_at, tz=UTC)


def newest(stack: Stack, spec: PipelineSpec) -> Execution:
    """The newest submission of the pipeline's stream, its state brought up to date.

    Raises:
        StreamMissing: there is none.
    """
    found = SparkGateway(stack).list(name=PipelineNames(stack.id, spec.name).stream)
    if not found:
        raise StreamMissing(f"the stream of {spec.name} was never submitted", hint=f"test-infra run {spec.name}")
    return found[-1]


def job_spec(stack: Stack, spec: PipelineSpec) -> JobSpec:
    """The Spark job of a pipeline's stream."""
    return JobSpec(
        name=PipelineNames(stack.id, spec.name).stream,
        team=TEAM,
        application=PythonModule(module=APPLICATION),
        args=(str(_config_path(stack, spec)),),
        conf={**SPARK_CONF, **spec.stream.conf},
        jar_groups=JAR_GROUPS,
        resources=Resources(driver=Driver(memory_mib=spec.stream.driver_memory_mib, overhead_mib=BESIDE_THE_HEAP_MIB)),
        type=JobType.STREAMING,
        ready_by="status",
    )


def submit_after_end(stack: Stack, spec: PipelineSpec, deadline: Deadline) -> str:
    """Submit the stream anew as soon as its driver, killed by somebody, has ended; returns the new execution id.

    Raises:
        NotReady: the driver lives on at the deadline, and nothing was submitted.
        StreamMissing: it was never submitted.
    """

    def ended() -> None:
        current = state(stack, spec)
        if not current.terminal:
            raise StillWaiting(f"it is {current}")

    wait_for(ended, deadline, what=f"the stream of {spec.name}", awaited="the end of its driver", interval_s=0.05)
    return submit(stack, spec)


def current_tx_id(stack: Stack, spec: PipelineSpec) -> int:
    """The source's newest 64-bit transaction id, without using one up."""
    with postgres.connect(stack.endpoint(spec.source.service), "owner") as connection:
        row = connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text").fetchone()
    if row is None:
        raise InfrastructureError("PostgreSQL gave no transaction id")
    return int(row[0])


def _config_path(stack: Stack, spec: PipelineSpec) -> Path:
    return private_dir(stack.dir / "pipelines") / f"{spec.name}.stream.json"


def _release_path(stack: Stack, spec: PipelineSpec) -> Path:
    return private_dir(stack.dir / "pipelines") / f"{spec.name}.release.json"
