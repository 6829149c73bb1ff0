"""What our sessions with PostgreSQL, and the connector's, are set to, whatever server, database or role say.

They go with the connection (``options`` of libpq and of the JDBC driver), because a setting there wins over ``ALTER
DATABASE`` and ``ALTER ROLE``, and because a walsender takes no other: it writes the streamed values as text by the
settings of its own session.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from test_infra.base.errors import UsageError

if TYPE_CHECKING:
    import psycopg

WITHOUT_LIMITS: Mapping[str, str] = MappingProxyType(
    {
        "statement_timeout": "0",
        "lock_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "idle_session_timeout": "0",
        "default_transaction_read_only": "off",
    }
)
"""Of a session that runs SQL of the user's: it means what it means in the user's own session, and may take its time."""

OURS: Mapping[str, str] = MappingProxyType(
    {
        **WITHOUT_LIMITS,
        "default_transaction_isolation": "read committed",
        "default_transaction_deferrable": "off",
        # The text of values: the shortest that reads back as the same number, one form for each type.
        "extra_float_digits": "1",
        "bytea_output": "hex",
        "intervalstyle": "postgres",
        "datestyle": "ISO,MDY",
        "timezone": "UTC",
        "lc_monetary": "C",
        "array_nulls": "on",
        "quote_all_identifiers": "off",
        # How our SQL is read.
        "standard_conforming_strings": "on",
        "transform_null_equals": "off",
        # A policy that would hide rows ends the query, where it would else read fewer rows in silence.
        "row_security": "off",
    }
)
"""Of every other session."""

_SINCE = {"transaction_timeout": (17, "0")}
"""Settings that older servers refuse: name -> first major version, value."""


def options(settings: Mapping[str, str], version: str) -> str:
    """The settings as a server takes them at the start of a session.

    Args:
        settings: name -> value.
        version: of the server, as it tells it; empty when it is not known yet.
    """
    return " ".join(f"-c {name}={_escaped(value)}" for name, value in _of_version(settings, version).items())


def check_taken(connection: psycopg.Connection, version: str, role: str) -> None:
    """A session of ours has the settings that it was opened with.

    Raises:
        UsageError: something between dropped them.
    """
    wanted = _of_version(OURS, version)
    found = connection.execute(
        "SELECT lower(name), setting FROM pg_settings WHERE lower(name) = ANY(%s)", [list(wanted)]
    ).fetchall()
    other = {name: setting for name, setting in found if _bare(setting) != _bare(wanted[name])}
    if other:
        raise UsageError(
            f"the sessions of role {role} do not get the settings that they ask for",
            details={name: f"{setting}, not {wanted[name]}" for name, setting in sorted(other.items())},
            hint="give the address of the server itself; a pooler drops them (pgbouncer: ignore_startup_parameters)",
        )


def _of_version(settings: Mapping[str, str], version: str) -> dict[str, str]:
    found = re.match(r"\d+", version)
    major = int(found[0]) if found else 0
    return {**settings, **{name: value for name, (since, value) in _SINCE.items() if major >= since}}


def _escaped(value: str) -> str:
    return re.sub(r"([\\ ])", r"\\\1", value)


def _bare(setting: str) -> str:
    return setting.replace(" ", "").lower()
