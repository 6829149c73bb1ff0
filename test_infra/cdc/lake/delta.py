"""Delta tables of a pipeline: their schemas, how they are made, and what each commit says of itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from test_infra.base.errors import InfrastructureError
from test_infra.cdc.types import rule_for

if TYPE_CHECKING:
    import pyarrow as pa
    import tenacity
    from deltalake import CommitProperties, DeltaTable, WriterProperties
    from pyarrow.dataset import Dataset

    from test_infra.cdc.types.table import TableSchema

STREAM = "test_infra.stream"
BATCH = "test_infra.batch"
BEGINS = "test_infra.begins"
OFFSETS = "test_infra.offsets"
MAX_COMMIT_TS_US = "test_infra.max_commit_ts_us"
MAX_TX_ID = "test_infra.max_tx_id"
STATISTICS = "delta.dataSkippingStatsColumns"

TARGET_FILE_SIZE = "delta.targetFileSize"
FILE_BYTES = 4 * 1024 * 1024
"""Larger files are split when written and left alone by a compaction, which else writes the whole table again."""
ROWS_OF_ROW_GROUP = 32_768
COMPACT_EVERY = 64
"""Commits of a table between two compactions: small files make every later merge and read slower."""
RETENTION = "delta.deletedFileRetentionDuration"
REPLACED_FILES_KEPT_MIN = 10
"""How long a version can still be read after the next one, minutes: longer than any cut takes. A mirror is merged
several times a second, and each merge replaces files."""

TOMBSTONE = "tombstone"
OPERATIONS = ("c", "u", "d", "r", "t", TOMBSTONE)


class TableMissing(InfrastructureError):
    """A Delta table that the stream has not made yet."""

    def __init__(self, table_dir: Path) -> None:
        super().__init__(f"there is no Delta table in {table_dir}", hint="the stream makes its tables at its start")


@dataclass(frozen=True)
class Applied:
    """What a table contains, as written into each commit's metadata.

    Args:
        stream: id of the stream that wrote.
        batch: micro-batch that wrote; -1 for the version that made the table.
        offsets: partition of the table's topic -> end offset, exclusive, of all that is applied.
        max_commit_ts_us: largest commit time of an applied event, microseconds since 1970; 0 for none.
        max_tx_id: largest 64-bit transaction id of an applied event; 0 for none.
    """

    stream: str
    batch: int
    offsets: dict[int, int]
    max_commit_ts_us: int = 0
    max_tx_id: int = 0

    def metadata(self) -> dict[str, str]:
        """The commit's custom metadata."""
        return {
            STREAM: self.stream,
            BATCH: str(self.batch),
            OFFSETS: json.dumps({str(partition): end for partition, end in sorted(self.offsets.items())}),
            MAX_COMMIT_TS_US: str(self.max_commit_ts_us),
            MAX_TX_ID: str(self.max_tx_id),
        }

    @classmethod
    def of(cls, commit_info: Mapping[str, Any]) -> Applied | None:
        """Read back from a ``commitInfo``; None when it carries no offsets (OPTIMIZE, VACUUM, a foreign writer)."""
        if OFFSETS not in commit_info:
            return None
        return cls(
            stream=str(commit_info.get(STREAM, "")),
            batch=int(commit_info.get(BATCH, -1)),
            offsets={int(partition): int(end) for partition, end in json.loads(commit_info[OFFSETS]).items()},
            max_commit_ts_us=int(commit_info.get(MAX_COMMIT_TS_US, 0)),
            max_tx_id=int(commit_info.get(MAX_TX_ID, 0)),
        )

    def covers(self, wanted: Mapping[int, int]) -> bool:
        """Whether every wanted end offset is applied."""
        return all(self.offsets.get(partition, 0) >= end for partition, end in wanted.items())


@dataclass(frozen=True)
class Commit:
    """One version of a table.

    Args:
        version: Delta version.
        applied: what the table contains at this version; inherited when the commit itself does not say.
        wrote: whether this very commit applied a micro-batch.
        visible_at: when readers could see it: the time of its log file, which is Delta's own definition.
        begins: whether this very commit is the first part of a micro-batch that a later one completes.
    """

    version: int
    applied: Applied
    wrote: bool
    visible_at: datetime
    begins: bool = False

    @property
    def batch(self) -> int:
        """Micro-batch that wrote last; -1 before the first."""
        return self.applied.batch

    @property
    def offsets(self) -> dict[int, int]:
        """Partition -> end offset, exclusive, of all that is applied."""
        return self.applied.offsets

    @property
    def max_commit_ts_us(self) -> int:
        """Largest commit time of an applied event, microseconds since 1970; 0 for none."""
        return self.applied.max_commit_ts_us


def key_type(schema: TableSchema) -> pa.StructType:
    """Struct of the key columns, typed."""
    import pyarrow as pa

    return pa.struct([(column.name, rule_for(column).arrow) for column in schema.key])


def row_type(schema: TableSchema) -> pa.StructType:
    """Struct of all columns, typed."""
    import pyarrow as pa

    return pa.struct([(column.name, rule_for(column).arrow) for column in schema.columns])


