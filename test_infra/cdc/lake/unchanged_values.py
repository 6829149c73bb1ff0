"""Values that an event did not carry, because they had not changed: taken from the events before. Pure SQL, DuckDB.

PostgreSQL does not send a large value (TOAST) that an update left alone, and a replica identity other than FULL does
not send the row before. Debezium writes a placeholder; the parser writes NULL and the column's name in ``unchanged``.
The value is that of the key's event before. When the key itself changed, Debezium makes a delete of the old key and a
create of the new one at the same LSN, so the value is that of the old key's event before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from test_infra.cdc.types import identifier, literal

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa
    from duckdb import DuckDBPyConnection
    from pyarrow.dataset import Dataset

    from test_infra.cdc.types.table import TableSchema

MOST_KEY_CHANGES = 1_000
"""Key changes of one row, one after the other, that are followed."""


def carry(connection: DuckDBPyConnection, events: str, schema: TableSchema) -> None:
    """Fill, in place, what the events of a table did not carry; what has no event before keeps its name in the list.

    Args:
        connection: holds the table.
        events: name of a DuckDB table of distinct events: ``key`` (struct), ``op, lsn, snapshot, after, unchanged``;
            of every key in it all events that the log has, or at least the last one before those in question.
        schema: the captured table.
    """
    for _ in range(MOST_KEY_CHANGES):
        before = _unfilled(connection, events)
        if not before:
            return
        _fill_from_own_key(connection, events, schema)
        _fill_from_old_key(connection, events, schema)
        if _unfilled(connection, events) == before:
            return


def carried(
    connection: DuckDBPyConnection, changes: pa.Table, schema: TableSchema, base: Callable[[], Dataset]
) -> pa.Table:
    """Rows of the change log with the values that they did not carry, from each other or from the mirror's rows.

    A value that is in neither stays NULL, and its column's name in ``unchanged``.

    Args:
        connection: DuckDB; tables of it are used for the time of the call.
        changes: rows of the change log, the next ones after those in the mirror.
        schema: the captured table.
        base: opens the rows of the mirror; called only when a value is lacking.
    """
    if changes["unchanged"].null_count == changes.num_rows:
        return changes
    connection.register("incoming", changes)
    connection.register("base", base())
    try:
        connection.execute(
            """CREATE OR REPLACE TEMP TABLE lacking AS SELECT DISTINCT "key" FROM incoming WHERE len(unchanged) > 0"""
        )
        lineage(connection, "lacking", "incoming")
        key, row = (
            f"{{{', '.join(f'{_name(column.name)}: {identifier(column.name)}' for column in columns)}}}"
            for columns in (schema.key, schema.columns)
        )
        connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE carrying AS
            SELECT DISTINCT ON ("key", lsn, op) "key", op, lsn, snapshot, after, unchanged FROM incoming
            WHERE op IN ('c', 'u', 'r', 'd') AND "key" IN (SELECT "key" FROM lacking)
            UNION ALL SELECT {key}, 'base', _lsn, _snapshot, {row}, NULL FROM base
            WHERE {key} IN (SELECT "key" FROM lacking)"""
        )
        carry(connection, "carrying", schema)
        filled = connection.sql(
            """SELECT incoming.* REPLACE (
                CASE WHEN len(incoming.unchanged) > 0 THEN carrying.after ELSE incoming.after END AS after,
                CASE WHEN len(incoming.unchanged) > 0 THEN carrying.unchanged END AS unchanged)
            FROM incoming LEFT JOIN carrying ON len(incoming.unchanged) > 0 AND carrying."key" = incoming."key"
                AND carrying.lsn = incoming.lsn AND carrying.op = incoming.op"""
        ).to_arrow_table()
        return filled.select(changes.column_names).cast(changes.schema)
    finally:
        for table in ("lacking", "carrying"):
            connection.execute(f"DROP TABLE IF EXISTS temp.{table}")
        for relation in ("incoming", "base"):
            connection.unregister(relation)


