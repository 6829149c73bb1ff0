"""Making the source ready to be captured: tables, publication, rights, and what must hold before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from test_infra.base.errors import UsageError
from test_infra.base.paths import private_dir, write_private
from test_infra.cdc.pipeline.names import PipelineFolders, PipelineNames
from test_infra.cdc.pipeline.origin import Discontinuity, Origin, origin_of
from test_infra.cdc.sources.postgres.catalogue import missing_tables, schemas
from test_infra.cdc.sources.postgres.connection import connect
from test_infra.cdc.sources.postgres.publication import faults
from test_infra.cdc.sources.postgres.shape import check_shapes

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composed

    from test_infra.cdc.pipeline.spec import PipelineSpec
    from test_infra.cdc.types.table import TableSchema
    from test_infra.stack import Endpoint, Stack


def prepare(stack: Stack, spec: PipelineSpec) -> list[TableSchema]:
    """Make the tables, the publication and the capture role's rights; afterwards the pipeline is on record.

    Tables that exist are left as they are, so that doing it again changes nothing. A table that is empty gets the
    rows that the pipeline's load asks for before the connector, and every one of them is in the history.

    Returns:
        The captured tables in the order of the pipeline.

    Raises:
        NoSuchTable: a table does not exist and no SQL file makes it.
        NoPrimaryKey: a table has none.
        UsageError: ``wal_level``, slots, roles, publication, a table's kind, identity or column do not allow to
            capture it; says what to do.
        Discontinuity: the pipeline's lake is of another source, or of a table that was there before.
        SourceUnreachable: the source did not accept the owner or the capture role.
    """
    from test_infra.cdc.load.seed import seed_rows

    endpoint = stack.endpoint(spec.source.service)
    names = PipelineNames(stack.id, spec.name)
    with connect(endpoint, "owner") as connection:
        _check_server(connection, names.slot, endpoint.properties["capture_user"])
        _create_tables(connection, spec)
        found = schemas(connection, spec)
        check_shapes(connection, spec.source.schema_name, spec.tables)
        _check_origin(connection, spec, names, PipelineFolders(stack.dir, spec.name))
        with connection.transaction():
            _publish(connection, names.publication, found)
            _grant(connection, endpoint.properties["capture_user"], found)
        _check_publication(connection, names.publication, spec)
        _check_capture(endpoint, found)
        folders = PipelineFolders(stack.dir, spec.name)
        private_dir(folders.record.parent)
        if spec.load is not None:
            seed_rows(connection, found, rows=spec.load.rows_before, seed=spec.load.seed, history=folders.history)
    write_private(folders.record, spec.model_dump_json(indent=1))
    return found


def _check_server(connection: psycopg.Connection, slot: str, capture_user: str) -> None:
    row = connection.execute(
        """SELECT current_setting('wal_level'), current_setting('max_replication_slots')::int,
                  (SELECT count(*) FROM pg_replication_slots WHERE slot_name <> %s),
                  current_setting('max_wal_senders')::int,
                  (SELECT count(*) FROM pg_stat_replication WHERE pid NOT IN (
                      SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s AND active_pid IS NOT NULL)),
                  (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = %s)""",
        [slot, slot, capture_user],
    ).fetchone()
    assert row is not None
    wal_level, most_slots, other_slots, most_senders, other_senders, may_replicate = row
    if wal_level != "logical":
        raise UsageError(
            f"the source has wal_level={wal_level}, and change data capture needs logical",
            hint="ALTER SYSTEM SET wal_level = logical, then restart PostgreSQL",
        )
    if other_slots >= most_slots:
        raise UsageError(
            f"all {most_slots} replication slots of the source are taken",
            details={"setting": "max_replication_slots"},
            hint="drop one that nobody uses (pg_drop_replication_slot), or raise max_replication_slots and restart",
        )
    if other_senders >= most_senders:
        raise UsageError(
            f"all {most_senders} WAL senders of the source are taken",
            details={"setting": "max_wal_senders"},
            hint="end a replication that nobody uses (pg_stat_replication), or raise max_wal_senders and restart",
        )
    if may_replicate is None:
        raise UsageError(f"role {capture_user} does not exist", hint=f"CREATE ROLE {capture_user} LOGIN REPLICATION")
    if not may_replicate:
        raise UsageError(f"role {capture_user} may not replicate", hint=f"ALTER ROLE {capture_user} REPLICATION")


def _create_tables(connection: psycopg.Connection, spec: PipelineSpec) -> None:
    import psycopg

    ddl = spec.source.ddl
    if ddl is None or not missing_tables(connection, spec.source.schema_name, spec.tables):
        return
    try:
        statements = ddl.read_text()
    except OSError as error:
        raise UsageError(
            f"the SQL file of pipeline {spec.name} cannot be read", details={"file": str(ddl), "seen": str(error)}
        ) from error
    try:
        with connection.transaction():
            connection.execute(statements.encode())
    except psycopg.Error as error:
        raise UsageError(
            f"the SQL file of pipeline {spec.name} failed", details={"file": str(ddl), "seen": str(error).strip()}
        ) from error


def _publish(connection: psycopg.Connection, publication: str, found: list[TableSchema]) -> None:
    """Exactly these tables, also when the publication is there: a table dropped and made again has left it."""
    import psycopg
    from psycopg.sql import SQL, Identifier

    known = connection.execute("SELECT 1 FROM pg_publication WHERE pubname = %s", [publication]).fetchone()
    # The changes of partitions come under the name of the table that the pipeline names.
    create = "CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = true)"
    statement = "ALTER PUBLICATION {} SET TABLE {}" if known else create
    try:
        connection.execute(SQL(statement).format(Identifier(publication), _listed(found)))
    except psycopg.errors.InsufficientPrivilege as error:
        raise UsageError(
            "the owner role may not publish the tables",
            details={"seen": str(error).strip(), "tables": ", ".join(schema.qualified for schema in found)},
            hint="the owner role must own every captured table and have CREATE on the database",
        ) from error


def _check_origin(
    connection: psycopg.Connection, spec: PipelineSpec, names: PipelineNames, folders: PipelineFolders
) -> None:
    now = origin_of(connection, spec, names)
    for folder in (folders.lake, folders.checkpoint):
        recorded = Origin.read(folder)
        if recorded is not None and (found := recorded.breaks(now)):
            raise Discontinuity(spec.name, found)


def _check_publication(connection: psycopg.Connection, publication: str, spec: PipelineSpec) -> None:
    if found := faults(connection, publication, spec.source.schema_name, spec.tables):
        raise UsageError(
            found[0],
            details={f"also {place}": fault for place, fault in enumerate(found[1:], 1)},
            hint=f"DROP PUBLICATION {publication}, and it is made again; or ALTER PUBLICATION {publication} SET (...)",
        )


def _grant(connection: psycopg.Connection, capture_user: str, found: list[TableSchema]) -> None:
    from psycopg.sql import SQL, Identifier

    capture = Identifier(capture_user)
    for schema_name in sorted({schema.schema for schema in found}):
        connection.execute(SQL("GRANT USAGE ON SCHEMA {} TO {}").format(Identifier(schema_name), capture))
    connection.execute(SQL("GRANT SELECT ON TABLE {} TO {}").format(_listed(found), capture))


def _check_capture(endpoint: Endpoint, found: list[TableSchema]) -> None:
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


def _listed(found: list[TableSchema]) -> Composed:
    from psycopg.sql import SQL, Identifier

    return SQL(", ").join(Identifier(schema.schema, schema.name) for schema in found)
