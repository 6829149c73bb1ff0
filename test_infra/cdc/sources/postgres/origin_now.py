"""Which cluster, database and tables these are, by what changes when one of them is made anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from test_infra.cdc.sources.origin import SourceOrigin
from test_infra.cdc.sources.postgres import publication
from test_infra.cdc.sources.postgres.catalogue import name_lists

if TYPE_CHECKING:
    import psycopg

    from test_infra.cdc.types.table_id import TableId

_ORIGIN = """
SELECT (SELECT system_identifier::text FROM pg_control_system()),
    (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
    (SELECT coalesce(json_agg(json_build_array(n.nspname, c.relname, c.oid::text)), '[]')
        FROM unnest(%s::text[], %s::text[]) AS wanted (schema, name)
        JOIN pg_namespace n ON n.nspname = wanted.schema
        JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name AND c.relkind IN ('r', 'p'))"""


def origin_now(
    connection: psycopg.Connection, captured: Sequence[TableId], capture_names: Mapping[str, str]
) -> SourceOrigin:
    """Cluster, database, row filters and tables as they are now; tables that do not exist are left out.

    Args:
        connection: of the owner.
        captured: the captured tables.
        capture_names: of slot and publication, by their kind.
    """
    row = connection.execute(_ORIGIN, name_lists(captured)).fetchone()
    assert row is not None
    system_identifier, database_oid, found = row
    oids = {(schema, name): oid for schema, name, oid in found}
    there = [table for table in captured if (table.schema, table.name) in oids]
    return SourceOrigin(
        server_id=system_identifier,
        database_id=str(database_oid),
        capture={**capture_names, **publication.filters(connection, capture_names["publication"])},
        tables={table.qualified: oids[table.schema, table.name] for table in there},
    )
