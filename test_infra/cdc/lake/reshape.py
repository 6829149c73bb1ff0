"""Change log and mirror from one generation of their table to the next, each in one commit.

The rows are read, cast and written anew batch by batch, whatever the DDL was. So every file has the columns of now,
every reader sees the whole of a generation or nothing of it, and a default that the source filled in without an event
is in every row from before, in the change log as well: an event from before the column is of a row that has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from test_infra.cdc.lake.schemas import changes_schema, mirror_schema
from test_infra.cdc.types import identifier, literal
from test_infra.cdc.types.generation import moves_rows, row_sql, values_sql

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from test_infra.cdc.lake.table import LakeTable
    from test_infra.cdc.types.generation import Generation

OLD = "rows of an older generation"
BATCH_ROWS = 8_192
"""In memory at once; by default DuckDB hands over a million."""


def reshape_changes(connection: DuckDBPyConnection, table: LakeTable, old: Generation, new: Generation) -> None:
    """Give a change log the columns of a newer generation; nothing is written when they are the same."""
    _reshape(connection, table, old, new, changes_sql(old, new), changes_schema(new.table))


def reshape_mirror(connection: DuckDBPyConnection, table: LakeTable, old: Generation, new: Generation) -> None:
    """Give a mirror the columns of a newer generation; nothing is written when they are the same."""
    _reshape(connection, table, old, new, mirror_sql(old, new), mirror_schema(new.table))


def reshaped_changes(connection: DuckDBPyConnection, rows: pa.Table, old: Generation, new: Generation) -> pa.Table:
    """Rows of a change log as rows of a newer generation."""
    wanted = changes_schema(new.table)
    connection.register(OLD, rows)
    try:
        return connection.sql(changes_sql(old, new)).to_arrow_table().cast(wanted)
    finally:
        connection.unregister(OLD)


def changes_sql(old: Generation, new: Generation) -> str:
    """Query of the rows of a change log, relation `OLD`, in a newer generation."""
    # What identifies a row of a table without a key is none of its columns.
    key = {"key": row_sql(old, new, identifier("key"), new.table.key_names)} if new.table.key else {}
    made = {
        **key,
        "before": row_sql(old, new, identifier("before")),
        "after": row_sql(old, new, identifier("after")),
        "unchanged": _names_sql(old, new),
    }
    columns = [f"{made.get(name, identifier(name))} AS {identifier(name)}" for name in changes_schema(new.table).names]
    return f"SELECT {', '.join(columns)} FROM {identifier(OLD)}"


def mirror_sql(old: Generation, new: Generation) -> str:
    """Query of the rows of a mirror, relation `OLD`, in a newer generation."""
    values = values_sql(old, new, {column.name: identifier(column.name) for column in old.table.columns})
    own = {name: identifier(name) for name in mirror_schema(new.table).names[len(new.table.columns) :]}
    columns = [f"{value} AS {identifier(name)}" for name, value in {**values, **own}.items()]
    return f"SELECT {', '.join(columns)} FROM {identifier(OLD)}"


def _names_sql(old: Generation, new: Generation) -> str:
    """The columns whose values were not sent, by their names of now."""
    pairs = [(new.formerly(column, old), column) for column in new.table.columns]
    named = {before.name: column.name for before, column in pairs if before is not None}
    if all(before == now for before, now in named.items()) and len(named) == len(old.table.columns):
        return "unchanged"
    names = ", ".join(
        f"CASE WHEN list_contains(unchanged, {literal(before)}) THEN {literal(now)} END"
        for before, now in named.items()
    )
    listed = f"list_filter([{names}]::VARCHAR[], lambda name: name IS NOT NULL)"
    return f"CASE WHEN len({listed}) > 0 THEN {listed} END"


def _reshape(
    connection: DuckDBPyConnection, table: LakeTable, old: Generation, new: Generation, query: str, wanted: pa.Schema
) -> None:
    import pyarrow as pa

    if not moves_rows(old, new):
        return
    table.refresh()

    def rows() -> pa.RecordBatchReader:
        connection.register(OLD, table.dataset())
        return pa.RecordBatchReader.from_batches(wanted, batches(connection.sql(query).to_arrow_reader(BATCH_ROWS)))

    def batches(found: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        for batch in found:
            yield from pa.Table.from_batches([batch]).cast(wanted).to_batches()

    try:
        table.reshape(rows, new.number)
    finally:
        connection.unregister(OLD)
