"""Making the source ready to be captured: tables, publication, rights, and what must hold before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from test_infra.base.errors import UsageError
from test_infra.cdc.sources.postgres import sql_file
from test_infra.cdc.sources.postgres.connection import connect
from test_infra.cdc.sources.postgres.publication import faults
from test_infra.cdc.sources.postgres.row_filters import published_table
from test_infra.cdc.types import identifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg
    from psycopg.sql import Composed

    from test_infra.cdc.sources.source import SqlFile
    from test_infra.cdc.types.table import TableSchema
    from test_infra.cdc.types.table_id import CapturedTable
    from test_infra.stack import Endpoint


def run_ddl(connection: psycopg.Connection, ddl: SqlFile) -> None:
    """Run a SQL file; see `sql_file.run` for what is left of it after an error.

    Args:
        connection: of the file's own; its settings are those of the file afterwards.
        ddl: the file.

    Raises:
        UsageError: the file is refused, and nothing of it was executed; or a statement of it failed.
    """
    statements = sql_file.read(
        ddl.path,
        database=connection.info.dbname,
        encoding=ddl.encoding,
        skip_owners=ddl.skip_owners,
        conforming=connection.info.parameter_status("standard_conforming_strings") != "off",
    )
    sql_file.run(connection, statements)


def publish(connection: psycopg.Connection, publication: str, found: Sequence[TableSchema]) -> None:
    """Publish exactly these tables, also when the publication is there: a table dropped and made again has left it.

    Raises:
        UsageError: the owner role may not publish them.
    """
    import psycopg

    known = connection.execute("SELECT 1 FROM pg_publication WHERE pubname = %s", [publication]).fetchone()
    # The changes of partitions come under the name of the table that the pipeline names.
    name, listed = identifier(publication), ", ".join(map(published_table, found))
    create = f"CREATE PUBLICATION {name} FOR TABLE {listed} WITH (publish_via_partition_root = true)"
    statement = f"ALTER PUBLICATION {name} SET TABLE {listed}" if known else create
    try:
        connection.execute(statement.encode())
    except psycopg.errors.InsufficientPrivilege as error:
        raise UsageError(
            "the owner role may not publish the tables",
            details={"seen": str(error).strip(), "tables": ", ".join(schema.qualified for schema in found)},
            hint="the owner role must own every captured table and have CREATE on the database",
        ) from error
    except psycopg.Error as error:
        filtered = {schema.qualified: schema.where for schema in found if schema.where}
        if not filtered:
            raise
        raise UsageError(
            "PostgreSQL does not take a row filter",
            details={"seen": str(error).strip(), **filtered},
            hint="change `rows: where:`; a row filter may have only built-in functions that are immutable",
        ) from error


def check_publication(connection: psycopg.Connection, publication: str, tables: Sequence[CapturedTable]) -> None:
    """The publication sends every change of the tables, whole.

    Raises:
        UsageError: it would keep something back.
    """
    if found := faults(connection, publication, tables):
        raise UsageError(
            found[0],
            details={f"also {place}": fault for place, fault in enumerate(found[1:], 1)},
            hint=f"DROP PUBLICATION {publication}, and it is made again; or ALTER PUBLICATION {publication} SET (...)",
        )


def grant(connection: psycopg.Connection, capture_user: str, found: Sequence[TableSchema]) -> None:
    """Let the capture role read the tables."""
    from psycopg.sql import SQL, Identifier

    capture = Identifier(capture_user)
    for schema_name in sorted({schema.schema for schema in found}):
        connection.execute(SQL("GRANT USAGE ON SCHEMA {} TO {}").format(Identifier(schema_name), capture))
    connection.execute(SQL("GRANT SELECT ON TABLE {} TO {}").format(_listed(found), capture))


def check_capture(endpoint: Endpoint, found: Sequence[TableSchema]) -> None:
    """The capture role may read every table.

    Raises:
        SourceUnreachable: it is refused.
        UsageError: it may not read one.
    """
    with connect(endpoint, "capture") as connection:
        for schema in found:
            row = connection.execute(
                "SELECT has_table_privilege(c.oid, 'SELECT') FROM pg_class c "
                "JOIN pg_namespace n ON n.oid = relnamespace "
                "WHERE nspname = %s AND relname = %s",
                [schema.schema, schema.name],
            ).fetchone()
            if row != (True,):
                raise UsageError(
                    f"the capture role may not read {schema.qualified}",
                    hint=f"GRANT SELECT ON {schema.qualified} TO {endpoint.properties['capture_user']}",
                )


def _listed(found: Sequence[TableSchema]) -> Composed:
    from psycopg.sql import SQL, Identifier

    return SQL(", ").join(Identifier(schema.schema, schema.name) for schema in found)