def changes_schema(schema: TableSchema) -> pa.Schema:
    """Columns of ``changes/<table>``: a row per record of the topic, re-deliveries and tombstones included."""
    import pyarrow as pa

    utc = pa.timestamp("us", "UTC")
    return pa.schema(
        [
            ("op", pa.string()),
            ("key", key_type(schema)),
            ("before", row_type(schema)),
            ("after", row_type(schema)),
            # Columns that are NULL in `after` because their values did not change and were not sent (TOAST).
            ("unchanged", pa.list_(pa.string())),
            ("lsn", pa.int64()),
            ("tx_id", pa.int64()),
            ("tx_order", pa.int64()),
            ("snapshot", pa.bool_()),
            ("commit_ts", utc),
            ("event_ts", utc),
            ("kafka_partition", pa.int32()),
            ("kafka_offset", pa.int64()),
            ("kafka_ts", utc),
            ("batch_id", pa.int64()),
        ]
    )


def mirror_schema(schema: TableSchema) -> pa.Schema:
    """Columns of ``mirror/<table>``: the source's, then where the row's newest event came from."""
    import pyarrow as pa

    source = [(column.name, rule_for(column).arrow) for column in schema.columns]
    origin = [
        ("_lsn", pa.int64()),
        ("_tx_id", pa.int64()),
        ("_commit_ts", pa.timestamp("us", "UTC")),
        ("_snapshot", pa.bool_()),
    ]
    return pa.schema([*source, *origin])


def quarantine_schema() -> pa.Schema:
    """Columns of ``quarantine``: the record as it was, where it lies in Kafka, and why it was refused."""
    import pyarrow as pa

    return pa.schema(
        [
            ("topic", pa.string()),
            ("partition", pa.int32()),
            ("offset", pa.int64()),
            ("reason", pa.string()),
            ("key", pa.binary()),
            ("value", pa.binary()),
            ("kafka_ts", pa.timestamp("us", "UTC")),
            ("batch_id", pa.int64()),
        ]
    )


def commit_properties(applied: Applied, app_id: str | None = None) -> CommitProperties:
    """Metadata of a commit; ``app_id`` adds the application transaction (id, batch) that makes a replay a no-op."""
    from deltalake import CommitProperties, Transaction

    transactions = None if app_id is None else [Transaction(app_id, applied.batch)]
    return CommitProperties(custom_metadata=applied.metadata(), app_transactions=transactions)


def begins_batch(batch: int) -> CommitProperties:
    """Metadata of a commit that applies only the first part of a micro-batch: no cut is taken at its version."""
    from deltalake import CommitProperties

    return CommitProperties(custom_metadata={BEGINS: str(batch)})


def create_table(table_dir: Path, schema: pa.Schema, applied: Applied) -> DeltaTable:
    """The table, opened; made first when there is none, with version 0 carrying the starting offsets.

    Raises:
        InfrastructureError: a table is there with other columns.
    """
    import pyarrow as pa
    from deltalake import DeltaTable

    if not DeltaTable.is_deltatable(str(table_dir)):
        return DeltaTable.create(
            str(table_dir),
            schema=schema,
            commit_properties=commit_properties(applied),
            configuration={
                STATISTICS: _with_statistics(schema),
                RETENTION: f"interval {REPLACED_FILES_KEPT_MIN} minutes",
                TARGET_FILE_SIZE: str(FILE_BYTES),
            },
        )
    table = DeltaTable(str(table_dir))
    found = pa.schema(table.schema().to_arrow())
    if plain(found) != schema.remove_metadata():
        raise InfrastructureError(
            f"the Delta table in {table_dir} has other columns than the source",
            details={"found": ", ".join(found.names), "expected": ", ".join(schema.names)},
            hint="start the pipeline on an empty lake: test-infra down, then up",
        )
    return table


def open_table(table_dir: Path, version: int | None = None) -> DeltaTable:
    """The Delta table at a version, or at its newest.

    Raises:
        TableMissing: there is none.
    """
    from deltalake import DeltaTable

    if not DeltaTable.is_deltatable(str(table_dir)):
        raise TableMissing(table_dir)
    return DeltaTable(str(table_dir), version=version)


def has_batch(table: DeltaTable, stream: str, batch: int) -> bool:
    """Whether a micro-batch of a stream is in an opened table: its application transaction says so."""
    version = table.transaction_version(stream)
    return version is not None and version >= batch


def despite_foreign_commits(table: DeltaTable) -> tenacity.Retrying:
    """Attempts at a write that somebody else's commit (a compaction, a person) may have overtaken.

    The table is brought to its newest version before the write is tried again.
    """
    import tenacity
    from deltalake.exceptions import CommitFailedError

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(CommitFailedError),
        stop=tenacity.stop_after_attempt(5),
        before_sleep=lambda _: table.update_incremental(),
        reraise=True,
    )


def written_as() -> WriterProperties:
    """How the files of change log and mirror are written: to be read and replaced soon, not to be small.

    A merge writes every file anew in which it changes a row, and most of that time went into dictionaries of values
    that hardly repeat. Small row groups are encoded and read by several threads at once, in little memory.
    """
    from deltalake import ColumnProperties, WriterProperties

    return WriterProperties(
        compression="LZ4_RAW",
        max_row_group_size=ROWS_OF_ROW_GROUP,
        default_column_properties=ColumnProperties(dictionary_enabled=False),
    )


