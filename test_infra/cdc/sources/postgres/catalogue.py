"""The captured tables as PostgreSQL's catalogue describes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from test_infra.base.errors import UsageError
from test_infra.cdc.sources.debezium import unreadable
from test_infra.cdc.sources.postgres.column_names import name_problems
from test_infra.cdc.sources.postgres.key_index import KEY_INDEX
from test_infra.cdc.types import UnsupportedColumn, check_supported
from test_infra.cdc.types.table import MIRROR_COLUMNS, ROW_ID, Column, TableSchema
from test_infra.cdc.types.table_id import CapturedTable, TableId, table_id

if TYPE_CHECKING:
    import psycopg


_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}

# A slice of an array counts from 1.
# Generated columns are left out, and named in `TableSchema.generated`: they are not part of the replicated rows.
_QUERY = f"""
SELECT n.nspname, c.relname, c.oid::bigint, c.relfilenode::bigint, c.relkind, c.relpersistence, c.relreplident,
       a.attname, format_type(a.atttypid, a.atttypmod) || repeat('[]', greatest(a.attndims, 1) - 1), NOT a.attnotnull,
       array_position(key_index.attnums, a.attnum), base.name, a.attgenerated <> '',
       coalesce(key_index.indisprimary, true)
FROM unnest(%s::text[], %s::text[]) AS wanted (schema, name)
JOIN pg_namespace n ON n.nspname = wanted.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN LATERAL ({KEY_INDEX.format(table="c.oid")}) AS key_index ON true
LEFT JOIN LATERAL (
    WITH RECURSIVE below (oid, typmod, dimensions) AS (
        VALUES (a.atttypid, a.atttypmod, a.attndims::int)
        UNION ALL
        SELECT t.typbasetype, t.typtypmod, t.typndims
        FROM below JOIN pg_type t ON t.oid = below.oid WHERE t.typtype = 'd'
    )
    SELECT CASE
               WHEN t.oid < 16384 AND coalesce(e.oid, 0) < 16384
                   THEN format_type(t.oid, below.typmod) || repeat('[]', greatest(below.dimensions, 1) - 1)
               WHEN t.typtype = 'e' THEN (
                   SELECT 'enum(' || string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) || ')'
                   FROM pg_enum WHERE enumtypid = t.oid
               )
               ELSE coalesce(kind.name, format_type(t.oid, NULL)) || CASE WHEN e.oid IS NULL THEN '' ELSE '[]' END
           END AS name
    FROM below
    JOIN pg_type t ON t.oid = below.oid AND t.typtype <> 'd'
    LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
    LEFT JOIN (VALUES ('e', 'enum'), ('c', 'composite'), ('d', 'domain'), ('r', 'range'), ('m', 'multirange'))
        AS kind (typtype, name) ON kind.typtype = coalesce(e.typtype, t.typtype)::text
) base ON true
ORDER BY n.nspname, c.relname, a.attnum
"""

_LIST = r"""
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'test_infra')
ORDER BY n.nspname, c.relname"""


class NoSuchTable(UsageError):
    """A table of the pipeline does not exist in the source."""


class NoPrimaryKey(UsageError):
    """A table has no key by which the changes that it takes could be told apart."""


@dataclass(frozen=True)
class SourceTable:
    """A captured table and which physical table it is.

    Args:
        schema: its columns.
        oid: changes when the table is dropped and made again.
        relfilenode: changes when it is truncated or rewritten.
        before_images: whether events carry the whole row before the change (REPLICA IDENTITY FULL); of a partitioned
            table that is not known, because each partition has an identity of its own.
    """

    schema: TableSchema
    oid: int
    relfilenode: int
    before_images: bool


def tables(connection: psycopg.Connection, wanted: Sequence[CapturedTable]) -> list[SourceTable]:
    """Captured tables in the order in which they are wanted, each fit to be captured.

    Raises:
        NoSuchTable: one does not exist.
        NoPrimaryKey: one has a key that is not replicated.
        UsageError: one is no ordinary table, is unlogged, or has a column that cannot be captured.
    """
    found = _described(connection, [table.id for table in wanted])
    if missing := [table.id for table in wanted if table.id not in found]:
        raise no_such_table(missing)
    for table in wanted:
        for problem in _problems(found[table.id], table):
            raise problem
    return [_narrowed(found[table.id].table, table) for table in wanted]


def table_problems(connection: psycopg.Connection, wanted: Sequence[CapturedTable]) -> dict[TableId, list[UsageError]]:
    """Everything that keeps these tables from being captured; tables that do not exist are left out."""
    found = _described(connection, [table.id for table in wanted])
    return {table.id: list(_problems(found[table.id], table)) for table in wanted if table.id in found}


def no_such_table(missing: Sequence[TableId]) -> NoSuchTable:
    """The error for tables that do not exist."""
    return NoSuchTable(
        f"table {missing[0].qualified} does not exist",
        details={"missing": ", ".join(table.qualified for table in missing)},
        hint="create it, or name the SQL file that does so under `source: ddl:`",
    )


def missing_tables(connection: psycopg.Connection, wanted: Sequence[TableId]) -> list[TableId]:
    """Which of the tables do not exist."""
    found = _described(connection, wanted)
    return [table for table in wanted if table not in found]


def list_tables(connection: psycopg.Connection, default_schema: str) -> list[TableId]:
    """Every table whose rows could be captured under its own name; not those of the system, nor ours."""
    rows = connection.execute(_LIST).fetchall()
    return [table_id(schema, name, default_schema) for schema, name in rows]


def name_lists(wanted: Iterable[TableId]) -> list[list[str]]:
    """Schemas and names of tables: parameters of ``unnest(%s::text[], %s::text[])``."""
    pairs = [(table.schema, table.name) for table in wanted]
    return [[schema for schema, _ in pairs], [name for _, name in pairs]]


@dataclass(frozen=True)
class _Described:
    table: SourceTable
    kind: str
    persistence: str
    generated_key: list[str]


def _described(connection: psycopg.Connection, wanted: Sequence[TableId]) -> dict[TableId, _Described]:
    ids = {(table.schema, table.name): table for table in wanted}
    rows: list[tuple[Any, ...]] = connection.execute(_QUERY, name_lists(wanted)).fetchall()
    found = {}
    for names, group in groupby(rows, key=lambda row: row[:2]):
        wanted_id, of_table = ids[names], [row[2:] for row in group]
        described = [
            (Column(row[5], row[6], row[7], row[8], row[9] if row[9] != row[6] else None), row[10])
            for row in of_table
            if row[5] is not None
        ]
        columns = tuple(column for column, generated in described if not generated)
        not_captured = tuple(column.name for column, generated in described if generated)
        oid, relfilenode, kind, persistence, identity, *_ = of_table[0]
        schema = TableSchema(
            wanted_id.schema, wanted_id.name, columns, not_captured, wanted_id.label, key_is_primary=of_table[0][11]
        )
        table = SourceTable(schema, oid, relfilenode, (kind, identity) == ("r", "f"))
        generated_key = [column.name for column, generated in described if generated and column.key_position]
        found[wanted_id] = _Described(table, kind, persistence, generated_key)
    return found


def _narrowed(table: SourceTable, captured: CapturedTable) -> SourceTable:
    """The table without what the pipeline leaves out."""
    excluded = tuple(column for column in table.schema.columns if column.name in captured.excluded)
    kept = tuple(column for column in table.schema.columns if column not in excluded)
    return replace(table, schema=replace(table.schema, columns=kept, excluded=excluded, where=captured.where))


def _problems(described: _Described, captured: CapturedTable) -> Iterator[UsageError]:
    """Everything that keeps the table from being captured."""
    schema, name = described.table.schema, described.table.schema.qualified
    if described.kind not in ("r", "p"):
        yield UsageError(
            f"{name} is {_KINDS[described.kind]}, and only tables can be captured",
            hint="leave it out of the pipeline",
        )
        return
    if fault := unreadable(schema.schema) or unreadable(schema.name):
        yield UsageError(
            f"table {name} has {fault} of its name or its schema's, which Debezium reads as another name: its changes "
            "would be lost",
            hint="rename it, or leave it out of the pipeline",
        )
    if described.persistence != "p":
        yield UsageError(
            f"table {name} is unlogged, so its changes are not in the WAL",
            hint=f"ALTER TABLE {name} SET LOGGED, or leave it out of the pipeline",
        )
    yield from _key_problems(described, captured)
    if schema.generated and described.table.before_images:
        # Measured on PostgreSQL 18: "Replica identity must not contain unpublished generated columns".
        yield UsageError(
            f"table {name} has the generated column {schema.generated[0]} and REPLICA IDENTITY FULL: "
            "once it is published, PostgreSQL 18 refuses every update and delete of it",
            hint=f"ALTER TABLE {name} REPLICA IDENTITY DEFAULT, or leave it out of the pipeline",
        )
    every_column = [*(column.name for column in schema.columns), *schema.generated]
    yield from name_problems(name, every_column, captured.excluded, MIRROR_COLUMNS)
    for column in _narrowed(described.table, captured).schema.columns:
        try:
            check_supported(replace(schema, columns=(column,)))
        except UnsupportedColumn as error:
            problem = UsageError(f"table {name}: {error.what}", details=error.details, hint=error.hint)
            problem.__cause__ = error
            yield problem


def _key_problems(described: _Described, captured: CapturedTable) -> Iterator[UsageError]:
    schema, name = described.table.schema, described.table.schema.qualified
    if described.generated_key:
        yield NoPrimaryKey(
            f"the primary key of table {name} has the generated column {described.generated_key[0]}, "
            "which is not replicated",
            hint="give it a key of ordinary columns, or leave the table out of the pipeline",
        )
    elif not _narrowed(described.table, captured).schema.columns:
        yield UsageError(
            f"table {name} has no column that is captured",
            hint="leave the table out of the pipeline",
        )
    elif not schema.key:
        like_ours = [column.name for column in schema.columns if column.name.casefold() in ROW_ID]
        yield from name_problems(name, like_ours, captured.excluded, ROW_ID)
    for column in schema.key:
        if column.name in captured.excluded:
            yield UsageError(
                f"column {column.name} of table {name} is in its key and cannot be left out",
                hint="take it from `columns: exclude:`, or leave the table out of the pipeline",
            )
