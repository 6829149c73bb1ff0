"""Drives our own stream: submitted early, released when its source is ready, stopped, started again."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.base.deadline import StillWaiting, wait_for
from test_infra.base.paths import private_dir, write_private
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.lake.table import TableMissing
from test_infra.cdc.lake.versions import first_covering
from test_infra.cdc.pipeline.origin import Origin
from test_infra.cdc.stream.spec import FollowedSource, HeartbeatTopic, Release, StreamConfig, TopicOfTable, write
from test_infra.cdc.stream.stream import Covered, StreamFailed, StreamMissing
from test_infra.spark.gateway.gateway import SparkGateway
from test_infra.spark.gateway.states import JobState
from test_infra.spark.job.spec import Driver, JobSpec, JobType, PythonModule, Resources
from test_infra.stack.services.connect_address import ConnectAddress
from test_infra.stack.services.kafka_clients import Brokers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from test_infra.base.deadline import Deadline
    from test_infra.cdc.pipeline.running import RunningPipeline
    from test_infra.cdc.types.table import TableSchema
    from test_infra.spark.gateway.execution import Execution

TEAM = "test_infra"
APPLICATION = "test_infra.cdc.stream.application"
JAR_GROUPS = ("spark-kafka",)
CAPTURE_PASSWORD = "capture_password"  # noqa: S105 - the name of a secret
BESIDE_THE_HEAP_MIB = 2_048
"""Arrow, DuckDB and delta-rs of the driver's Python, for all tables of a pipeline at once."""
SPARK_CONF = {"spark.sql.codegen.wholeStage": "false"}
"""The plan of a micro-batch only picks columns; to write Java for it each time costs more than it brings."""