def compact(table: DeltaTable) -> None:
    """Join small files, remove those replaced long ago; when a foreign commit comes between, the next time does it."""
    from deltalake.exceptions import CommitFailedError

    with suppress(CommitFailedError):
        table.optimize.compact(writer_properties=written_as())
        table.vacuum(dry_run=False)


def dataset(table_dir: Path, version: int | None = None) -> Dataset:
    """The rows at a version as an Arrow dataset: read file by file, filters and columns pushed down by DuckDB.

    Raises:
        TableMissing: there is none.
    """
    return dataset_of(open_table(table_dir, version))


def dataset_of(table: DeltaTable) -> Dataset:
    """The rows of an opened table as an Arrow dataset, whose files Arrow reads by itself.

    By default delta-rs gives Arrow a file system written in Python. Arrow's threads may still hold a file of it when
    the process ends, and then end it with SIGABRT and "terminate called without an active exception": code 134 after
    work that was well done (apache/arrow issue 45017; 21 of 240 short processes on a busy machine, now none).
    """
    from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

    folder = unquote(urlsplit(table.table_uri).path)
    return table.to_pyarrow_dataset(filesystem=SubTreeFileSystem(folder, LocalFileSystem()))


def commits(table_dir: Path, back_to: Mapping[int, int] | None = None) -> list[Commit]:
    """Every version whose log file is still there, newest last.

    Args:
        table_dir: folder of the table.
        back_to: read back only to the newest version that does not cover these end offsets; a table's log is long, and
            what is looked for lies near its end.

    Raises:
        TableMissing: there is no table.
    """
    newest_first = []
    for path in reversed(_log_files(table_dir)):
        info = commit_info(path)
        own = Applied.of(info)
        newest_first.append((path, info, own))
        if back_to is not None and own is not None and not own.covers(back_to):
            break
    found: list[Commit] = []
    applied = Applied(stream="", batch=-1, offsets={})
    for path, info, own in reversed(newest_first):
        applied = own or applied
        wrote = own is not None and own.batch >= 0
        visible_at = datetime.fromtimestamp(path.stat().st_mtime_ns / 1e9, tz=UTC)
        found.append(Commit(int(path.stem), applied, wrote, visible_at, BEGINS in info))
    return found


def newest_applied(table_dir: Path) -> Applied:
    """What the newest version contains.

    Raises:
        TableMissing: there is no table.
    """
    for path in reversed(_log_files(table_dir)):
        if applied := Applied.of(commit_info(path)):
            return applied
    return Applied(stream="", batch=-1, offsets={})


def first_covering(history: Iterable[Commit], wanted: Mapping[int, int]) -> Commit | None:
    """The first version that covers every wanted end offset, as it stood before the stream went on.

    What somebody else did to that version (a compaction, or a row changed behind the stream's back) is part of it:
    the stream applied nothing in between, and a reader of the table saw it.

    Returns:
        The last version before the stream's next commit; None when no version covers the offsets yet.
    """
    covering: Commit | None = None
    for commit in history:
        if covering is not None and (commit.wrote or commit.begins):
            break
        if covering is not None or commit.applied.covers(wanted):
            covering = commit
    return covering


def commit_info(path: Path) -> dict[str, Any]:
    """The ``commitInfo`` action of a log file; empty when it has none."""
    with path.open(encoding="utf-8") as log:
        for line in log:
            if line.startswith('{"commitInfo"'):
                return dict(json.loads(line)["commitInfo"])
    return {}


def _with_statistics(schema: pa.Schema) -> str:
    """The columns whose least and greatest value each commit notes, which a merge uses to skip files.

    Not the dates: readers (`DeltaTable.to_pyarrow_dataset`) fail on the statistics of a day before the year 1 or after
    9999. And nothing nested, which may hold dates too.
    """
    import pyarrow as pa

    without = (pa.types.is_date, pa.types.is_nested, pa.types.is_binary)
    names = [field.name for field in schema if not any(of_kind(field.type) for of_kind in without)]
    return ",".join("`" + name.replace("`", "``") + "`" for name in names)


def plain(schema: pa.Schema) -> pa.Schema:
    """A schema without metadata and large or view types, so that two schemas compare by meaning."""
    import pyarrow as pa

    def simple(kind: pa.DataType) -> pa.DataType:
        if pa.types.is_struct(kind):
            return pa.struct([(field.name, simple(field.type)) for field in kind])
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            return pa.list_(simple(kind.value_type))
        if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            return pa.string()
        if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
            return pa.binary()
        return kind

    return pa.schema([(field.name, simple(field.type)) for field in schema])


def _log_files(table_dir: Path) -> list[Path]:
    log = table_dir / "_delta_log"
    files = sorted(path for path in log.glob("*.json") if path.stem.isdigit()) if log.is_dir() else []
    if not files:
        raise TableMissing(table_dir)
    return files
