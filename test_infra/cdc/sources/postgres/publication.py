"""Whether a publication sends every change of the captured tables, whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from test_infra.cdc.sources.postgres.catalogue import name_lists

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from test_infra.cdc.types.table_id import CapturedTable

OPERATIONS = ("insert", "update", "delete", "truncate")

_PUBLICATION = """
SELECT pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot, puballtables FROM pg_publication WHERE pubname = %s"""

# The physical table counts: one dropped and made again has the old name and has left the publication.
_TABLES = """
SELECT n.nspname, c.relname, c.relkind = 'p', published.tablename IS NOT NULL, published.rowfilter,
    -- A generated column is in neither list unless the publication names it.
    (SELECT array_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
        AND NOT a.attisdropped AND a.attgenerated = '' AND a.attname <> ALL(published.attnames))
FROM unnest(%s::text[], %s::text[]) AS wanted (schema, name)
JOIN pg_namespace n ON n.nspname = wanted.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
LEFT JOIN pg_publication_tables published
    ON published.pubname = %s AND published.schemaname = n.nspname AND published.tablename = c.relname
ORDER BY n.nspname, c.relname"""


_FILTERS = """
SELECT schemaname, tablename, rowfilter FROM pg_publication_tables
WHERE pubname = %s AND rowfilter IS NOT NULL ORDER BY 1, 2"""


def filters(connection: psycopg.Connection, publication: str) -> dict[str, str]:
    """Row filters of the publication as PostgreSQL writes them: ``row filter of schema.table`` -> condition."""
    rows = connection.execute(_FILTERS, [publication]).fetchall()
    return {f"row filter of {schema}.{name}": condition for schema, name, condition in rows}


def faults(connection: psycopg.Connection, publication: str, wanted: Sequence[CapturedTable]) -> list[str]:
    """What the publication would keep back, in words; empty when nothing.

    Args:
        connection: of the owner.
        publication: its name.
        wanted: the captured tables.
    """
    row = connection.execute(_PUBLICATION, [publication]).fetchone()
    if row is None:
        return [f"there is no publication {publication}"]
    *sends, via_root, _ = row
    found = [
        f"publication {publication} does not publish {operation}"
        for operation, sent in zip(OPERATIONS, sends, strict=True)
        if not sent
    ]
    captured = {(table.id.schema, table.id.name): table for table in wanted}
    for schema, name, partitioned, published, row_filter, left_out in connection.execute(
        _TABLES, [*name_lists(table.id for table in wanted), publication]
    ).fetchall():
        qualified, filtered = captured[schema, name].id.qualified, bool(captured[schema, name].where)
        if partitioned and not via_root:
            found.append(f"publication {publication} sends {qualified} under the names of its partitions")
        elif not published:
            found.append(f"publication {publication} does not contain {qualified}")
        if row_filter is None and filtered and published:
            found.append(f"publication {publication} does not filter the rows of {qualified}, and the pipeline does")
        if row_filter is not None and not filtered:
            found.append(f"publication {publication} filters the rows of {qualified}: {row_filter}")
        if left_out:
            found.append(f"publication {publication} leaves out columns of {qualified}: {', '.join(left_out)}")
    return found