def lineage(connection: DuckDBPyConnection, keys: str, changes: str) -> None:
    """Add, in place, the old keys that rows of these keys had when a key change did not carry all their values.

    Args:
        connection: holds the relations.
        keys: name of a DuckDB table with one column, ``key``.
        changes: relation of the change log.
    """
    for _ in range(MOST_KEY_CHANGES):
        added = connection.execute(
            f"""INSERT INTO {keys} SELECT DISTINCT d."key" FROM {changes} c
            JOIN {changes} d ON d.lsn = c.lsn AND d.op = 'd' AND c.op = 'c' AND d."key" <> c."key"
            WHERE len(c.unchanged) > 0 AND c."key" IN (SELECT "key" FROM {keys})
                AND d."key" NOT IN (SELECT "key" FROM {keys})"""
        ).fetchall()[0][0]
        if not added:
            return


def _unfilled(connection: DuckDBPyConnection, events: str) -> int:
    return int(connection.execute(f"SELECT coalesce(sum(len(unchanged)), 0) FROM {events}").fetchall()[0][0])


def _fill_from_own_key(connection: DuckDBPyConnection, events: str, schema: TableSchema) -> None:
    """A column of an update takes the value of the newest event before, of its key, that has one.

    It never looks behind a delete or a create, where another row of this key ended (a truncate leaves no event of its
    own key). A create lacks values only after a key change: they are the old key's.
    """
    carried = ", ".join(
        f"{_name(column.name)}: last_value(CASE WHEN op = 'd' OR (op = 'c' AND {_lacks(column.name)}) "
        "THEN {'has': false, 'v': NULL} "
        f"WHEN NOT {_lacks(column.name)} THEN {{'has': true, 'v': after.{identifier(column.name)}}} END IGNORE NULLS) "
        "OVER before"
        for column in schema.columns
        if column.key_position is None
    )
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE carried AS SELECT place, carried FROM (
            SELECT rowid AS place, op, unchanged, {{{carried}}} AS carried FROM {events}
            WINDOW before AS (PARTITION BY "key" ORDER BY NOT snapshot, lsn, op = 'd' DESC
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        ) WHERE op <> 'c' AND len(unchanged) > 0"""
    )
    _write(connection, events, schema)


def _fill_from_old_key(connection: DuckDBPyConnection, events: str, schema: TableSchema) -> None:
    """A create at the LSN of another key's delete takes the values of that key's newest event before."""
    carried = ", ".join(
        f"{_name(column.name)}: {{'has': NOT list_contains(coalesce(old.unchanged, []), {literal(column.name)}), "
        f"'v': old.after.{identifier(column.name)}}}"
        for column in schema.columns
        if column.key_position is None
    )
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE carried AS
        SELECT new.rowid AS place, {{{carried}}} AS carried
        FROM {events} new JOIN {events} gone ON gone.lsn = new.lsn AND gone.op = 'd' AND gone."key" <> new."key"
        JOIN {events} old ON old."key" = gone."key" AND old.op <> 'd'
            AND (old.snapshot OR old.lsn < new.lsn)
        WHERE new.op = 'c' AND len(new.unchanged) > 0
        QUALIFY row_number() OVER (PARTITION BY new.rowid ORDER BY old.snapshot, old.lsn DESC) = 1"""
    )
    _write(connection, events, schema)


def _write(connection: DuckDBPyConnection, events: str, schema: TableSchema) -> None:
    values = ", ".join(
        f"{_name(column.name)}: CASE WHEN {_fills(column.name)} THEN carried.{identifier(column.name)}.v "
        f"ELSE after.{identifier(column.name)} END"
        if column.key_position is None
        else f"{_name(column.name)}: after.{identifier(column.name)}"
        for column in schema.columns
    )
    left = [
        f"CASE WHEN {_lacks(column.name)} AND NOT {_fills(column.name)} THEN {literal(column.name)} END"
        for column in schema.columns
        if column.key_position is None
    ]
    connection.execute(
        f"""UPDATE {events} SET after = {{{values}}},
            unchanged = list_filter([{", ".join(left)}]::VARCHAR[], lambda name: name IS NOT NULL)
        FROM carried WHERE {events}.rowid = carried.place"""
    )
    connection.execute("DROP TABLE temp.carried")


def _lacks(name: str) -> str:
    return f"list_contains(coalesce(unchanged, []::VARCHAR[]), {literal(name)})"


def _fills(name: str) -> str:
    return f"({_lacks(name)} AND coalesce(carried.{identifier(name)}.has, false))"


def _name(name: str) -> str:
    return literal(name)
