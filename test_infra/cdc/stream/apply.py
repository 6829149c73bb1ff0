"""One micro-batch of Kafka records -> change log, mirror and quarantine. No Spark here: Arrow comes in.

Every commit carries the application transaction (stream, micro-batch), so a micro-batch that Spark runs again after a
crash adds nothing, wherever between the commits of its tables the crash fell.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tenacity

from test_infra.cdc import lake
from test_infra.cdc.stream.order import DELETED, NEWER, Graves
from test_infra.cdc.stream.parse import Parsed, connect, parse
from test_infra.cdc.types import identifier

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from deltalake import CommitProperties, DeltaTable

    from test_infra.cdc.table import TableSchema

COMPACT_EVERY = 64
"""Commits of a table between two compactions: small files make every later merge and read slower."""
CHANGES_FILE_BYTES = 32 * 1024 * 1024
"""Files of the change log this large are left alone, so that compaction never reads the whole log again."""


@dataclass(frozen=True)
class Targets:
    """Where the tables of one pipeline lie.

    Args:
        changes: table name -> folder of its change log.
        mirror: table name -> folder of its mirror.
        quarantine: folder of the pipeline's quarantine.
    """

    changes: Mapping[str, Path]
    mirror: Mapping[str, Path]
    quarantine: Path


@dataclass(frozen=True)
class BatchReport:
    """What one micro-batch did.

    Args:
        batch_id: of Spark.
        records: Kafka records in it.
        refused: of these, put into quarantine now.
        seconds: step -> time of the slowest table.
    """

    batch_id: int
    records: int
    refused: int
    seconds: dict[str, float]


class Applier:
    """Applies micro-batches to the tables of one pipeline; the only writer of these tables.

    Args:
        schemas: topic -> captured table.
        targets: where the tables lie; made when missing.
        stream_id: changes when the checkpoint does, so that batch numbers that begin again are not taken for replays.
        tx_id_reference: a 64-bit transaction id of about now.
    """

    def __init__(
        self, schemas: Mapping[str, TableSchema], targets: Targets, *, stream_id: str, tx_id_reference: int
    ) -> None:
        self._stream_id = stream_id
        self._pool = ThreadPoolExecutor(max_workers=max(1, len(schemas)), thread_name_prefix="apply")
        start = lake.Applied(stream=stream_id, batch=-1, offsets={0: 0})
        self._tables = dict(
            zip(
                schemas,
                self._pool.map(
                    lambda schema: TableApplier(
                        schema, targets.changes[schema.name], targets.mirror[schema.name], start, tx_id_reference
                    ),
                    schemas.values(),
                ),
                strict=True,
            )
        )
        self._quarantine = lake.create_table(targets.quarantine, lake.quarantine_schema(), start)

    def apply(self, records: pa.Table, batch_id: int) -> BatchReport:
        """Make one micro-batch durable: quarantine, then change log, then mirror of every table it touches."""
        import pyarrow as pa
        import pyarrow.compute as pc

        steps = {"parse": 0.0, "append": 0.0, "merge": 0.0}

        def timed(step: str, started: float) -> None:
            steps[step] = max(steps[step], time.monotonic() - started)

        def parsed(topic: str) -> Parsed:
            started = time.monotonic()
            rows = records.filter(pc.equal(records["topic"], topic))
            result = self._tables[topic].parse(rows, batch_id)
            timed("parse", started)
            return result

        def written(topic: str, of_topic: Parsed) -> None:
            table, started = self._tables[topic], time.monotonic()
            table.append(of_topic, self._stream_id, batch_id)
            timed("append", started)
            started = time.monotonic()
            table.merge(of_topic, self._stream_id, batch_id)
            timed("merge", started)

        topics = pc.unique(records["topic"]).to_pylist()
        batches = dict(zip(topics, self._pool.map(parsed, topics), strict=True))
        refused = pa.concat_tables([batch.refused for batch in batches.values()]) if batches else None
        # First, so that a record that the change log's offsets cover is never in neither place.
        fresh = self._quarantined(refused, batch_id) if refused is not None and refused.num_rows else 0
        list(self._pool.map(written, batches.keys(), batches.values()))
        return BatchReport(batch_id, records.num_rows, fresh, steps)

    def may_forget(self, committed_lsn: int, end_offsets: Mapping[str, dict[int, int]]) -> None:
        """Deletes up to the connector's committed LSN may be forgotten once these end offsets per topic are applied."""
        for topic, ends in end_offsets.items():
            self._tables[topic].graves.forget_after(committed_lsn, ends)

    def close(self) -> None:
        """End the threads and close what they used."""
        self._pool.shutdown()
        for table in self._tables.values():
            table.close()

    def _quarantined(self, refused: pa.Table, batch_id: int) -> int:
        from deltalake import write_deltalake

        if _applied(self._quarantine, self._stream_id, batch_id):
            return 0
        applied = lake.Applied(stream=self._stream_id, batch=batch_id, offsets={})
        properties = lake.commit_properties(applied, self._stream_id)
        write_deltalake(self._quarantine, refused, mode="append", commit_properties=properties)
        return int(refused.num_rows)


