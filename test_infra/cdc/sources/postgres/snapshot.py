"""A moment of the source: which transactions it contains, and the rows as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from test_infra.base.errors import InfrastructureError
from test_infra.base.ids import token
from test_infra.base.redaction import redact
from test_infra.cdc.sources.errors import LockNotTaken
from test_infra.cdc.sources.postgres.catalogue import SourceTable, tables
from test_infra.cdc.sources.postgres.connection import connect, conninfo
from test_infra.cdc.sources.postgres.lsn import Lsn
from test_infra.cdc.types import identifier, literal, rule_for

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa

    from test_infra.cdc.types.table import TableSchema
    from test_infra.cdc.types.table_id import CapturedTable, TableId
    from test_infra.stack import Endpoint

MARKER_PREFIX = "test_infra"
LOCK_TIMEOUT_MS = 2_000
LOCK_NOT_AVAILABLE = "55P03"

SESSIONS = 2
"""Sessions that read side by side. Each keeps about one core of the server and half a core of ours at work."""
PART_BLOCKS = 4_096
"""Blocks of 8 kB that a session reads before it takes the next part."""
BATCH_OPTION = "adbc.postgresql.batch_size_hint_bytes"
BATCH_BYTES = 8 * 1024 * 1024
"""Of one Arrow batch; several are in memory at once."""


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

    def misses_sql(self, expr: str) -> str:
        """The opposite of `sees_sql`; its first part lets a reader skip files in which all ids are older."""
        return f"({expr} >= {self.xmin} AND NOT {self.sees_sql(expr)})"


@dataclass(frozen=True)
class Part:
    """Some blocks of a table, read by one session at a time.

    Args:
        schema: the table.
        first_block: where it begins.
        end_block: the block behind it; None is the end of the table.
    """

    schema: TableSchema
    first_block: int
    end_block: int | None

    @property
    def condition(self) -> str:
        """On the rows of the table: the captured ones of these blocks."""
        captured = f"({self.schema.where}\n) AND " if self.schema.where else ""
        return f"{captured}{self._blocks}"

    @property
    def _blocks(self) -> str:
        from_block = f"ctid >= '({self.first_block},0)'" if self.first_block else "true"
        return from_block if self.end_block is None else f"{from_block} AND ctid < '({self.end_block},0)'"


@dataclass(frozen=True)
class Frozen:
    """A moment of the source, held by several sessions that all see the same.

    Args:
        snapshot: what it contains.
        tables: the captured tables as they are in it.
        sessions: ADBC connections that hold moment and locks.
        blocks: table label -> its size, in blocks.
    """

    snapshot: Snapshot
    tables: list[SourceTable]
    sessions: tuple[Any, ...]
    blocks: Mapping[str, int]

    def parts(self) -> list[Part]:
        """All tables, cut so that the sessions can share the work."""
        return [
            Part(table.schema, first, first + PART_BLOCKS if first + PART_BLOCKS < blocks else None)
            for table in self.tables
            for blocks in [self.blocks[table.schema.label]]
            for first in range(0, max(blocks, 1), PART_BLOCKS)
        ]

    @contextmanager
    def rows(self, part: Part, session: Any) -> Iterator[pa.RecordBatchReader]:
        """All rows of a part, streamed for the time of the block; column types are those of ``source_select``.

        Raises:
            InfrastructureError: the read failed.
        """
        from adbc_driver_manager import Error

        schema = part.schema
        columns = ", ".join(
            f"{rule_for(column).source_select(identifier(column.name))} AS {identifier(column.name)}"
            for column in schema.columns
        )
        table = f"{identifier(schema.schema)}.{identifier(schema.name)}"
        try:
            with session.cursor(adbc_stmt_kwargs={BATCH_OPTION: str(BATCH_BYTES)}) as cursor:
                cursor.execute(f"SELECT {columns} FROM {table} WHERE {part.condition}")
                yield cursor.fetch_record_batch()
        except Error as error:
            raise InfrastructureError(
                f"the rows of {schema.qualified} were not read", details={"seen": redact(str(error))}
            ) from None


@contextmanager
def freeze(
    endpoint: Endpoint, wanted: Sequence[CapturedTable], moment: Callable[[], str] | None = None
) -> Iterator[Frozen]:
    """Hold a moment of the source for the time of the block; it must be short, because it holds locks.

    The locks come before the snapshot: between a snapshot and its first read a truncate could slip in, and the read
    would see an empty table (6 of 7 cuts were false without). Every session takes its own before the
    first one takes the snapshot: later, it would queue behind a truncate that waits for the first, for ever.

    Args:
        endpoint: of the primary.
        wanted: tables to hold.
        moment: called when all locks are held; gives the name of an exported snapshot. None: the first session's own.

    Raises:
        LockNotTaken: a table stayed locked.
        SourceUnreachable: the source did not accept a session.
        UsageError: a table is gone or cannot be captured any more.
    """
    # First, because its errors say who was refused and why.
    with connect(endpoint, "owner") as catalogue, ExitStack() as held:
        tables(catalogue, wanted)
        ids = [table.id for table in wanted]
        sessions = tuple(held.enter_context(_session(endpoint)) for _ in range(SESSIONS))
        for session in sessions:
            _begin_and_lock(session, ids)
        first, *others = sessions
        if moment is not None:
            _rows(first, f"SET TRANSACTION SNAPSHOT {literal(moment())}")
        ((text, exported),) = _rows(first, "SELECT pg_current_snapshot()::text, pg_export_snapshot()")
        for session in others:
            _rows(session, f"SET TRANSACTION SNAPSHOT {literal(exported)}")
        labels = {(table.schema, table.name): table.label for table in ids}
        blocks = {labels[schema, name]: size for schema, name, size in _rows(first, _blocks_query(ids))}
        frozen = tables(catalogue, wanted)
        yield Frozen(Snapshot.parse(text), frozen, sessions, blocks)
        # After an error the sessions are closed, and nothing was written that could need an end.
        for session in sessions:
            _rows(session, "COMMIT")


def _session(endpoint: Endpoint) -> Any:
    from adbc_driver_postgresql import dbapi

    return dbapi.connect(conninfo(endpoint, "owner"), autocommit=True)


def _begin_and_lock(session: Any, wanted: Sequence[TableId]) -> None:
    from adbc_driver_manager import Error

    listed = ", ".join(f"{identifier(table.schema)}.{identifier(table.name)}" for table in wanted)
    with session.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
        # Values that travel as text are written as Debezium's session writes them.
        cursor.execute("SET LOCAL TimeZone = 'UTC'")
        cursor.execute("SET LOCAL DateStyle = 'ISO, MDY'")
        try:
            # LOCK takes no snapshot, so SET TRANSACTION SNAPSHOT may still follow.
            cursor.execute(f"LOCK TABLE {listed} IN ACCESS SHARE MODE")
        except Error as error:
            if error.sqlstate != LOCK_NOT_AVAILABLE:
                raise InfrastructureError("the source was not frozen", details={"seen": redact(str(error))}) from None
            raise LockNotTaken(
                f"a captured table stayed locked for {LOCK_TIMEOUT_MS / 1_000:.0f} s",
                details={"tables": ", ".join(table.label for table in wanted)},
                hint="look for a truncate, a rewrite or DDL in pg_stat_activity",
            ) from None


def _rows(session: Any, query: str) -> list[tuple[Any, ...]]:
    with session.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall()) if cursor.description else []


def _blocks_query(wanted: Sequence[TableId]) -> str:
    """Schema and name of each table, and its size about now, in blocks; what comes behind is in the last part.

    It locks each table, as any reader does, so it is asked by a session that holds the locks.
    """
    listed = ", ".join(f"({literal(table.schema)}, {literal(table.name)})" for table in wanted)
    return f"""SELECT n.nspname::text, c.relname::text, pg_relation_size(c.oid) / current_setting('block_size')::int
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE (n.nspname, c.relname) IN ({listed})"""


def emit_marker(connection: psycopg.Connection) -> Lsn:
    """Write a marker into the WAL and return its LSN, see `emit_message`."""
    return emit_message(connection, MARKER_PREFIX, token())


def emit_message(connection: psycopg.Connection, prefix: str, text: str) -> Lsn:
    """Write a message into the WAL, in a transaction of its own, and return its LSN.

    Whatever was committed before lies below it. ``local``: with a synchronous standby that is missing, ``on`` would
    hang; and with ``off`` the WAL up to here might not be flushed, so Debezium would not get it.
    """
    with connection.transaction():
        connection.execute("SET LOCAL synchronous_commit = local")
        row = connection.execute(
            "SELECT (pg_logical_emit_message(true, %s, %s) - '0/0'::pg_lsn)::bigint", [prefix, text]
        ).fetchone()
    assert row is not None
    return Lsn(int(row[0]))
