"""A pipeline in a running stack: made once, and passed on to whatever works on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.base.document import Document
from test_infra.base.errors import InfrastructureError
from test_infra.cdc.lake.location import Location
from test_infra.cdc.pipeline.captured import resolve
from test_infra.cdc.pipeline.connect_client import ConnectClient
from test_infra.cdc.pipeline.heartbeat import heartbeat_table
from test_infra.cdc.pipeline.names import PipelineFolders, PipelineNames
from test_infra.cdc.pipeline.spec import PipelineSpec
from test_infra.cdc.sources import source_of
from test_infra.cdc.sources.source import CaptureNames
from test_infra.cdc.types.table_id import CapturedTable, TableId
from test_infra.cdc.types.table_pattern import parse_selection
from test_infra.stack.services.connect_address import ConnectAddress
from test_infra.stack.services.kafka_clients import Brokers

if TYPE_CHECKING:
    from test_infra.cdc.sources.source import Position, Source
    from test_infra.cdc.types.table import TableSchema
    from test_infra.stack import Endpoint, Stack


class ResolvedTables(Document):
    """Which tables a pipeline's lines mean, as the source was when it was prepared.

    Args:
        entries: label of a line under ``tables:`` -> its tables.
    """

    entries: dict[str, tuple[CapturedTable, ...]]


@dataclass(frozen=True)
class RunningPipeline:
    """One pipeline of one running stack: its names, its folders, its source, its services.

    Making it opens no connection. Nobody else derives names or folders from a stack and a spec.

    Args:
        stack: the running stack.
        spec: the pipeline, with absolute paths.
    """

    stack: Stack
    spec: PipelineSpec

    @cached_property
    def names(self) -> PipelineNames:
        """Connector, replication, topics as they are called in this stack."""
        return PipelineNames(self.stack.id, self.spec.name)

    @cached_property
    def folders(self) -> PipelineFolders:
        """Where its tables and its history lie."""
        return PipelineFolders(self.stack.dir, self.spec.name)

    @cached_property
    def captured(self) -> Mapping[str, tuple[CapturedTable, ...]]:
        """Label of a line under ``tables:`` -> the tables that it means.

        Raises:
            InfrastructureError: there are patterns, and the source was not prepared.
        """
        if not self.spec.has_patterns:
            return resolve(self.spec.entries, (), ())
        try:
            return ResolvedTables.model_validate_json(self.document_path("tables").read_bytes()).entries
        except FileNotFoundError:
            raise InfrastructureError(
                f"it is not known which tables pipeline {self.spec.name} captures: its source was not prepared",
                hint="run the pipeline's source asset first, as every run does",
            ) from None

    @cached_property
    def table_ids(self) -> Mapping[str, TableId]:
        """Label -> captured table, in the order of the spec."""
        return {table.id.label: table.id for tables in self.captured.values() for table in tables}

    @property
    def tables(self) -> list[str]:
        """Labels of the captured tables, by which everything is keyed."""
        return list(self.table_ids)

    def tables_called(self, written: str) -> list[str]:
        """Labels of the captured tables that somebody means by a name or a pattern; empty when none."""
        meant = parse_selection(written, self.spec.source.schema_name)
        if isinstance(meant, TableId):
            return [meant.label] if meant.label in self.table_ids else []
        return [label for label, table in self.table_ids.items() if meant.matches(table)]

    def changes(self, table: str) -> Location:
        """Where the change log of one table lies."""
        return Location.of(self.folders.changes(table))

    def mirror(self, table: str) -> Location:
        """Where the mirror of one table lies."""
        return Location.of(self.folders.mirror(table))

    @property
    def quarantine(self) -> Location:
        """Where the table of what could not be parsed lies, of all topics of the pipeline."""
        return Location.of(self.folders.quarantine)

    def topic(self, table: str) -> str:
        """Kafka topic of one table."""
        captured = self.table_ids[table]
        return self.names.topic(captured.schema, captured.name)

    @property
    def heartbeat(self) -> TableSchema:
        """The table that its heart-beats are changes of; change log and mirror lie beside those of captured tables."""
        return heartbeat_table(self.source.kind)

    def endpoint(self, service: str) -> Endpoint:
        """How a service of the stack is reached.

        Raises:
            StackNotRunning: it was never usable in this stack.
        """
        return self.stack.endpoint(service)

    @property
    def bootstrap(self) -> Brokers:
        """Kafka's brokers."""
        return Brokers.of(self.endpoint("kafka"))

    @property
    def source(self) -> Source:
        """The database that holds the tables; opens no connection."""
        return self.source_with([table for tables in self.captured.values() for table in tables])

    def source_with(self, captured: Sequence[CapturedTable]) -> Source:
        """The database, with these tables as the captured ones; opens no connection."""
        source = self.spec.source
        return source_of(source.kind, self.endpoint(source.service), captured, self.capture_names)

    @property
    def capture_names(self) -> CaptureNames:
        """By which the source knows the pipeline."""
        return CaptureNames(self.spec.name, self.names.connector, self.names.replication)

    @cached_property
    def connect(self) -> ConnectClient:
        """Kafka Connect."""
        address = ConnectAddress.of(self.endpoint("connect"))
        return ConnectClient(address, partial(self.stack.ended_unasked, "connect"))

    def committed(self) -> Position | None:
        """The source position up to which Kafka has acknowledged everything; None before streaming began.

        Raises:
            ConnectRefused: Kafka Connect did not answer.
        """
        return self.source.committed_position(self.connect.offsets(self.names.connector))

    def schemas(self) -> list[TableSchema]:
        """The captured tables in the order of the pipeline, as the source's catalogue describes them now."""
        return self.source.schemas()

    def document_path(self, part: str) -> Path:
        """Document of one part of the pipeline, such as ``stream``, below the stack's folder."""
        return self.folders.record.with_name(f"{self.spec.name}.{part}.json")


def running_pipelines(stack: Stack) -> list[RunningPipeline]:
    """The pipelines whose source was prepared in a stack, by name."""
    folder = PipelineFolders(stack.dir, "any").record.parent
    # Beside `shop.json` lie documents of its parts, such as `shop.release.json`.
    records = [path for path in sorted(folder.glob("*.json")) if "." not in path.stem]
    return [RunningPipeline(stack, PipelineSpec.model_validate_json(path.read_bytes())) for path in records]
