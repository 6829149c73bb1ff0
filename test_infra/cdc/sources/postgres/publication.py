"""Whether a publication sends every change of the captured tables, whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

OPERATIONS = ("insert", "update", "delete", "truncate")

_PUBLICATION = """
SELECT pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot, puballtables FROM pg_publication WHERE pubname = %s"""

# The physical table counts: one dropped and made again has the old name and has left the publication.
_TABLES = """
SELECT c.relname, c.relkind = 'p', published.tablename IS NOT NULL, published.rowfilter,
    -- A generated column is in neither list unless the publication names it.
    (SELECT array_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
        AND NOT a.attisdropped AND a.attgenerated = '' AND a.attname <> ALL(published.attnames))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_publication_tables published
    ON published.pubname = %s AND published.schemaname = n.nspname AND published.tablename = c.relname
WHERE n.nspname = %s AND c.relname = ANY(%s) ORDER BY c.relname"""


def faults(connection: psycopg.Connection, publication: str, schema_name: str, names: Iterable[str]) -> list[str]:
    """What the publication would keep back, in words; empty when nothing.

    Args:
        connection: of the owner.
        publication: its name.
        schema_name: of the captured tables.
        names: captured tables, without schema.
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
    for table, partitioned, published, row_filter, left_out in connection.execute(
        _TABLES, [publication, schema_name, list(names)]
    ).fetchall():
        qualified = f"{schema_name}.{table}"
        if partitioned and not via_root:
            found.append(f"publication {publication} sends {qualified} under the names of its partitions")
        elif not published:
            found.append(f"publication {publication} does not contain {qualified}")
        if row_filter is not None:
            found.append(f"publication {publication} filters the rows of {qualified}: {row_filter}")
        if left_out:
            found.append(f"publication {publication} leaves out columns of {qualified}: {', '.join(left_out)}")
    return found
