"""A pipeline on a real stack of its own, for tests that drive one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from test_infra.base.deadline import Deadline
from test_infra.cdc.load.prepare import prepare
from test_infra.cdc.pipeline import connector
from test_infra.cdc.pipeline.names import PipelineFolders, PipelineNames
from test_infra.cdc.pipeline.running import RunningPipeline
from test_infra.cdc.pipeline.spec import PipelineSpec
from test_infra.cdc.sources.postgres import Role
from test_infra.cdc.stream.control import SparkStream
from test_infra.cdc.types.table import TableSchema
from test_infra.stack import AttachedLease, Stack, StackSpec, down, up

START_TIMEOUT_S = 120.0
UNLIKE_OURS = {
    "extra_float_digits": "0",
    "intervalstyle": "sql_standard",
    "bytea_output": "escape",
    "datestyle": "German, DMY",
    "timezone": "America/New_York",
    "client_encoding": "LATIN1",
    "statement_timeout": "20ms",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "20ms",
    "idle_session_timeout": "200ms",
    "transaction_timeout": "50ms",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "standard_conforming_strings": "off",
    "transform_null_equals": "on",
    "array_nulls": "off",
}
"""Settings of a database that change values as text, or end sessions."""


@dataclass
class Running:
    """A pipeline and the stack it has for itself; test modules add what they need to it."""

    pipeline: RunningPipeline
    schemas: list[TableSchema]

    @property
    def stack(self) -> Stack:
        return self.pipeline.stack

    @property
    def spec(self) -> PipelineSpec:
        return self.pipeline.spec

    @property
    def names(self) -> PipelineNames:
        return self.pipeline.names

    @property
    def folders(self) -> PipelineFolders:
        return self.pipeline.folders

    @property
    def stream(self) -> SparkStream:
        return SparkStream(self.pipeline)

    def topic(self, table: str) -> str:
        return self.pipeline.topic(table)

    def schema(self, table: str) -> TableSchema:
        (found,) = (schema for schema in self.schemas if schema.name == table)
        return found

    def sql(self, query: str, *values: object, role: Role = "owner") -> list[tuple[Any, ...]]:
        with self.pipeline.source.session(role) as session:
            cursor = session.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def unsettle(self) -> None:
        """Give the database settings that are not ours."""
        ((database,),) = self.sql("SELECT current_database()")
        for name, value in UNLIKE_OURS.items():
            self.sql(f"ALTER DATABASE {database} SET {name} = '{value}'")

    def capture(self) -> None:
        """Begin to capture, and wait until the stream is at work."""
        connector.create(self.pipeline, self.schemas, timeout_s=START_TIMEOUT_S)
        self.start_stream()

    def start_stream(self) -> None:
        self.stream.start(self.schemas)
        self.stream.wait_ready(Deadline(START_TIMEOUT_S))


Kind = TypeVar("Kind", bound=Running)


@contextmanager
def prepared(kind: type[Kind], spec: PipelineSpec, stack_id: str) -> Iterator[Kind]:
    """The stack runs, the source's tables are there and the driver waits; nothing is captured yet."""
    lease = AttachedLease()
    try:
        stack = up(
            StackSpec(),
            lease=lease,
            stack_id=stack_id,
            alongside=lambda early: SparkStream(RunningPipeline(early, spec)).submit() and None,
            timeout_s=START_TIMEOUT_S,
        )
        pipeline = RunningPipeline(stack, spec)
        yield kind(pipeline, prepare(pipeline))
    finally:
        down(stack_id)
        lease.release()


@contextmanager
def running(kind: type[Kind], spec: PipelineSpec, stack_id: str) -> Iterator[Kind]:
    """The whole pipeline is at work."""
    with prepared(kind, spec, stack_id) as pipeline:
        pipeline.capture()
        yield pipeline
