"""Running planned transactions, and writing down what became of each operation."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from test_infra.cdc.load.history import History, Kind, OperationOutcome, OperationResult, Phase, written

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composed

    from test_infra.cdc.load.plan import Planned, Transaction
    from test_infra.cdc.types.table import TableSchema

TX_ID = b"SELECT pg_current_xact_id()::text::bigint"


class Executor:
    """Runs transactions on one session, each in one round trip.

    Args:
        schemas: the tables that planned operations point into.
        history: where outcomes are written down.
        phase: before the connector, or after.
    """

    def __init__(self, schemas: list[TableSchema], history: History, phase: Phase = Phase.LOAD) -> None:
        self._schemas = schemas
        self._history = history
        self._phase = phase
        self._statements: dict[tuple[int, Kind, tuple[str, ...]], bytes] = {}

    def run(self, connection: psycopg.Connection, transaction: Transaction) -> bool | None:
        """Whether it committed; None when the connection was lost and nobody can tell.

        Whatever the end is, it is in the history when this returns.
        """
        import psycopg

        started = time.time()
        tx_id: int | None = None
        affected: list[int] = []
        committed: bool | None
        try:
            tx_id, affected = self._sent(connection, transaction)
            committed = transaction.commits
        except psycopg.Error:
            committed = False
            if connection.broken or connection.closed:
                committed = None if transaction.commits else False
            else:
                # An error skips the rest of the pipeline, the commit included.
                connection.execute("ROLLBACK")
        steps = [
            self._step(operation, committed, rows)
            for operation, rows in zip(
                transaction.operations, affected or [1] * len(transaction.operations), strict=True
            )
        ]
        self._history.add(steps, tx_id, started, time.time(), self._phase)
        return committed

    def _sent(self, connection: psycopg.Connection, transaction: Transaction) -> tuple[int, list[int]]:
        cursors = []
        with connection.pipeline():
            connection.execute(b"BEGIN")
            undone = False
            for operation in transaction.operations:
                if operation.undone and not undone:
                    connection.execute(b"SAVEPOINT undone")
                    undone = True
                cursors.append(connection.execute(self._statement(connection, operation), self._values(operation)))
            if undone:
                connection.execute(b"ROLLBACK TO SAVEPOINT undone")
            tx_id = connection.execute(TX_ID)
            connection.execute(b"COMMIT" if transaction.commits else b"ROLLBACK")
        row = tx_id.fetchone()
        assert row is not None
        return int(row[0]), [cursor.rowcount for cursor in cursors]

    def _step(self, operation: Planned, committed: bool | None, rows: int) -> OperationResult:
        schema = self._schemas[operation.table]
        if operation.undone or committed is False or rows != 1:
            outcome = OperationOutcome.FAILED
        else:
            outcome = OperationOutcome.OK if committed else OperationOutcome.UNKNOWN
        return OperationResult(
            schema.label, schema.key_names, tuple(map(written, operation.key)), operation.kind, outcome
        )

    def _values(self, operation: Planned) -> list[object]:
        if operation.kind is Kind.INSERT:
            return list(operation.values.values())
        return [*operation.values.values(), *operation.key]

    def _statement(self, connection: psycopg.Connection, operation: Planned) -> bytes:
        shape = (operation.table, operation.kind, tuple(operation.values))
        if shape not in self._statements:
            self._statements[shape] = _composed(self._schemas[operation.table], operation).as_bytes(connection)
        return self._statements[shape]


def _composed(schema: TableSchema, operation: Planned) -> Composed:
    from psycopg.sql import SQL, Identifier, Placeholder

    table = Identifier(schema.schema, schema.name)
    columns = [Identifier(name) for name in operation.values]
    where = SQL(" AND ").join(SQL("{} = %s").format(Identifier(name)) for name in schema.key_names)
    match operation.kind:
        case Kind.INSERT:
            values = SQL(", ").join([Placeholder()] * len(columns))
            # Keys are ours also where the column is an identity.
            statement = SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({})")
            return statement.format(table, SQL(", ").join(columns), values)
        case Kind.UPDATE:
            changes = SQL(", ").join(SQL("{} = %s").format(column) for column in columns)
            return SQL("UPDATE {} SET {} WHERE {}").format(table, changes, where)
        case Kind.DELETE:
            return SQL("DELETE FROM {} WHERE {}").format(table, where)
