"""Whether a PostgreSQL and its tables can be captured exactly: everything that is in the way, changing nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from test_infra.base.errors import UsageError
from test_infra.cdc.sources.postgres import row_filters
from test_infra.cdc.sources.postgres.catalogue import missing_tables, name_lists, no_such_table, table_problems, tables
from test_infra.cdc.sources.postgres.connection import connect
from test_infra.cdc.sources.postgres.row_security import hidden_rows
from test_infra.cdc.sources.postgres.server_checks import server_findings
from test_infra.cdc.sources.postgres.session_settings import check_taken
from test_infra.cdc.sources.postgres.shape import only_inserts, problem, shapes
from test_infra.cdc.sources.preflight import PreflightFinding, Severity, errors_of

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from test_infra.cdc.types.table_id import CapturedTable, TableId
    from test_infra.stack import Endpoint

# A publication is altered by its owner, and made by whoever may make one and owns its tables.
_NOT_OWNED = """
SELECT n.nspname, c.relname, pg_get_userbyid(c.relowner), current_user
FROM unnest(%s::text[], %s::text[]) AS wanted (schema, name)
JOIN pg_namespace n ON n.nspname = wanted.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
WHERE NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1, 2"""
_MAY_PUBLISH = """
SELECT current_user, current_database(), has_database_privilege(current_database(), 'CREATE')
    OR EXISTS (SELECT 1 FROM pg_publication WHERE pubname = %s)"""


def findings_on_server(connection: psycopg.Connection, endpoint: Endpoint, slot: str) -> list[PreflightFinding]:
    """What of the server, its roles and their sessions is in the way.

    Args:
        connection: of the owner.
        endpoint: of the server.
        slot: name of the pipeline's slot, and of its publication.

    Raises:
        SourceUnreachable: the capture role's session is refused, though the role is there.
    """
    owner, capture = (endpoint.properties[f"{role}_user"] for role in ("owner", "capture"))
    found = [
        *_caught(f"role {owner}", lambda: check_taken(connection, endpoint.version, owner)),
        *server_findings(connection, slot, capture),
        *publishing_findings(connection, slot),
    ]
    if f"role {capture}" in {finding.subject for finding in errors_of(found)}:
        return found
    with connect(endpoint, "capture") as session:
        return [*found, *_caught(f"role {capture}", lambda: check_taken(session, endpoint.version, capture))]


def findings_on_tables(
    connection: psycopg.Connection, endpoint: Endpoint, captured: Sequence[CapturedTable], made_by: Path | None
) -> list[PreflightFinding]:
    """What of the captured tables is in the way.

    Args:
        connection: of the owner.
        endpoint: of the server.
        captured: the captured tables.
        made_by: SQL file that will make the tables which do not exist; None: nothing will.

    Raises:
        SourceUnreachable: the capture role is refused.
    """
    absent = missing_tables(connection, [table.id for table in captured])
    there = [table for table in captured if table.id not in absent]
    ids = [table.id for table in there]
    found = list(_absent_findings(absent, made_by))
    found += [
        PreflightFinding(f"table {table.qualified}", seen)
        for table, problems in table_problems(connection, there).items()
        for seen in problems
    ]
    told = {finding.problem.what for finding in found}
    unfit = {finding.subject for finding in found}
    found_shapes = shapes(connection, ids)
    found += [
        PreflightFinding(f"table {shape.table.qualified}", seen)
        for shape in found_shapes
        if (seen := problem(shape)) and seen.what not in told
    ]
    found += [
        PreflightFinding(f"table {shape.table.qualified}", only_inserts(shape), Severity.WARNING)
        for shape in found_shapes
        if shape.keyless and not problem(shape) and f"table {shape.table.qualified}" not in unfit
    ]
    found += _ownership_findings(connection, ids)
    with connect(endpoint, "capture") as capture:
        hidden = chain(
            hidden_rows(connection, ids, "owns the tables and reads them for parity"),
            hidden_rows(capture, ids, "captures them"),
        )
        found += [PreflightFinding("row level security", seen) for seen in hidden]
    fit = [
        table
        for table in there
        if f"table {table.id.qualified}" not in {finding.subject for finding in errors_of(found)}
    ]
    schemas = [table.schema for table in tables(connection, fit)]
    return [*found, *_caught("row filters", lambda: row_filters.check_server(connection, schemas))]


def _absent_findings(absent: Sequence[TableId], made_by: Path | None) -> Iterator[PreflightFinding]:
    if absent and made_by is None:
        yield PreflightFinding("tables", no_such_table(absent))
    elif absent:
        names = ", ".join(table.qualified for table in absent)
        seen = UsageError(f"not there yet: {names}", hint=f"the first run makes them with {made_by}; check again then")
        yield PreflightFinding("tables", seen, Severity.NOTE)


def _ownership_findings(connection: psycopg.Connection, wanted: Sequence[TableId]) -> Iterator[PreflightFinding]:
    for schema, name, owner, role in connection.execute(_NOT_OWNED, name_lists(wanted)).fetchall():
        seen = UsageError(
            f"table {schema}.{name} belongs to role {owner}, and role {role} may not publish it",
            hint=f"GRANT {owner} TO {role}; or give the owner's role as owner_user of the service",
        )
        yield PreflightFinding(f"table {schema}.{name}", seen)


def publishing_findings(connection: psycopg.Connection, publication: str) -> Iterator[PreflightFinding]:
    """Whether the owner may make this publication, or has it already."""
    row = connection.execute(_MAY_PUBLISH, [publication]).fetchone()
    assert row is not None
    role, database, may_publish = row
    if not may_publish:
        seen = UsageError(
            f"role {role} may not make a publication in database {database}",
            hint=f"GRANT CREATE ON DATABASE {database} TO {role}",
        )
        yield PreflightFinding(f"role {role}", seen)


def _caught(subject: str, check: Callable[[], object]) -> list[PreflightFinding]:
    """What a check raises, as a finding."""
    try:
        check()
    except UsageError as error:
        return [PreflightFinding(subject, error)]
    return []
