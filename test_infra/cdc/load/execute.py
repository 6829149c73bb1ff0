"""Running planned transactions, and writing down what became of each operation."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from test_infra.cdc.load.history import WITH_ANOTHER, History, Kind, OperationOutcome, OperationResult, Phase, written
from test_infra.cdc.load.rows import Effect
from test_infra.cdc.load.values import SqlValue

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg
    from psycopg.sql import Composable, Composed

    from test_infra.cdc.load.plan import Planned, Transaction
    from test_infra.cdc.load.shape import Shape

TX_ID = b"SELECT pg_current_xact_id()::text::bigint"
LONGEST_WORDS = 500


@dataclass(frozen=True)
class Ran:
    """What became of a transaction.

    Args:
        committed: whether it did; None when the connection was lost and nobody can tell.
        missed: places of statements that did nothing, or something else than they say.
        no_row: those of them that wrote no row.
        refused: place of the statement that the source refused; None where it refused none, or its commit.
        words: what the source said then.
    """

    committed: bool | None
    missed: tuple[int, ...] = ()
    no_row: tuple[int, ...] = ()
    refused: int | None = None
    words: str = ""


@dataclass(frozen=True)
class _Seen:
    """What one statement brought back: rows that it changed, and the key where a trigger may have changed it."""

    rows: int
    key: tuple[object, ...] | None = None


class Executor:
    """Runs transactions on one session, each in one round trip.

    Args:
        shapes: the tables that planned operations point into.
        history: where outcomes are written down.
        phase: before the connector, or after.
    """

    def __init__(self, shapes: Sequence[Shape], history: History, phase: Phase = Phase.LOAD) -> None:
        self._shapes = shapes
        self._history = history
        self._phase = phase
        self._statements: dict[tuple[object, ...], bytes] = {}
        self._deferred = any(key.deferrable for shape in shapes for key in shape.foreign_keys)

    def run(self, connection: psycopg.Connection, transaction: Transaction) -> Ran:
        """Run it; whatever the end is, it is in the history when this returns."""
        import psycopg

        started = time.time()
        tx_id: int | None = None
        seen: list[_Seen] = []
        refused: int | None = None
        words = ""
        cursors: list[psycopg.Cursor] = []
        committed: bool | None
        try:
            tx_id, seen = self._sent(connection, transaction, cursors)
            committed = transaction.commits
        except psycopg.Error as error:
            committed = False
            if connection.broken or connection.closed:
                committed = None if transaction.commits else False
            else:
                # An error skips the rest of the pipeline, the commit included.
                connection.execute("ROLLBACK")
                # What was to be prepared behind the error never was, and psycopg would take it for prepared.
                connection.prepare_threshold = None
                refused, words = _refused(cursors, transaction), said(error)
        steps = [
            step
            for place, operation in enumerate(transaction.operations)
            for step in self._steps(
                operation, committed, seen[place] if seen else _Seen(1), self._words(place, refused, words)
            )
        ]
        self._history.add(steps, tx_id, started, time.time(), self._phase)
        missed = tuple(place for place, one in enumerate(seen) if self._missed(transaction.operations[place], one))
        no_row = tuple(place for place in missed if seen[place].rows == 0)
        return Ran(committed, missed, no_row, refused, words)

    def _sent(
        self, connection: psycopg.Connection, transaction: Transaction, cursors: list[psycopg.Cursor]
    ) -> tuple[int, list[_Seen]]:
        import psycopg

        first: psycopg.Error | None = None
        try:
            with connection.pipeline():
                try:
                    tx_id = self._queued(connection, transaction, cursors)
                except psycopg.Error as error:
                    # Raised out of the block, psycopg would log the pipeline's end as an error of its own.
                    first = error
        except psycopg.Error as error:
            raise (first or error) from None
        if first is not None:
            raise first
        row = tx_id.fetchone()
        assert row is not None
        return int(row[0]), [
            _Seen(cursor.rowcount, cursor.fetchone() if cursor.description else None) for cursor in cursors
        ]

    def _queued(
        self, connection: psycopg.Connection, transaction: Transaction, cursors: list[psycopg.Cursor]
    ) -> psycopg.Cursor:
        """Send everything; returns where the transaction id comes."""
        connection.execute(b"BEGIN")
        if self._deferred:
            connection.execute(b"SET CONSTRAINTS ALL DEFERRED")
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
        return tx_id

    def _words(self, place: int, refused: int | None, words: str) -> str:
        return words if place == refused or (words and refused is None) else words and WITH_ANOTHER

    def _missed(self, operation: Planned, seen: _Seen) -> bool:
        return not operation.undone and (
            seen.rows != 1 or (seen.key is not None and not _same(seen.key, _key_after(self._shapes, operation)))
        )

    def _steps(self, operation: Planned, committed: bool | None, seen: _Seen, refused: str) -> list[OperationResult]:
        shape = self._shapes[operation.table]
        if operation.undone or committed is False:
            return [self._step(effect, OperationOutcome.FAILED, refused) for effect in operation.effects]
        outcome = OperationOutcome.OK if committed else OperationOutcome.UNKNOWN
        if seen.rows == 1 and (seen.key is None or _same(seen.key, _key_after(self._shapes, operation))):
            return [self._step(effect, outcome) for effect in operation.effects]
        if operation.kind is Kind.INSERT and seen.rows == 1 and seen.key is not None:
            # A trigger gave the row another key, and the source has said which.
            return [self._step(Effect(operation.table, Kind.INSERT, seen.key), outcome)]
        if not shape.constraints.side_effects:
            return [self._step(effect, OperationOutcome.FAILED) for effect in operation.effects]
        # A trigger or a rule did something else: with these rows, and with the one that came back.
        others = [Effect(effect.table, Kind.TOUCHED, effect.key) for effect in operation.effects]
        if seen.key is not None and seen.rows == 1:
            others.append(Effect(operation.table, Kind.TOUCHED, seen.key))
        return [self._step(effect, outcome) for effect in others]

    def _step(self, effect: Effect, outcome: OperationOutcome, refused: str = "") -> OperationResult:
        schema = self._shapes[effect.table].schema
        return OperationResult(
            schema.label, schema.key_names, tuple(map(written, effect.key)), effect.kind, outcome, refused
        )

    def _values(self, operation: Planned) -> list[object]:
        given = [value for value in operation.values.values() if not isinstance(value, SqlValue)]
        return given if operation.kind is Kind.INSERT else [*given, *operation.key]

    def _statement(self, connection: psycopg.Connection, operation: Planned) -> bytes:
        computed = tuple(value.sql if isinstance(value, SqlValue) else "" for value in operation.values.values())
        if any(computed):
            return _composed(self._shapes[operation.table], operation).as_bytes(connection)
        shape = (operation.table, operation.kind, tuple(operation.values))
        if shape not in self._statements:
            self._statements[shape] = _composed(self._shapes[operation.table], operation).as_bytes(connection)
        return self._statements[shape]


def _refused(cursors: Sequence[psycopg.Cursor], transaction: Transaction) -> int | None:
    """The statement that was refused: the first without a result; None where all had one, and the commit had not."""
    done = sum(1 for cursor in cursors if cursor.statusmessage is not None)
    return done if done < len(transaction.operations) else None


def said(error: psycopg.Error) -> str:
    """The source's own words, with the constraint's name and the SQLSTATE."""
    diag = error.diag
    words = " ".join(filter(None, (diag.message_primary or str(error).strip(), diag.message_detail)))
    named = f"{diag.constraint_name}: " if diag.constraint_name else ""
    state = f" ({error.sqlstate})" if error.sqlstate else ""
    return f"{named}{words[:LONGEST_WORDS]}{state}"


def _key_after(shapes: Sequence[Shape], operation: Planned) -> tuple[object, ...]:
    names = shapes[operation.table].schema.key_names
    return tuple(operation.values.get(name, before) for name, before in zip(names, operation.key, strict=True))


def _same(key: tuple[object, ...], other: tuple[object, ...]) -> bool:
    return list(map(written, key)) == list(map(written, other))


def _composed(shape: Shape, operation: Planned) -> Composed:
    from psycopg.sql import SQL, Identifier, Placeholder

    schema = shape.schema
    table = Identifier(schema.schema, schema.name)
    columns = [Identifier(name) for name in operation.values]
    # An expression is the user's own, for the user's own database.
    values: list[Composable] = [
        SQL("({})").format(SQL(value.sql.replace("%", "%%"))) if isinstance(value, SqlValue) else Placeholder()
        for value in operation.values.values()
    ]
    where = SQL(" AND ").join(SQL("{} = %s").format(Identifier(name)) for name in schema.key_names)
    match operation.kind:
        case Kind.INSERT:
            # The key of an identity column is given, so that the history knows it whatever becomes of the session.
            overriding = SQL("OVERRIDING SYSTEM VALUE " if shape.overrides_identity else "")
            statement = SQL("INSERT INTO {} ({}) {}VALUES ({})")
            return statement.format(table, SQL(", ").join(columns), overriding, SQL(", ").join(values)) + _returning(
                shape
            )
        case Kind.UPDATE:
            changes = SQL(", ").join(
                SQL("{} = {}").format(column, value) for column, value in zip(columns, values, strict=True)
            )
            return SQL("UPDATE {} SET {} WHERE {}").format(table, changes, where) + _returning(shape)
        case _:
            return SQL("DELETE FROM {} WHERE {}").format(table, where)


def _returning(shape: Shape) -> Composed:
    """The key that was written, where a trigger may have changed it; a rule does not allow to ask."""
    from psycopg.sql import SQL, Identifier

    asks = any(one.before_row for one in shape.constraints.side_effects) and not any(
        one.rule for one in shape.constraints.side_effects
    )
    names = SQL(", ").join(map(Identifier, shape.schema.key_names))
    return SQL(" RETURNING {}").format(names) if asks else SQL("").format()
