"""The captured tables as they are now: columns with their numbers, and what old rows got without an event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from test_infra.base.errors import InfrastructureError, TestInfraError
from test_infra.base.redaction import redact
from test_infra.cdc.sources.postgres.catalogue import name_lists, tables
from test_infra.cdc.sources.postgres.connection import Role, conninfo
from test_infra.cdc.types import identifier, literal, rule_for
from test_infra.cdc.types.generation import Generation

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg
    import pyarrow as pa

    from test_infra.cdc.types.table import Column
    from test_infra.cdc.types.table_id import CapturedTable
    from test_infra.stack import Endpoint

NOT_ALLOWED = "42501"
"""SQLSTATE of what a role has no right to."""
ATTEMPTS = 5
"""Looks until no DDL came between the queries of one."""

_MISSING = """
SELECT min(held.attmissingval::text) AS filled
FROM (SELECT {table}::oid AS oid UNION SELECT relid FROM pg_partition_tree({table})) AS holder
JOIN pg_attribute held ON held.attrelid = holder.oid AND held.attname = {column} AND held.atthasmissing
HAVING count(DISTINCT held.attmissingval::text) = 1"""
"""What rows from before a column have in it, as an array's text. A partitioned table has no rows of its own: of its
partitions, which got the column with it; no value where one has another one."""

_NUMBERS = f"""
SELECT a.attname, a.attnum, missing.filled IS NOT NULL
FROM unnest(%s::text[], %s::text[]) AS wanted (schema, name)
JOIN pg_namespace n ON n.nspname = wanted.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN LATERAL ({_MISSING.format(table="c.oid", column="a.attname")}) AS missing ON true
ORDER BY a.attnum"""

_FINGERPRINT = """
SELECT md5(coalesce(string_agg(concat_ws(' ', c.oid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attndims,
        a.attnotnull, a.attisdropped,
        (SELECT i.indkey::text FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary),
        (SELECT count(*) FROM pg_enum WHERE enumtypid = a.atttypid)), ',' ORDER BY c.oid, a.attnum), ''))
FROM unnest(%s::text[], %s::text[]) AS wanted (schema, name)
JOIN pg_namespace n ON n.nspname = wanted.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"""


def fingerprint(connection: psycopg.Connection, wanted: Sequence[CapturedTable]) -> str:
    """A text that is another one after DDL on a captured table; cheap."""
    row = connection.execute(_FINGERPRINT, name_lists([table.id for table in wanted])).fetchone()
    assert row is not None
    return str(row[0])


def generations(
    connection: psycopg.Connection, endpoint: Endpoint, role: Role, wanted: Sequence[CapturedTable]
) -> dict[str, Generation]:
    """Label -> the table as it is now; not those that are gone or cannot be captured any more.

    Args:
        connection: of the role.
        endpoint: of the server.
        role: whose session reads the filled values.
        wanted: captured tables.

    Raises:
        InfrastructureError: DDL came between again and again, or the server refused.
    """
    for _ in range(ATTEMPTS):
        before = fingerprint(connection, wanted)
        found = {}
        for table in wanted:
            try:
                found[table.id.label] = _generation(connection, endpoint, role, table)
            except TestInfraError:
                continue
        if fingerprint(connection, wanted) == before:
            return found
    raise InfrastructureError("the columns of the captured tables changed while they were looked up")


def _generation(connection: psycopg.Connection, endpoint: Endpoint, role: Role, wanted: CapturedTable) -> Generation:
    (table,) = tables(connection, [wanted])
    rows = connection.execute(_NUMBERS, name_lists([wanted.id])).fetchall()
    numbers = {str(name): int(number) for name, number, _ in rows}
    missing = {str(name) for name, _, has_missing in rows if has_missing}
    columns = [column for column in table.schema.columns if column.name in missing]
    return Generation(
        table=table.schema,
        identity=str(table.oid),
        numbers={column.name: numbers[column.name] for column in table.schema.columns},
        filled=_filled(endpoint, role, table.oid, columns) if columns else {},
    )


def _filled(endpoint: Endpoint, role: Role, oid: int, columns: Sequence[Column]) -> dict[str, str]:
    """What rows from before a column have in it, read as parity reads them. A value without exact text is left out."""
    from adbc_driver_manager import Error
    from adbc_driver_postgresql import dbapi

    parts = [
        f"""(SELECT (filled::text[])[1] FROM ({_MISSING.format(table=oid, column=literal(column.name))}) AS missing
        )::{column.type} AS {identifier(column.name)}"""
        for column in columns
    ]
    selected = [
        f"{rule_for(column).source_select(identifier(column.name))} AS {identifier(column.name)}" for column in columns
    ]
    query = f"SELECT {', '.join(selected)} FROM (SELECT {', '.join(parts)}) AS missing"
    try:
        with dbapi.connect(conninfo(endpoint, role), autocommit=True) as session, session.cursor() as cursor:
            cursor.execute(query)
            rows = cursor.fetch_arrow_table()
    except Error as error:
        if error.sqlstate == NOT_ALLOWED:
            # Of a type in a schema that is not the capture role's: parity shows the rows, and the DDL.
            return {}
        raise InfrastructureError("filled values were not read", details={"seen": redact(str(error))}) from None
    return literals(rows, columns)


def literals(rows: pa.Table, columns: Sequence[Column]) -> dict[str, str]:
    """Values of one row of the source as DuckDB SQL, by column; those left out that are NULL or have no exact text.

    Args:
        rows: one row, as ``source_select`` of the columns gives it.
        columns: its columns.
    """
    import duckdb

    found = {}
    with duckdb.connect(":memory:") as typed:
        typed.execute("SET TimeZone = 'UTC'")
        typed.register("rows", rows)
        for column in columns:
            rule = rule_for(column)
            value = f"({rule.from_source(identifier(column.name))})::{rule.duckdb}"
            try:
                ((text,),) = typed.execute(f"SELECT {value}::VARCHAR FROM rows").fetchall()
                again = f"CAST({literal(text or '')} AS {rule.duckdb})"
                ((differs,),) = typed.execute(f"SELECT {rule.differs(again, value)} FROM rows").fetchall()
            except duckdb.Error:
                # A value that Delta cannot hold: parity says so of the table.
                continue
            if text is not None and not differs:
                found[column.name] = literal(text)
    return found
