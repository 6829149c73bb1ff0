"""Running the statements of a SQL file: all of them in one transaction where that is possible."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from test_infra.base.errors import UsageError
from test_infra.cdc.sources.postgres.sql_file.refused import refused
from test_infra.cdc.sources.postgres.sql_file.scan import Statement

if TYPE_CHECKING:
    import psycopg

_BOUNDARY = {"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"}
_MAKE_NOTHING = {*_BOUNDARY, "SET", "RESET", "SHOW", "SAVEPOINT", "RELEASE"}
_ALONE = re.compile(
    r"VACUUM\b|ALTER\s+SYSTEM\b|(?:CREATE|DROP)\s+TABLESPACE\b|(?:CREATE|DROP|ALTER)\s+SUBSCRIPTION\b|CALL\b|"
    r"(?:CREATE\s+(?:UNIQUE\s+)?INDEX|DROP\s+INDEX|REINDEX)\b.*\bCONCURRENTLY\b|REINDEX\s+(?:\(.*\)\s*)?(?:DATABASE|SYSTEM|"
    r"SCHEMA)\b|ALTER\s+TABLE\b.*\bDETACH\s+PARTITION\b.*\bCONCURRENTLY\b|ALTER\s+TYPE\b.*\bADD\s+VALUE\b|CLUSTER$|"
    r"DO\b.*\b(?:COMMIT|ROLLBACK)\b|(?:COMMIT|ROLLBACK)\s+PREPARED\b",
    re.IGNORECASE | re.DOTALL,
)
"""Statements that PostgreSQL refuses inside a transaction, or whose effect cannot be used in the same one."""
_COPY_LINE = re.compile(r"^COPY [^,]+, line (?P<line>\d+)", re.MULTILINE)
_PIECE = 1 << 20
_MOST_NAMED = 12


class SqlFailed(UsageError):
    """A statement of a SQL file failed: file and line, the database's words, and what is left of the file."""


def run(connection: psycopg.Connection, statements: Sequence[Statement]) -> None:
    """Run statements in order.

    A file without transactions of its own runs whole or not at all. One with ``BEGIN`` and ``COMMIT``, or with a
    statement that PostgreSQL refuses in a transaction (``CREATE INDEX CONCURRENTLY``, ``VACUUM``), is cut there; after
    an error the parts before are kept, and the error names them.

    Args:
        connection: in autocommit, of the file's own: its settings are those of the file afterwards.
        statements: as `read` gives them.

    Raises:
        SqlFailed: a statement failed.
    """
    import psycopg

    parts = list(_parts(statements))
    if parts and _begins(parts[-1][0]) and not _ends(parts[-1][-1]):
        first = parts[-1][0]
        raise refused(first.path, first.line, "the transaction that begins here does not end", "write COMMIT")
    connection.execute("SET client_encoding TO 'UTF8'")
    kept: list[Statement] = []
    for part in parts:
        at = _Place(part[0])
        try:
            _send_together(connection, part, at)
        except psycopg.Error as error:
            if not connection.closed:
                connection.rollback()
            raise _failed(connection, at, error, kept) from error
        if part[-1].words[:1] not in {("ROLLBACK",), ("ABORT",)}:
            kept += [statement for statement in part if statement.words[:1] and statement.words[0] not in _MAKE_NOTHING]


def _parts(statements: Iterable[Statement]) -> Iterator[list[Statement]]:
    """Statements that are kept or lost together: a transaction of the file's own, a statement that must be alone, and
    what lies between those.
    """
    part: list[Statement] = []
    own = False
    for statement in statements:
        if not own and (_begins(statement) or _ends(statement) or _ALONE.match(statement.text)):
            if part:
                yield part
            part = [statement]
            own = _begins(statement)
        else:
            part.append(statement)
            own = own and not _ends(statement)
        if not own and (_ends(statement) or _ALONE.match(statement.text)):
            yield part
            part = []
    if part:
        yield part


def _begins(statement: Statement) -> bool:
    return statement.words[:1] == ("BEGIN",) or statement.words[:2] == ("START", "TRANSACTION")


def _ends(statement: Statement) -> bool:
    first = statement.words[:1]
    return first in {("COMMIT",), ("END",), ("ROLLBACK",), ("ABORT",)} and not (
        "TO" in statement.words or "PREPARED" in statement.words
    )


