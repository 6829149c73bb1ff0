"""Tables of which only some rows are captured: the publication, the snapshot and parity read by the same condition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from test_infra.base.errors import UsageError
from test_infra.cdc.types import identifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from test_infra.cdc.types.table import TableSchema

OVERRIDES = "snapshot.select.statement.overrides"
FIRST_VERSION = 150_000

# A publication remembers the columns that a row filter uses as dependencies.
_FILTER_COLUMNS = """
SELECT n.nspname, c.relname, a.attname FROM pg_publication p
JOIN pg_publication_rel pr ON pr.prpubid = p.oid
JOIN pg_depend d ON d.classid = 'pg_publication_rel'::regclass AND d.objid = pr.oid
    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = pr.prrelid AND d.refobjsubid > 0
JOIN pg_class c ON c.oid = pr.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
-- Of a partitioned table each partition has an identity of its own, and PostgreSQL asks that one.
WHERE p.pubname = %s AND pr.prqual IS NOT NULL AND EXISTS (
    SELECT FROM pg_class part
    LEFT JOIN pg_index i ON i.indrelid = part.oid
        AND CASE part.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END
    LEFT JOIN pg_attribute own ON own.attrelid = part.oid AND own.attname = a.attname
    WHERE part.relkind = 'r' AND part.relreplident <> 'f'
        AND (part.oid = c.oid OR part.oid IN (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf))
        AND (i.indkey IS NULL OR own.attnum <> ALL ((i.indkey::int2[])[:i.indnkeyatts - 1]))
)
ORDER BY 1, 2, a.attnum"""


def published_table(schema: TableSchema) -> str:
    """The table as it stands in ``FOR TABLE`` of a publication."""
    name = f"{identifier(schema.schema)}.{identifier(schema.name)}"
    return f"{name} WHERE ({schema.where}\n)" if schema.where else name


def snapshot_properties(schemas: Sequence[TableSchema]) -> dict[str, str]:
    """Connector properties by which the initial snapshot reads no other rows than the stream."""
    selects = {_property_name(schema): _select(schema) for schema in schemas if schema.where}
    if not selects:
        return {}
    return {OVERRIDES: ",".join(selects), **{f"{OVERRIDES}.{name}": select for name, select in selects.items()}}


def check_server(connection: psycopg.Connection, schemas: Sequence[TableSchema]) -> None:
    """The server has row filters, and Debezium can be told of every table that has one.

    Raises:
        UsageError: it has none, or a table's name cannot be written into the connector's configuration.
    """
    filtered = [schema for schema in schemas if schema.where]
    if filtered and connection.info.server_version < FIRST_VERSION:
        raise UsageError(
            f"table {filtered[0].qualified} has a row filter, and PostgreSQL "
            f"{connection.info.server_version // 10_000} has none in its publications",
            hint="use PostgreSQL 15 or newer, or take `rows:` from the table",
        )
    for schema in filtered:
        if "," in schema.schema + schema.name:
            raise UsageError(
                f"table {schema.qualified} has a row filter and a comma (,) in its name: Debezium splits its list of "
                "tables with a SELECT of their own there",
                hint="rename the table, or take `rows:` from it",
            )


def check_identities(connection: psycopg.Connection, publication: str, schemas: Sequence[TableSchema]) -> None:
    """Every column of a row filter is in the replica identity; else PostgreSQL refuses updates and deletes.

    Args:
        connection: of the owner, in the transaction that changed the publication.
        publication: its name.
        schemas: the captured tables.

    Raises:
        UsageError: names table and columns.
    """
    if not any(schema.where for schema in schemas):
        return
    rows = connection.execute(_FILTER_COLUMNS, [publication]).fetchall()
    for schema in schemas:
        outside = [column for *table, column in rows if (schema.schema, schema.name) == tuple(table)]
        if outside:
            raise UsageError(
                f"the row filter of {schema.qualified} uses {', '.join(outside)}, which is not in its replica "
                "identity: PostgreSQL would refuse every update and delete of the table",
                hint=f"ALTER TABLE {schema.qualified} REPLICA IDENTITY FULL, or filter by the key",
            )


def _property_name(schema: TableSchema) -> str:
    return f"{identifier(schema.schema)}.{identifier(schema.name)}"


def _select(schema: TableSchema) -> str:
    columns = ", ".join(identifier(column.name) for column in schema.columns)
    return f"SELECT {columns} FROM {identifier(schema.schema)}.{identifier(schema.name)} WHERE ({schema.where}\n)"
