"""A moment of the source: which transactions it contains, and the rows as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from test_infra.base.errors import InfrastructureError
from test_infra.base.redaction import redact
from test_infra.cdc.sources.postgres.catalogue import SourceTable, tables
from test_infra.cdc.sources.postgres.connection import conninfo
from test_infra.cdc.types import identifier, literal, rule_for

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa

    from test_infra.cdc.pipeline import PipelineSpec
    from test_infra.cdc.table import TableSchema
    from test_infra.stack import Endpoint

MARKER_PREFIX = "test_infra"
LOCK_TIMEOUT_MS = 2_000


class LockNotTaken(InfrastructureError):
    """A table was locked by a truncate, a rewrite or DDL all the time."""


@dataclass(frozen=True)
class Snapshot:
    """Which transactions a moment of the source contains: PostgreSQL's ``pg_current_snapshot()``.

    Args:
        xmin: every transaction below it had ended.
        xmax: none at or above it had ended.
        in_progress: those between that had not ended. All ids are 64 bit.
    """

    xmin: int
    xmax: int
    in_progress: frozenset[int] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """Read ``xmin:xmax:xid,xid``."""
        xmin, xmax, running = text.split(":")
        return cls(int(xmin), int(xmax), frozenset(int(xid) for xid in running.split(",") if xid))

    def __str__(self) -> str:
        return f"{self.xmin}:{self.xmax}:{','.join(map(str, sorted(self.in_progress)))}"

    def sees(self, tx_id: int) -> bool:
        """Whether a transaction that committed is visible."""
        return tx_id < self.xmax and tx_id not in self.in_progress

    def sees_sql(self, expr: str) -> str:
        """`sees` as SQL over a BIGINT expression."""
        if not self.in_progress:
            return f"({expr} < {self.xmax})"
        return f"({expr} < {self.xmax} AND {expr} NOT IN ({', '.join(map(str, sorted(self.in_progress)))}))"


@dataclass(frozen=True)
class Frozen:
    """A moment of the source that other sessions may read.

    Args:
        snapshot: what it contains.
        exported: its name for `rows_as_arrow`; valid while the session that made it holds it.
        tables: the captured tables as they are in it.
    """

    snapshot: Snapshot
    exported: str
    tables: list[SourceTable]


@contextmanager
def freeze(connection: psycopg.Connection, spec: PipelineSpec, names: list[str]) -> Iterator[Frozen]:
    """Hold a moment of the source for the time of the block; it must be short, because it holds locks.

    The locks come before the first snapshot: between a snapshot and its first read a truncate could slip in, and the
    read would see an empty table (facts/exact-cut.md: 6 of 7 cuts false without).

    Args:
        connection: an own session with the primary.
        spec: the pipeline.
        names: tables to hold.

    Raises:
        LockNotTaken: a table stayed locked.
        UsageError: a table is gone or cannot be captured any more.
    """
    import psycopg
    from psycopg.sql import SQL, Identifier

    listed = SQL(", ").join(Identifier(spec.source.schema_name, name) for name in names)
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
        try:
            connection.execute(SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(listed))
        except psycopg.errors.LockNotAvailable as error:
            raise LockNotTaken(
                f"a table of pipeline {spec.name} stayed locked for {LOCK_TIMEOUT_MS / 1_000:.0f} s",
                details={"seen": str(error).strip()},
                hint="look for a truncate, a rewrite or DDL in pg_stat_activity",
            ) from error
        row = connection.execute("SELECT pg_current_snapshot()::text, pg_export_snapshot()").fetchone()
        assert row is not None
        yield Frozen(Snapshot.parse(row[0]), row[1], tables(connection, spec.source.schema_name, names))
    finally:
        # Nothing was written: an end without commit is as good, and also right after an error.
        if not connection.closed:
            connection.execute("ROLLBACK")


@contextmanager
def rows_as_arrow(endpoint: Endpoint, exported: str, schema: TableSchema) -> Iterator[pa.RecordBatchReader]:
    """All rows of a table at an exported moment, streamed; column types are those of ``source_select``.

    Raises:
        InfrastructureError: the read failed.
    """
    from adbc_driver_manager import Error
    from adbc_driver_postgresql import dbapi

    columns = ", ".join(
        f"{rule_for(column).source_select(identifier(column.name))} AS {identifier(column.name)}"
        for column in schema.columns
    )
    table = f"{identifier(schema.schema)}.{identifier(schema.name)}"
    try:
        with dbapi.connect(conninfo(endpoint, "owner"), autocommit=True) as session, session.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            cursor.execute(f"SET TRANSACTION SNAPSHOT {literal(exported)}")
            cursor.execute(f"SELECT {columns} FROM {table}")  # noqa: S608 - quoted names of the catalogue
            yield cursor.fetch_record_batch()
            cursor.execute("COMMIT")
    except Error as error:
        raise InfrastructureError(
            f"the rows of {schema.qualified} were not read", details={"seen": redact(str(error))}
        ) from None


def emit_marker(connection: psycopg.Connection, token: str) -> int:
    """Write a message into the WAL, in a transaction of its own, and return its LSN.

    Whatever was committed before lies below it. ``local``: with a synchronous standby that is missing, ``on`` would
    hang; and with ``off`` the WAL up to here might not be flushed, so Debezium would not get it.
    """
    with connection.transaction():
        connection.execute("SET LOCAL synchronous_commit = local")
        row = connection.execute(
            "SELECT (pg_logical_emit_message(true, %s, %s) - '0/0'::pg_lsn)::bigint", [MARKER_PREFIX, token]
        ).fetchone()
    assert row is not None
    return int(row[0])
