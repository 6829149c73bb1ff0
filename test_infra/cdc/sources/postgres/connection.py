"""Sessions with the source, as its owner or as the role that captures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from test_infra.base.redaction import redact
from test_infra.cdc.sources.errors import SourceUnreachable
from test_infra.cdc.sources.postgres.session_settings import OURS, options
from test_infra.stack.services.postgres_address import libpq

if TYPE_CHECKING:
    import psycopg

    from test_infra.stack import Endpoint

Role = Literal["owner", "capture"]
CONNECT_TIMEOUT_S = 5
POOLER = "unsupported startup parameter"
"""What pgbouncer says to the settings of a session."""


def connect(endpoint: Endpoint, role: Role, settings: Mapping[str, str] = OURS) -> psycopg.Connection:
    """A session in autocommit; a context manager that closes it.

    Args:
        endpoint: of the service that holds the tables.
        role: ``owner`` creates and writes, ``capture`` reads as Debezium does.
        settings: of the session.

    Raises:
        SourceUnreachable: nobody answers, or the password is refused; the password is never part of the text.
    """
    import psycopg

    try:
        return psycopg.connect(conninfo(endpoint, role, settings), autocommit=True)
    except psycopg.OperationalError as error:
        raise _unreachable(endpoint, role, str(error)) from None


def conninfo(endpoint: Endpoint, role: Role, settings: Mapping[str, str] = OURS) -> str:
    """What libpq needs for a session, password included: for clients, never for an output."""
    from psycopg.conninfo import make_conninfo

    return make_conninfo(
        **libpq(endpoint),
        dbname=endpoint.properties["database"],
        user=endpoint.properties[f"{role}_user"],
        password=endpoint.secret(f"{role}_password"),
        connect_timeout=CONNECT_TIMEOUT_S,
        application_name="test_infra",
        client_encoding="UTF8",
        options=options(settings, endpoint.version),
    )


def _unreachable(endpoint: Endpoint, role: Role, seen: str) -> SourceUnreachable:
    user = endpoint.properties[f"{role}_user"]
    refused = "authentication failed" in seen
    what = f"refuses role {user!r}" if refused else "cannot be reached"
    hint = f"check the {role} password of the service" if refused else "test-infra status"
    if POOLER in seen:
        what, hint = "refuses the settings of our sessions", "give the address of the server itself, not of a pooler"
    return SourceUnreachable(
        f"postgres at {endpoint.host}:{endpoint.port} {what}",
        details={"seen": " ".join(redact(seen).split())},
        log=endpoint.log_path,
        hint=hint,
    )
