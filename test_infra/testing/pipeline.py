"""A running pipeline, as a test uses it: write to the source, look at the lake."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import UsageError
from test_infra.cdc.lake.location import Location
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.lake.schemas import TOMBSTONE
from test_infra.cdc.pipeline.names import PipelineFolders, PipelineNames
from test_infra.cdc.pipeline.running import RunningPipeline, running_pipelines
from test_infra.cdc.pipeline.spec import PipelineSpec
from test_infra.cdc.stream.stream import stream_of

if TYPE_CHECKING:
    import psycopg

    from test_infra.stack import Stack

Row = dict[str, Any]
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class PipelineHandle:
    """One pipeline of a running stack.

    Args:
        running: the pipeline as it was resolved when its source was prepared, in its stack.
        source: a connection of the source's owner; every statement commits by itself.
    """

    running: RunningPipeline
    source: "psycopg.Connection[Any]"

    @classmethod
    @contextmanager
    def attach(cls, stack: "Stack", name: str) -> Iterator["PipelineHandle"]:
        """The pipeline of this name, for as long as the context lasts.

        Raises:
            UsageError: the stack runs no such pipeline.
        """
        found = {pipeline.spec.name: pipeline for pipeline in running_pipelines(stack)}
        if name not in found:
            raise UsageError(f"stack {stack.id} runs no pipeline {name!r}", hint="test-infra run e2e --keep")
        running = found[name]
        with running.source.session() as source:
            source.autocommit = True
            yield cls(running, source)

    @property
    def stack(self) -> "Stack":
        """The running stack."""
        return self.running.stack

    @property
    def spec(self) -> PipelineSpec:
        """The pipeline as its user describes it."""
        return self.running.spec

    @property
    def names(self) -> PipelineNames:
        """Connector, replication, topics as they are called in this stack."""
        return self.running.names

    @property
    def folders(self) -> PipelineFolders:
        """Where its tables and its history lie."""
        return self.running.folders

    def execute(self, sql: LiteralString, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement in the source and commit it; the rows it returns, if any."""
        cursor = self.source.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []

    def mirror_row(self, table: str, key: Mapping[str, Any]) -> Row | None:
        """The mirror's row with this key now; None when there is none.

        Raises:
            AssertionError: more than one row has the key.
        """
        rows = _rows(self.running.mirror(table), key)
        assert len(rows) <= 1, f"{len(rows)} rows of {table} have the key {dict(key)}"
        return rows[0] if rows else None

    def change_rows(self, table: str, key: Mapping[str, Any]) -> list[Row]:
        """The change log's changes of this key (tombstones are none), in the source's order."""
        rows = _rows(self.running.changes(table), {f"key.{column}": value for column, value in key.items()})
        changes = [row for row in rows if row["op"] != TOMBSTONE]
        return sorted(changes, key=lambda row: (not row["snapshot"], row["lsn"], row["kafka_offset"]))

    def wait_in_mirror(
        self, table: str, key: Mapping[str, Any], expected: Mapping[str, Any], *, timeout_s: float = TIMEOUT_S
    ) -> Row:
        """Wait until the mirror's row with this key has these values.

        Raises:
            NotReady: it had not in time; the error says what was there instead.
        """

        def observe() -> Row:
            row = self.mirror_row(table, key)
            if row is None:
                raise StillWaiting("no such row")
            different = {name: row.get(name) for name, value in expected.items() if row.get(name) != value}
            if different:
                raise StillWaiting(f"the row has {different}")
            return row

        return wait_for(
            observe, Deadline(timeout_s), what=f"mirror/{table} {dict(key)}", awaited=f"a row with {dict(expected)}"
        )

    def wait_gone_from_mirror(self, table: str, key: Mapping[str, Any], *, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until the mirror has no row with this key.

        Raises:
            NotReady: it still had one.
        """

        def observe() -> None:
            if (row := self.mirror_row(table, key)) is not None:
                raise StillWaiting(f"the row is {row}")

        wait_for(observe, Deadline(timeout_s), what=f"mirror/{table} {dict(key)}", awaited="no such row")

    def stop_stream(self) -> None:
        """Stop the stream cleanly: its micro-batch is committed first."""
        stream_of(self.running).stop()

    def restart_stream(self, *, timeout_s: float = TIMEOUT_S) -> None:
        """Stop the stream if it runs and start it again; back when it made progress."""
        deadline, stream = Deadline(timeout_s), stream_of(self.running)
        stream.restart()
        stream.wait_ready(deadline)


def _rows(location: Location, key: Mapping[str, Any]) -> list[Row]:
    """Rows of a Delta table in which every named column (dots lead into a struct) has the value."""
    import pyarrow.compute as pc

    conditions = [pc.field(*name.split(".")) == value for name, value in key.items()]
    chosen = conditions[0]
    for condition in conditions[1:]:
        chosen &= condition
    rows: list[Row] = open_table(location).rows(where=chosen).read_all().to_pylist()
    return rows