@dataclass
class _Place:
    """How far a part was sent.

    Args:
        statement: the one that is or was sent last.
        ends: whether all of the part was sent, and only its COMMIT can fail.
    """

    statement: Statement
    ends: bool = False


def _send_together(connection: psycopg.Connection, part: Sequence[Statement], at: _Place) -> None:
    """Send the statements of a part; in a transaction, unless the file begins one or the statement takes none."""
    begins_itself = _begins(part[0]) or _ends(part[0]) or _ALONE.match(part[0].text) is not None
    with nullcontext() if begins_itself else connection.transaction():
        for statement in part:
            at.statement = statement
            _send(connection, statement)
        at.ends = not begins_itself


def _send(connection: psycopg.Connection, statement: Statement) -> None:
    with connection.cursor() as cursor:
        if statement.data is None:
            cursor.execute(statement.text.encode())
            return
        with cursor.copy(statement.text.encode()) as copy:
            for start in range(0, len(statement.data), _PIECE):
                copy.write(statement.data[start : start + _PIECE])


def _failed(connection: psycopg.Connection, at: _Place, error: psycopg.Error, kept: Sequence[Statement]) -> SqlFailed:
    diag, statement = error.diag, at.statement
    details = {
        "file": str(statement.path) if at.ends else _place(statement, error),
        "statement": "the COMMIT behind the last statement" if at.ends else statement.shown,
        "seen": (diag.message_primary or str(error)).strip(),
    }
    if diag.message_detail:
        details["detail"] = " ".join(diag.message_detail.split())
    details["kept"] = _named(kept)
    if "CONCURRENTLY" in statement.words and (invalid := _left_invalid(connection)):
        details["kept"] += f"; and an invalid index: DROP INDEX {invalid}"
    return SqlFailed(
        f"the SQL file {statement.path.name} failed",
        details=details,
        hint=_hint(connection, error, statement) or diag.message_hint or "mend the statement",
    )


def _place(statement: Statement, error: psycopg.Error) -> str:
    """File and line that the server complains about."""
    if statement.data_line and (found := _COPY_LINE.search(error.diag.context or "")):
        return f"{statement.data_path or statement.path}:{statement.data_line + int(found['line']) - 1}"
    position = error.diag.statement_position
    further = statement.text.count("\n", 0, int(position) - 1) if position else 0
    return f"{statement.path}:{statement.line + further}"


def _named(kept: Sequence[Statement]) -> str:
    if not kept:
        return "nothing of the file: it was rolled back whole"
    shown = [f"line {statement.line}: {statement.shown}" for statement in kept[-_MOST_NAMED:]]
    before = f"{len(kept) - len(shown)} statements before; " if len(kept) > len(shown) else ""
    return (
        f"{len(kept)} statements, committed before the error by the file's own COMMIT, or by a statement that cannot "
        f"be in a transaction: {before}{'; '.join(shown)}"
    )


def _hint(connection: psycopg.Connection, error: psycopg.Error, statement: Statement) -> str:
    """What to do about what dumps of other servers stumble over."""
    import psycopg

    if statement.words[:2] == ("CREATE", "EXTENSION"):
        return _extensions(connection)
    said = error.diag.message_primary or ""
    about_roles = isinstance(error, psycopg.errors.InsufficientPrivilege) or re.match(r'role "', said)
    if about_roles and re.match(r"(?:ALTER|GRANT|REVOKE|SET)\b", statement.text, re.IGNORECASE):
        return "`skip_owners: true` beside `ddl:` leaves such lines out; so does pg_dump --no-owner --no-privileges"
    return ""


def _extensions(connection: psycopg.Connection) -> str:
    """Which extensions the server ships, by who may create them."""
    if connection.closed:
        return ""
    found = connection.execute(
        "SELECT name, bool_or(trusted OR NOT superuser OR rolsuper) "
        "FROM pg_available_extension_versions, pg_roles WHERE rolname = current_user GROUP BY name ORDER BY name"
    ).fetchall()
    own = ", ".join(name for name, may in found if may) or "none"
    others = ", ".join(name for name, may in found if not may) or "none"
    return f"the owner may create the extensions {own}; a superuser of this server also: {others}"


def _left_invalid(connection: psycopg.Connection) -> str:
    """Indexes that a failed ``CREATE INDEX CONCURRENTLY`` has left; they must be dropped by hand."""
    if connection.closed:
        return ""
    found = connection.execute("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid").fetchall()
    return ", ".join(name for (name,) in found)