class TableApplier:
    """Change log and mirror of one table, kept open between micro-batches."""

    def __init__(
        self, schema: TableSchema, changes_dir: Path, mirror_dir: Path, start: lake.Applied, tx_id_reference: int
    ) -> None:
        self._schema = schema
        self._connection = connect()
        self._changes = lake.create_table(changes_dir, lake.changes_schema(schema), start)
        self._mirror = lake.create_table(mirror_dir, lake.mirror_schema(schema), start)
        self._in_changes = lake.newest_applied(changes_dir)
        self._in_mirror = lake.newest_applied(mirror_dir)
        self._tx_id_reference = max(tx_id_reference, self._in_changes.max_tx_id)
        self.graves = Graves(self._connection, _graves_in(self._changes))

    def parse(self, records: pa.Table, batch_id: int) -> Parsed:
        """Typed rows of the records of this table's topic."""
        parsed = parse(
            self._connection, records, self._schema, tx_id_reference=self._tx_id_reference, batch_id=batch_id
        )
        self._tx_id_reference = max(self._tx_id_reference, parsed.max_tx_id)
        return parsed

    def append(self, batch: Parsed, app_id: str, batch_id: int) -> None:
        """Add the rows to the change log, unless this micro-batch already did."""
        from deltalake import write_deltalake

        self._changes.update_incremental()
        if _applied(self._changes, app_id, batch_id):
            return
        self._in_changes = _advanced(self._in_changes, batch, app_id, batch_id)
        properties = lake.commit_properties(self._in_changes, app_id)
        for attempt in _despite_foreign_commits():
            with attempt:
                self._changes.update_incremental()
                write_deltalake(self._changes, batch.changes, mode="append", commit_properties=properties)
        if batch_id % COMPACT_EVERY == COMPACT_EVERY - 1:
            _compact(self._changes, CHANGES_FILE_BYTES)

    def merge(self, batch: Parsed, app_id: str, batch_id: int) -> None:
        """Bring the newest event of each key into the mirror, unless this micro-batch already did."""
        from deltalake import write_deltalake

        newest = self.graves.newest(batch.changes, self._schema)
        self._mirror.update_incremental()
        if _applied(self._mirror, app_id, batch_id):
            return
        if "t" in batch.changes["op"].unique().to_pylist():
            # A commit of its own; a crash after it is harmless, as the micro-batch comes again and deletes the same.
            self._mirror.delete(
                f"_snapshot OR _lsn < {self.graves.truncated_lsn}", commit_properties=lake.begins_batch(batch_id)
            )
        self._in_mirror = _advanced(self._in_mirror, batch, app_id, batch_id)
        properties = lake.commit_properties(self._in_mirror, app_id)
        if newest.num_rows:
            self._merged(newest, properties)
        if not _applied(self._mirror, app_id, batch_id):
            # A merge that changes no row makes no commit; the applied offsets must advance all the same.
            empty = lake.mirror_schema(self._schema).empty_table()
            write_deltalake(self._mirror, empty, mode="append", commit_properties=properties)
        if batch_id % COMPACT_EVERY == COMPACT_EVERY - 1:
            _compact(self._mirror)
        self.graves.forget(self._in_mirror.offsets)

    def close(self) -> None:
        """Close the table's DuckDB."""
        self._connection.close()

    def _merged(self, newest: pa.Table, properties: CommitProperties) -> None:
        same_key = " AND ".join(f"t.{name} = s.{name}" for name in map(identifier, self._schema.key_names))
        values = {identifier(name): f"s.{identifier(name)}" for name in lake.mirror_schema(self._schema).names}
        for attempt in _despite_foreign_commits():
            with attempt:
                self._mirror.update_incremental()
                merge = self._mirror.merge(
                    newest, same_key, source_alias="s", target_alias="t", commit_properties=properties
                )
                merge = merge.when_matched_delete(f"s.{DELETED} AND {NEWER}")
                merge = merge.when_matched_update(values, f"NOT s.{DELETED} AND {NEWER}")
                merge.when_not_matched_insert(values, f"NOT s.{DELETED}").execute()


def _despite_foreign_commits() -> tenacity.Retrying:
    """Attempts at a write that somebody else's commit (a compaction, a person) may have overtaken."""
    from deltalake.exceptions import CommitFailedError

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(CommitFailedError), stop=tenacity.stop_after_attempt(5), reraise=True
    )


def _compact(table: DeltaTable, target_size_bytes: int | None = None) -> None:
    """Join small files; when a foreign commit comes between, the next time does it."""
    from deltalake.exceptions import CommitFailedError

    with suppress(CommitFailedError):
        table.optimize.compact(target_size=target_size_bytes)


def _applied(table: DeltaTable, app_id: str, batch_id: int) -> bool:
    version = table.transaction_version(app_id)
    return version is not None and version >= batch_id


def _advanced(applied: lake.Applied, batch: Parsed, stream: str, batch_id: int) -> lake.Applied:
    """What a table contains after one more micro-batch; never less than before."""
    partitions = {*applied.offsets, *batch.end_offsets}
    return lake.Applied(
        stream=stream,
        batch=batch_id,
        offsets={
            partition: max(applied.offsets.get(partition, 0), batch.end_offsets.get(partition, 0))
            for partition in partitions
        },
        max_commit_ts_us=max(applied.max_commit_ts_us, batch.max_commit_ts_us),
        max_tx_id=max(applied.max_tx_id, batch.max_tx_id),
    )


def _graves_in(changes: DeltaTable) -> pa.Table:
    import pyarrow.compute as pc

    rows = changes.to_pyarrow_dataset()
    return rows.to_table(columns=["op", "key", "lsn"], filter=pc.field("op").isin(["d", "t"]))
