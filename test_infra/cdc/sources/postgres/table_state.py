"""The state of captured tables, read from PostgreSQL's catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from test_infra.cdc.sources.postgres.key_index import KEY_INDEX
from test_infra.cdc.sources.table_state import ColumnState, TableState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

    from test_infra.cdc.types.table_id import TableId

_QUERY = f"""
SELECT c.oid::bigint, n.nspname, c.relname,
    (SELECT string_agg(relfilenode::text, ' ' ORDER BY p.oid) FROM pg_class p
        WHERE p.oid = c.oid OR p.oid IN (SELECT relid FROM pg_partition_tree(c.oid))),
    (SELECT coalesce(array_agg(relid::regclass::text ORDER BY relid), '{{}}') FROM pg_partition_tree(c.oid)
        WHERE relid <> c.oid),
    (SELECT coalesce(array_agg(a.attname::text ORDER BY k.place), '{{}}')
        FROM ({KEY_INDEX.format(table="c.oid")}) AS key
        CROSS JOIN LATERAL unnest(key.attnums) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum),
    (SELECT coalesce(json_agg(json_build_object('number', a.attnum, 'name', a.attname,
            'type', format_type(a.atttypid, a.atttypmod), 'filled', a.atthasmissing,
            'generated', a.attgenerated <> '', 'labels',
            (SELECT coalesce(json_agg(enumlabel ORDER BY enumsortorder), '[]') FROM pg_enum JOIN pg_type t
                ON t.oid = a.atttypid WHERE enumtypid IN (t.oid, t.typelem, t.typbasetype))) ORDER BY a.attnum), '[]')
        FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY(%s::oid[]) OR (n.nspname, c.relname) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"""


def table_states(
    connection: psycopg.Connection, wanted: Sequence[TableId], known: Mapping[str, str]
) -> dict[str, TableState]:
    """Label -> state of a table. One that was renamed or moved is found by its identity.

    Args:
        connection: of the owner.
        wanted: the tables.
        known: label -> identity that a table had before; may be empty.
    """
    rows = connection.execute(
        _QUERY, [list(known.values()), [table.schema for table in wanted], [table.name for table in wanted]]
    ).fetchall()
    states = [
        TableState(
            name=f"{schema}.{name}",
            identity=str(oid),
            storage=storage or "",
            columns=tuple(ColumnState.model_validate(column) for column in columns),
            key=tuple(key),
            partitions=tuple(partitions),
        )
        for oid, schema, name, storage, partitions, key, columns in rows
    ]
    by_identity, by_name = ({getattr(state, of): state for state in states} for of in ("identity", "name"))
    found = {
        table.label: by_identity.get(known.get(table.label, "")) or by_name.get(f"{table.schema}.{table.name}")
        for table in wanted
    }
    return {label: state for label, state in found.items() if state is not None}
