"""The change log of one table: records become rows of it, once each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from test_infra.cdc.lake.reshape import reshape_changes
from test_infra.cdc.lake.versions import Applied
from test_infra.cdc.stream.parse_generations import parse_generations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from test_infra.cdc.lake.table import LakeTable
    from test_infra.cdc.stream.parse import Parsed
    from test_infra.cdc.types.generation import Generation

COMPACT_EVERY = 64
"""Micro-batches between two compactions of a change log: small files make every later read slower."""

Append = Callable[["LakeTable", "pa.Table", Applied], None]
"""Adds rows to a table, and says what it contains then."""


class ChangeLog:
    """The change log of one table, kept open between micro-batches.

    Args:
        generations: of the captured table, the newest last; its change log has the columns of that.
        table: its change log.
        connection: DuckDB for this change log alone.
        tx_id_reference: a 64-bit transaction id of about now.
    """

    def __init__(
        self,
        generations: Sequence[Generation],
        table: LakeTable,
        connection: DuckDBPyConnection,
        tx_id_reference: int,
    ) -> None:
        self._generations = tuple(generations)
        self._connection = connection
        self._table = table
        self._applied = table.newest_applied()
        self._tx_id_reference = max(tx_id_reference, self._applied.max_tx_id)

    @property
    def label(self) -> str:
        """Of the captured table."""
        return self.generation.table.label

    @property
    def generation(self) -> Generation:
        """The newest."""
        return self._generations[-1]

    def reshape(self, generations: Sequence[Generation]) -> None:
        """Go on to the last of the generations."""
        reshape_changes(self._connection, self._table, self.generation, generations[-1])
        self._generations = tuple(generations)

    def parse(self, records: pa.Table, batch_id: int) -> Parsed:
        """Typed rows of the records of this table's topic, in the newest generation."""
        given = {"tx_id_reference": self._tx_id_reference, "batch_id": batch_id}
        parsed = parse_generations(self._connection, records, self._generations, **given)
        self._tx_id_reference = max(self._tx_id_reference, parsed.max_tx_id)
        return parsed

    def append(self, batch: Parsed, stream_id: str, batch_id: int, append: Append) -> Applied | None:
        """Add the rows; returns what the change log contains then, or None when these records were there already."""
        self._table.refresh()
        if self._table.has_batch(stream_id, batch_id):
            return None
        changes = batch.changes
        if (self._applied.stream, self._applied.batch) == (stream_id, batch_id):
            # A part of it is there, from this run or from before a crash.
            if self._applied.covers(batch.end_offsets):
                return None
            changes = _beyond(changes, self._applied.offsets)
        self._applied = _advanced(self._applied, batch, stream_id, batch_id)
        append(self._table, changes, self._applied)
        if batch_id % COMPACT_EVERY == COMPACT_EVERY - 1:
            self._table.compact()
        return self._applied

    def close(self) -> None:
        """Close its DuckDB."""
        self._connection.close()


def _beyond(changes: pa.Table, offsets: Mapping[int, int]) -> pa.Table:
    """The rows that lie behind the end offsets."""
    places = zip(changes["kafka_partition"].to_pylist(), changes["kafka_offset"].to_pylist(), strict=True)
    return changes.filter([offset >= offsets.get(partition, 0) for partition, offset in places])


def _advanced(applied: Applied, batch: Parsed, stream: str, batch_id: int) -> Applied:
    """What a table contains after one more micro-batch; never less than before."""
    partitions = {*applied.offsets, *batch.end_offsets}
    return Applied(
        stream=stream,
        batch=batch_id,
        offsets={
            partition: max(applied.offsets.get(partition, 0), batch.end_offsets.get(partition, 0))
            for partition in partitions
        },
        max_commit_ts_us=max(applied.max_commit_ts_us, batch.max_commit_ts_us),
        max_tx_id=max(applied.max_tx_id, batch.max_tx_id),
    )
