"""Values that an event left out because they had not changed, taken from the events before. Pure SQL, DuckDB.

PostgreSQL does not send a large value (TOAST) that an update did not touch, and with a replica identity other than FULL
it does not send the row before. Debezium writes a placeholder; the parser writes NULL and the column's name in
``unchanged``. The value is the one of the key's event before. When the key itself changed, Debezium makes a delete of
the old key and a create of the new one at the same LSN, so the value is the one of the old key's event before. When the
delete is in the mirror already, the value is in the change log only, and is looked for there.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.cdc.lake.temporary_tables import TemporaryTables
from test_infra.cdc.types.sql_template import statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa
    from duckdb import DuckDBPyConnection
    from pyarrow.dataset import Dataset

    from test_infra.cdc.types.table import TableSchema

MOST_KEY_CHANGES = 1_000
"""Key changes of one row, one after the other, that are followed."""

_sql = partial(statement, Path(__file__).with_name("unchanged_values.sql.j2"))


def with_unchanged_values(
    connection: DuckDBPyConnection,
    changes: pa.Table,
    schema: TableSchema,
    mirror: Callable[[], Dataset],
    log: Callable[[], Dataset],
) -> pa.Table:
    """Rows of the change log with the values that they left out: from each other, the mirror's rows, or the whole log.

    A value that is nowhere stays NULL, and its column's name stays in ``unchanged``.

    Args:
        connection: DuckDB; temporary tables are made in it and dropped again.
        changes: rows of the change log, the next ones after those in the mirror.
        schema: the captured table.
        mirror: opens the rows of the mirror; called only when a value was left out.
        log: opens the rows of the change log, these changes included; called only when a key change left out a value
            and the delete of the old key is in the mirror already.
    """
    if changes["unchanged"].null_count == changes.num_rows:
        return changes
    filled = _with_values_of_mirror(connection, changes, schema, mirror())
    if not any(left and op == "c" for op, left in _left_out_by(filled)):
        return filled
    return _with_values_of_log(connection, filled, schema, log())


def _left_out_by(changes: pa.Table) -> Iterator[tuple[str, list[str] | None]]:
    """Operation and columns left out, of the rows that left out a value."""
    import pyarrow.compute as pc

    rows = changes.select(["op", "unchanged"]).filter(pc.is_valid(changes["unchanged"]))
    return zip(rows["op"].to_pylist(), rows["unchanged"].to_pylist(), strict=True)


def _with_values_of_mirror(
    connection: DuckDBPyConnection, changes: pa.Table, schema: TableSchema, mirror: Dataset
) -> pa.Table:
    connection.register("incoming", changes)
    connection.register("base", mirror)
    try:
        with TemporaryTables(connection) as tables:
            keys = keys_with_unchanged_values(tables, "incoming")
            names = [column.name for column in schema.columns]
            query = _sql(
                "events_and_mirror_rows",
                changes="incoming",
                mirror="base",
                keys=keys,
                key_names=schema.key_names,
                names=names,
            )
            events = tables.make("events", query)
            fill_unchanged_values(tables, events, schema)
            filled = connection.sql(_sql("filled_changes", changes="incoming", events=events)).to_arrow_table()
        return filled.select(changes.column_names).cast(changes.schema)
    finally:
        for relation in ("incoming", "base"):
            connection.unregister(relation)


def _with_values_of_log(
    connection: DuckDBPyConnection, changes: pa.Table, schema: TableSchema, log: Dataset
) -> pa.Table:
    """Values of rows whose key changed, from all events of their keys, old and new."""
    connection.register("incoming", changes)
    connection.register("log", log)
    try:
        with TemporaryTables(connection) as tables:
            created = _sql("keys_of_creates_with_unchanged_values", changes="incoming")
            keys = tables.make("keys with values in the log", created)
            add_former_keys(tables, keys, "log")
            events = tables.make("events of the log", _sql("events_of_log", log="log", keys=keys))
            fill_unchanged_values(tables, events, schema)
            filled = connection.sql(_sql("filled_changes", changes="incoming", events=events)).to_arrow_table()
        return filled.select(changes.column_names).cast(changes.schema)
    finally:
        for relation in ("incoming", "log"):
            connection.unregister(relation)


def fill_unchanged_values(tables: TemporaryTables, events: str, schema: TableSchema) -> None:
    """Write what events left out into them; what no event before has keeps its name in ``unchanged``.

    Args:
        tables: makes the temporary tables.
        events: name of a DuckDB table of distinct events, which is changed: ``key`` (struct), ``op, lsn, snapshot,
            after, unchanged``; of every key in it all events that the log has, or at least the last one before those in
            question.
        schema: the captured table.
    """
    columns = [{"name": column.name, "is_key": column.key_position is not None} for column in schema.columns]
    values = [column.name for column in schema.columns if column.key_position is None]
    for _ in range(MOST_KEY_CHANGES):
        before = _left_out(tables, events)
        if not before:
            return
        for source in ("values_of_own_key", "values_of_old_key"):
            found = tables.make(source, _sql(source, events=events, values=values))
            if tables.rows(found):
                tables.connection.execute(_sql("write_values", events=events, found=found, columns=columns))
        if _left_out(tables, events) == before:
            return


def keys_with_unchanged_values(tables: TemporaryTables, changes: str) -> str:
    """Keys of which an event ever left out a value, and the keys that their rows had before.

    Args:
        tables: makes the temporary tables.
        changes: relation of the change log.

    Returns:
        Name of a table with one column, ``key``.
    """
    keys = tables.make("keys with unchanged values", _sql("keys_with_unchanged_values", changes=changes))
    add_former_keys(tables, keys, changes)
    return keys


def add_former_keys(tables: TemporaryTables, keys: str, changes: str) -> None:
    """Add the old keys that rows of these keys had, where the key change left out values.

    Args:
        tables: has the connection.
        keys: name of a DuckDB table with one column, ``key``, which is changed.
        changes: relation of the change log.
    """
    for _ in range(MOST_KEY_CHANGES):
        if not tables.number(_sql("add_former_keys", keys=keys, changes=changes)):
            return


def _left_out(tables: TemporaryTables, events: str) -> int:
    """How many values the events lack."""
    return tables.number(f"SELECT coalesce(sum(len(unchanged)), 0) FROM {events}")
