"""Row level security: a role under a policy sees a part of the rows, and two sides that see the same part look equal.

PostgreSQL itself says whether a policy would be applied to the role of a session, ownership, FORCE, BYPASSRLS and
superuser considered: ``row_security_active``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from test_infra.base.errors import UsageError
from test_infra.cdc.sources.postgres.catalogue import name_lists

if TYPE_CHECKING:
    import psycopg

    from test_infra.cdc.types.table_id import TableId

_QUERY = """
SELECT n.nspname, c.relname, c.relforcerowsecurity, current_user
FROM unnest(%s::text[], %s::text[]) AS wanted (schema, name)
JOIN pg_namespace n ON n.nspname = wanted.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
WHERE row_security_active(c.oid) ORDER BY 1, 2"""


def hidden_rows(connection: psycopg.Connection, wanted: Sequence[TableId], does: str) -> Iterator[UsageError]:
    """The tables of which the role of this session sees only what policies let it see.

    Args:
        connection: of the owner, or of the role that captures.
        wanted: tables.
        does: what the role does here, such as ``captures``.
    """
    for schema, name, forced, role in connection.execute(_QUERY, name_lists(wanted)).fetchall():
        how = "ENABLE and FORCE" if forced else "ENABLE"
        yield UsageError(
            f"row level security hides rows of {schema}.{name} from role {role}, which {does}",
            details={"seen": f"{how} ROW LEVEL SECURITY on the table, and the role does not bypass it"},
            hint=f"ALTER ROLE {role} BYPASSRLS (a superuser's right), or leave the table out of the pipeline",
        )