class SparkStream:
    """The stream of a pipeline as a Spark job of its stack; see `test_infra.cdc.stream.stream.Stream`.

    Args:
        pipeline: whose topics it reads.
    """

    def __init__(self, pipeline: RunningPipeline) -> None:
        self._pipeline = pipeline
        self._gateway = SparkGateway(pipeline.stack)

    def submit(self) -> str:
        """Start the driver and return its execution id; a driver that lives already is that one.

        May come before there is a topic or a table: the driver opens its session and waits for its `release`.
        """
        stream = self._pipeline.spec.stream
        known = self._gateway.list(name=self._pipeline.names.stream)
        alive = [execution for execution in known if not execution.state.terminal]
        if alive:
            return alive[-1].execution_id
        config = StreamConfig(
            release_path=self._release_path,
            max_offsets_per_trigger=stream.max_offsets_per_trigger,
            trigger_interval_ms=stream.trigger_interval_ms,
            mirror_interval_ms=stream.mirror_interval_ms,
        )
        write(config, self._config_path)
        job = self.job_spec()
        return self._gateway.submit(job, idempotency_key=f"{job.name}/{len(known)}")

    def start(self, schemas: Sequence[TableSchema]) -> str:
        """Submit the driver where none lives, and release it; returns its execution id."""
        execution_id = self.submit()
        self.release(schemas)
        return execution_id

    def release(self, schemas: Sequence[TableSchema], tx_id_reference: int | None = None) -> None:
        """Tell the driver what to read and where to write; it begins as soon as the topics exist.

        Args:
            schemas: captured tables.
            tx_id_reference: a transaction id of about now; None: the source is asked.
        """
        pipeline, folders, source = self._pipeline, self._pipeline.folders, self._pipeline.source
        for folder in (folders.lake, folders.checkpoint):
            private_dir(folder)
        entries = tuple(
            TopicOfTable(
                topic=pipeline.topic(schema.label),
                table=schema,
                changes=pipeline.changes(schema.label),
                mirror=pipeline.mirror(schema.label),
            )
            for schema in schemas
        )
        document = Release(
            bootstrap=Brokers.of(pipeline.endpoint("kafka").inside),
            tables=entries,
            heartbeat=HeartbeatTopic(
                topic=pipeline.names.message_topic,
                table=pipeline.heartbeat,
                changes=pipeline.changes(pipeline.heartbeat.label),
                mirror=pipeline.mirror(pipeline.heartbeat.label),
                prefix=source.beat_prefix,
            ),
            quarantine=pipeline.quarantine,
            checkpoint=folders.checkpoint,
            origin=Origin(source=source.origin()),
            source_kind=source.kind,
            tx_id_reference=source.newest_tx_id() if tx_id_reference is None else tx_id_reference,
            connect=ConnectAddress.of(pipeline.endpoint("connect").inside),
            connector=pipeline.names.connector,
            followed=self._followed() if pipeline.spec.schema_changes == "follow" else None,
        )
        write(document, self._release_path)
        pipeline.stack.hand_over(folders.lake, folders.checkpoint, self._release_path)

    def wait_ready(self, deadline: Deadline) -> datetime:
        """Wait for the stream's first progress and return its time.

        Raises:
            StreamFailed: the driver ended; carries its last words.
            NotReady: no progress in time.
        """
        name, execution_id = self._pipeline.spec.name, self.newest().execution_id
        log = self._gateway.log_path(execution_id)

        def at_work() -> None:
            execution = self._gateway.check(execution_id)
            if execution.state.terminal:
                raise StreamFailed(
                    f"the stream of {name} {execution.state}",
                    details={"error": execution.error or f"exit code {execution.exit_code}"},
                    log=log,
                )
            if execution.state is not JobState.RUNNING:
                raise StillWaiting(f"it is {execution.state}")

        wait_for(at_work, deadline, what=f"the stream of {name}", awaited="its first progress", log=log)
        return self.ready_at()

    def ready_at(self) -> datetime:
        """When the newest driver made its first progress.

        Raises:
            StreamFailed: it has made none.
        """
        status = self._gateway.driver(self.newest().execution_id)
        if status.ready_at is None:
            raise StreamFailed(
                f"the stream of {self._pipeline.spec.name} has made no progress",
                details={"error": status.error or "none"},
            )
        return datetime.fromtimestamp(status.ready_at, tz=UTC)

    def newest(self) -> Execution:
        """The newest submission of the pipeline's stream, its state brought up to date.

        Raises:
            StreamMissing: there is none.
        """
        found = self._gateway.list(name=self._pipeline.names.stream)
        if not found:
            name = self._pipeline.spec.name
            raise StreamMissing(f"the stream of {name} was never submitted", hint=f"test-infra run {name}")
        return found[-1]

    def alive(self) -> bool:
        """Whether a driver lives, or is about to."""
        return not self.newest().state.terminal

    def stop(self) -> Execution:
        """End the stream cleanly: its micro-batch is finished and committed first.

        Raises:
            StreamMissing: it was never submitted.
        """
        return self._gateway.cancel(self.newest().execution_id, team=TEAM).execution

    def kill(self) -> None:
        """Kill the driver with SIGKILL; for fault tests.

        Raises:
            StreamMissing: it was never submitted.
        """
        self._gateway.signal(self.newest().execution_id, signal.SIGKILL)

    def restart(self) -> str:
        """Stop the stream if it lives and start it again from its checkpoint; returns the new execution id."""
        self.stop()
        return self.submit()

    def submit_after_end(self, deadline: Deadline) -> str:
        """Submit the stream anew as soon as its driver, killed by somebody, has ended; returns the new execution id.

        Raises:
            NotReady: the driver lives on at the deadline, and nothing was submitted.
            StreamMissing: it was never submitted.
        """

        def ended() -> None:
            state = self.newest().state
            if not state.terminal:
                raise StillWaiting(f"it is {state}")

        what = f"the stream of {self._pipeline.spec.name}"
        wait_for(ended, deadline, what=what, awaited="the end of its driver", interval_s=0.05)
        return self.submit()

    def log_path(self) -> Path:
        """The log of its drivers."""
        return self._gateway.log_path(self.newest().execution_id)

    def covered(self, table: str, watermark: Mapping[int, int]) -> Covered | str:
        """The first versions of change log and mirror that contain everything below the watermark.

        Each commit of ours says which offsets it has applied.
        """
        try:
            mirror_table = open_table(self._pipeline.mirror(table))
            # Reading the newest log file is cheap, so what is before it is read only once that is far enough.
            newest = mirror_table.newest_applied()
            if not newest.covers(watermark):
                return f"mirror of {table} has applied {newest.offsets} of {dict(watermark)}"
            mirror = first_covering(mirror_table.commits(back_to=watermark), watermark)
            if mirror is None:
                return f"mirror of {table} has no version that covers {dict(watermark)}"
            changes_table = open_table(self._pipeline.changes(table))
            changes = first_covering(changes_table.commits(back_to=mirror.offsets), mirror.offsets)
        except (TableMissing, FileNotFoundError) as error:
            return str(error).splitlines()[0]
        if changes is None:
            return f"change log of {table} does not cover {mirror.offsets}"
        return Covered(dict(watermark), dict(mirror.offsets), mirror.version, changes.version)

    def job_spec(self) -> JobSpec:
        """The Spark job of the stream."""
        stream = self._pipeline.spec.stream
        return JobSpec(
            name=self._pipeline.names.stream,
            team=TEAM,
            application=PythonModule(module=APPLICATION),
            args=(str(self._config_path),),
            conf={**SPARK_CONF, **stream.conf},
            jar_groups=JAR_GROUPS,
            resources=Resources(driver=Driver(memory_mib=stream.driver_memory_mib, overhead_mib=BESIDE_THE_HEAP_MIB)),
            type=JobType.STREAMING,
            ready_by="status",
        )

    def _followed(self) -> FollowedSource:
        """The source as the driver reaches it; it is given the capture role's password, and not the owner's."""
        pipeline = self._pipeline
        endpoint = pipeline.endpoint(pipeline.spec.source.service)
        folder = private_dir(pipeline.folders.record.parent / "secrets")
        password = folder / f"{pipeline.spec.name}.{CAPTURE_PASSWORD}"
        write_private(password, endpoint.secret(CAPTURE_PASSWORD))
        pipeline.stack.hand_over(folder)
        return FollowedSource(
            endpoint=endpoint.inside.model_copy(update={"secret_files": {CAPTURE_PASSWORD: password}}),
            tables=tuple(table for tables in pipeline.captured.values() for table in tables),
            names=pipeline.capture_names,
        )

    @property
    def _config_path(self) -> Path:
        return self._document("stream")

    @property
    def _release_path(self) -> Path:
        return self._document("release")

    def _document(self, part: str) -> Path:
        path = self._pipeline.document_path(part)
        private_dir(path.parent)
        return path
