"""What a live database has that could be captured, and why the rest could not: what a pipeline is drafted from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from test_infra.base.errors import InfrastructureError, UsageError
from test_infra.base.redaction import redact
from test_infra.cdc.sources.postgres.catalogue import list_tables, name_lists, table_problems, tables
from test_infra.cdc.sources.postgres.preflight import publishing_findings
from test_infra.cdc.sources.postgres.server_checks import server_findings
from test_infra.cdc.sources.postgres.session_settings import OURS, options
from test_infra.cdc.sources.postgres.shape import problem, shapes
from test_infra.cdc.types import UnsupportedColumn
from test_infra.cdc.types.table_id import CapturedTable, TableId

if TYPE_CHECKING:
    import psycopg

CONNECT_TIMEOUT_S = 10
NO_SLOT = ""

_SCHEMAS = r"""
SELECT nspname FROM pg_namespace
WHERE nspname NOT LIKE 'pg\_%' AND nspname NOT IN ('information_schema', 'test_infra') ORDER BY 1"""

_CAPTURE_ROLES = """
SELECT rolname FROM pg_roles WHERE rolreplication AND rolcanlogin AND NOT rolsuper ORDER BY 1"""

_RIGHTS = """
SELECT n.nspname, c.relname, pg_get_userbyid(c.relowner), pg_has_role(c.relowner, 'USAGE'),
    c.relrowsecurity, c.reltuples::bigint
FROM unnest(%s::text[], %s::text[]) AS wanted (schema, name)
JOIN pg_namespace n ON n.nspname = wanted.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name AND c.relkind IN ('r', 'p')"""


@dataclass(frozen=True)
class Address:
    """Where a database is and who asked, without the password."""

    host: str
    port: int
    database: str
    user: str


@dataclass(frozen=True)
class SurveyedTable:
    """A table, and how it could be captured.

    Args:
        id: which table.
        fault: why it cannot be captured; empty when it can.
        remedy: what would help.
        excluded: columns that are left out so that it can be captured -> why.
        generated: generated columns, which never are.
    """

    id: TableId
    fault: str = ""
    remedy: str = ""
    excluded: tuple[tuple[str, str], ...] = ()
    generated: tuple[str, ...] = ()


@dataclass(frozen=True)
class Survey:
    """What a database has.

    Args:
        address: of the database.
        schemas: that were looked at; the first one's tables are written without it.
        tables: in the order of their names.
        capture_user: a role that may replicate and is no superuser; empty when there is none.
        findings: what else stands in the way of capturing: finding, what would help.
    """

    address: Address
    schemas: tuple[str, ...]
    tables: tuple[SurveyedTable, ...]
    capture_user: str
    findings: tuple[tuple[str, str], ...]


def survey(url: str, schemas: Sequence[str]) -> Survey:
    """Look at the tables of some schemas; nothing is written.

    Args:
        url: of the database, as libpq reads it: a password may come from it, the environment or ``.pgpass``.
        schemas: names of schemas.

    Raises:
        UsageError: it is no such URL, or a schema does not exist.
        InfrastructureError: the database cannot be reached, or refuses the role.
    """
    with _session(url) as connection:
        missing = [name for name in schemas if name not in (known := _column(connection, _SCHEMAS))]
        if missing:
            raise UsageError(
                f"database {connection.info.dbname} has no schema {missing[0]}",
                details={"known": ", ".join(known) or "none"},
                hint="upper and lower case count",
            )
        wanted = [table for table in list_tables(connection, schemas[0]) if table.schema in schemas]
        capture = next(iter(_column(connection, _CAPTURE_ROLES)), "")
        return Survey(
            address=Address(connection.info.host, connection.info.port, connection.info.dbname, connection.info.user),
            schemas=tuple(schemas),
            tables=tuple(_surveyed(connection, wanted)),
            capture_user=capture,
            findings=tuple(_findings(connection, capture)),
        )


def _session(url: str) -> psycopg.Connection:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise UsageError(
            "--from is no address of a PostgreSQL database",
            details={"seen": redact(str(error)).strip()},
            hint="postgres://USER@HOST:PORT/DATABASE, with the password in PGPASSWORD or .pgpass",
        ) from None
    if given.get("password"):
        redact.learn(str(given["password"]))
    try:
        return psycopg.connect(
            make_conninfo(
                url,
                connect_timeout=CONNECT_TIMEOUT_S,
                application_name="test_infra",
                client_encoding="UTF8",
                options=options({**OURS, "default_transaction_read_only": "on"}, ""),
            ),
            autocommit=True,
        )
    except psycopg.OperationalError as error:
        raise InfrastructureError(
            "the database of --from cannot be reached",
            details={"seen": " ".join(redact(str(error)).split())},
            hint="the password may come from PGPASSWORD or .pgpass",
        ) from None


def _column(connection: psycopg.Connection, query: str) -> list[str]:
    return [str(value) for (value,) in connection.execute(query.encode()).fetchall()]


def _surveyed(connection: psycopg.Connection, wanted: Sequence[TableId]) -> list[SurveyedTable]:
    rights = {(row[0], row[1]): row[2:] for row in connection.execute(_RIGHTS, name_lists(wanted)).fetchall()}
    found = []
    for table in wanted:
        owner, owned, row_security, _ = rights[table.schema, table.name]
        if row_security:
            found.append(
                SurveyedTable(
                    table,
                    f"table {table.qualified} has row level security, which may hide rows from who compares",
                    "let owner and capture role bypass it (BYPASSRLS), or leave the table out",
                )
            )
        elif not owned:
            found.append(
                SurveyedTable(
                    table,
                    f"table {table.qualified} belongs to {owner}, and only its owner may publish it",
                    f"draft as {owner}, or GRANT {owner} TO {connection.info.user}",
                )
            )
        else:
            found.append(_fit(connection, table))
    return found


def _fit(connection: psycopg.Connection, table: TableId) -> SurveyedTable:
    """Whether a table can be captured, if need be without some of its columns."""
    excluded: dict[str, str] = {}
    faults: list[UsageError] = []
    for found in table_problems(connection, [CapturedTable(table)])[table]:
        cause = found.__cause__
        if isinstance(cause, UnsupportedColumn) and cause.column.key_position is None:
            excluded[cause.column.name] = f"{cause.column.type}: {cause.details['reason']}"
        else:
            faults.append(found)
    faults += [of_shape for shape in shapes(connection, [table]) if (of_shape := problem(shape))]
    if faults:
        return SurveyedTable(table, faults[0].what, faults[0].hint or "")
    (described,) = tables(connection, [CapturedTable(table, tuple(excluded))])
    if not described.schema.columns:
        return SurveyedTable(table, f"no column of table {table.qualified} can be captured")
    if not described.schema.key:
        return SurveyedTable(
            table,
            f"table {table.qualified} has no primary key, and no unique index that could stand for one: only its "
            "inserts could be captured",
            "add one; or name it, with traffic of your own (`load: sql`, `command` or null)",
        )
    return SurveyedTable(table, excluded=tuple(excluded.items()), generated=described.schema.generated)


def _findings(connection: psycopg.Connection, capture_user: str) -> list[tuple[str, str]]:
    """What `test-infra check` would say of server and roles; of a capture role that is not there yet, nothing."""
    asked_for = capture_user or connection.info.user
    found = [*server_findings(connection, NO_SLOT, asked_for), *publishing_findings(connection, NO_SLOT)]
    unknown = "" if capture_user else f"role {asked_for}"
    return [(seen.problem.what, seen.problem.hint or "") for seen in found if seen.subject != unknown]
