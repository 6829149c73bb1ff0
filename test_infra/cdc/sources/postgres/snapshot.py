"""A moment of the source: which transactions it contains, and the rows as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from test_infra.base.errors import InfrastructureError
from test_infra.base.redaction import redact
from test_infra.cdc.sources.postgres.catalogue import SourceTable, tables
from test_infra.cdc.sources.postgres.connection import connect, conninfo
from test_infra.cdc.types import identifier, rule_for

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa

    from test_infra.cdc.pipeline import PipelineSpec
    from test_infra.cdc.table import TableSchema
    from test_infra.stack import Endpoint

MARKER_PREFIX = "test_infra"
LOCK_TIMEOUT_MS = 2_000
LOCK_NOT_AVAILABLE = "55P03"


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
    """A moment of the source, held by one session.

    Args:
        snapshot: what it contains.
        tables: the captured tables as they are in it.
        session: ADBC connection that holds moment and locks.
    """

    snapshot: Snapshot
    tables: list[SourceTable]
    session: Any

    @contextmanager
    def rows(self, schema: TableSchema) -> Iterator[pa.RecordBatchReader]:
        """All rows of a table, streamed for the time of the block; column types are those of ``source_select``.

        Raises:
            InfrastructureError: the read failed.
        """
        from adbc_driver_manager import Error

        columns = ", ".join(
            f"{rule_for(column).source_select(identifier(column.name))} AS {identifier(column.name)}"
            for column in schema.columns
        )
        table = f"{identifier(schema.schema)}.{identifier(schema.name)}"
        try:
            with self.session.cursor() as cursor:
                cursor.execute(f"SELECT {columns} FROM {table}")
                yield cursor.fetch_record_batch()
        except Error as error:
            raise InfrastructureError(
                f"the rows of {schema.qualified} were not read", details={"seen": redact(str(error))}
            ) from None


@contextmanager
def freeze(endpoint: Endpoint, spec: PipelineSpec, names: list[str]) -> Iterator[Frozen]:
    """Hold a moment of the source for the time of the block; it must be short, because it holds locks.

    The locks come before the snapshot: between a snapshot and its first read a truncate could slip in, and the read
    would see an empty table (facts/exact-cut.md: 6 of 7 cuts false without). The same session locks and reads: a
    second one, with the snapshot exported, would queue behind a truncate that waits for the first, for ever.

    Args:
        endpoint: of the primary.
        spec: the pipeline.
        names: tables to hold.

    Raises:
        LockNotTaken: a table stayed locked.
        SourceUnreachable: the source did not accept a session.
        UsageError: a table is gone or cannot be captured any more.
    """
    from adbc_driver_manager import Error
    from adbc_driver_postgresql import dbapi

    listed = ", ".join(f"{identifier(spec.source.schema_name)}.{identifier(name)}" for name in names)
    # First, because its errors say who was refused and why.
    with connect(endpoint, "owner") as catalogue:
        tables(catalogue, spec.source.schema_name, names)
        with dbapi.connect(conninfo(endpoint, "owner"), autocommit=True) as session, session.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            cursor.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
            try:
                cursor.execute(f"LOCK TABLE {listed} IN ACCESS SHARE MODE")
            except Error as error:
                if error.sqlstate != LOCK_NOT_AVAILABLE:
                    raise InfrastructureError(
                        "the source was not frozen", details={"seen": redact(str(error))}
                    ) from None
                raise LockNotTaken(
                    f"a table of pipeline {spec.name} stayed locked for {LOCK_TIMEOUT_MS / 1_000:.0f} s",
                    details={"tables": ", ".join(names)},
                    hint="look for a truncate, a rewrite or DDL in pg_stat_activity",
                ) from None
            cursor.execute("SELECT pg_current_snapshot()::text")
            snapshot = Snapshot.parse(cursor.fetchone()[0])
            yield Frozen(snapshot, tables(catalogue, spec.source.schema_name, names), session)
            # After an error the session is closed, and nothing was written that could need an end.
            cursor.execute("COMMIT")


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
