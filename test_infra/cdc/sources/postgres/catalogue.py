"""The captured tables as PostgreSQL's catalogue describes them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from test_infra.base.errors import UsageError
from test_infra.cdc.lake import mirror_schema
from test_infra.cdc.table import Column, TableSchema
from test_infra.cdc.types import UnsupportedColumn, check_supported

if TYPE_CHECKING:
    import psycopg

    from test_infra.cdc.pipeline import PipelineSpec

_KINDS = {"p": "a partitioned table", "v": "a view", "m": "a materialized view", "f": "a foreign table"}

# Generated columns are left out: they are not part of the replicated rows.
_QUERY = """
SELECT c.relname, c.oid::bigint, c.relfilenode::bigint, c.relkind, c.relpersistence, c.relreplident,
       a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
       array_position(i.indkey::int2[], a.attnum) + 1
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE n.nspname = %s AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY c.relname, a.attnum
"""


class NoSuchTable(UsageError):
    """A table of the pipeline does not exist in the source."""


class NoPrimaryKey(UsageError):
    """A table has no primary key, so its rows cannot be told apart in the mirror."""


@dataclass(frozen=True)
class SourceTable:
    """A captured table and which physical table it is.

    Args:
        schema: its columns.
        oid: changes when the table is dropped and made again.
        relfilenode: changes when it is truncated or rewritten.
        replica_identity_full: whether events carry the whole row before the change.
    """

    schema: TableSchema
    oid: int
    relfilenode: int
    replica_identity_full: bool


def schemas(connection: psycopg.Connection, spec: PipelineSpec) -> list[TableSchema]:
    """The captured tables in the order of the pipeline, each fit to be captured.

    Raises:
        NoSuchTable: one does not exist.
        NoPrimaryKey: one has none.
        UsageError: one is no ordinary table, is unlogged, or has a column that cannot be captured.
    """
    return [table.schema for table in tables(connection, spec.source.schema_name, spec.tables)]


def tables(connection: psycopg.Connection, schema_name: str, names: list[str]) -> list[SourceTable]:
    """Like `schemas`, with what tells a truncated or rewritten table from the one before."""
    found = _described(connection, schema_name, names)
    if missing := [name for name in names if name not in found]:
        raise NoSuchTable(
            f"table {schema_name}.{missing[0]} does not exist",
            details={"missing": ", ".join(f"{schema_name}.{name}" for name in missing)},
            hint="create it, or name the SQL file that does so under `source: ddl:`",
        )
    return [_checked(found[name]) for name in names]


def missing_tables(connection: psycopg.Connection, schema_name: str, names: list[str]) -> list[str]:
    """Which of the tables do not exist."""
    found = _described(connection, schema_name, names)
    return [name for name in names if name not in found]


@dataclass(frozen=True)
class _Described:
    table: SourceTable
    kind: str
    persistence: str


def _described(connection: psycopg.Connection, schema_name: str, names: list[str]) -> dict[str, _Described]:
    rows: list[tuple[Any, ...]] = connection.execute(_QUERY, [schema_name, list(names)]).fetchall()
    found = {}
    for name, group in groupby(rows, key=lambda row: row[0]):
        of_table = list(group)
        columns = tuple(Column(row[6], row[7], row[8], row[9]) for row in of_table if row[6] is not None)
        _, oid, relfilenode, kind, persistence, identity, *_ = of_table[0]
        table = SourceTable(TableSchema(schema_name, name, columns), oid, relfilenode, identity == "f")
        found[name] = _Described(table, kind, persistence)
    return found


def _checked(described: _Described) -> SourceTable:
    schema = described.table.schema
    if described.kind != "r":
        raise UsageError(
            f"{schema.qualified} is {_KINDS[described.kind]}, and only ordinary tables can be captured",
            hint="leave it out of the pipeline",
        )
    if described.persistence != "p":
        raise UsageError(
            f"table {schema.qualified} is unlogged, so its changes are not in the WAL",
            hint=f"ALTER TABLE {schema.qualified} SET LOGGED, or leave it out of the pipeline",
        )
    if not schema.key:
        raise NoPrimaryKey(
            f"table {schema.qualified} has no primary key",
            hint="add one, or leave the table out of the pipeline",
        )
    try:
        check_supported(schema)
    except UnsupportedColumn as error:
        raise UsageError(f"table {schema.qualified}: {error.what}", details=error.details, hint=error.hint) from error
    own = set(mirror_schema(schema).names[len(schema.columns) :])
    if taken := sorted(own & {column.name for column in schema.columns}):
        raise UsageError(
            f"table {schema.qualified} has a column {taken[0]}, which the mirror needs for itself",
            hint="leave the table out of the pipeline",
        )
    return described.table
