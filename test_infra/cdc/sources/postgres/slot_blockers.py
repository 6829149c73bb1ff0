"""Transactions for whose end a new replication slot waits: prepared ones, and open ones that have written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

# Of the whole cluster: a slot waits for every transaction that has an id, whatever its database. Which processes hold
# one is in `pg_locks` for everybody; when it began only for a role that may see the session.
_QUERY = """
SELECT 'prepared transaction ' || quote_literal(gid), owner, database,
    extract(epoch FROM clock_timestamp() - prepared)::float8 AS age,
    'COMMIT PREPARED or ROLLBACK PREPARED ' || quote_literal(gid)
FROM pg_prepared_xacts
UNION ALL
SELECT 'open transaction of process ' || a.pid, a.usename, a.datname,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8,
    'end it in its session, or SELECT pg_terminate_backend(' || a.pid || ')'
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted AND a.pid <> pg_backend_pid()
    AND (l.transactionid = a.backend_xid OR a.backend_xid IS NULL)
ORDER BY age DESC NULLS LAST"""


@dataclass(frozen=True)
class SlotBlocker:
    """A transaction that has written and has not ended.

    Args:
        what: which one, with its process or its name.
        role: of its session.
        database: in which it writes.
        age_s: since it began, or was prepared, seconds; None where this role may not see it.
        cure: how it is ended.
    """

    what: str
    role: str
    database: str
    age_s: float | None
    cure: str

    @property
    def prepared(self) -> bool:
        """Whether it is a prepared one: it does not end by itself."""
        return self.what.startswith("prepared")

    def __str__(self) -> str:
        age = "of unknown age" if self.age_s is None else f"{self.age_s:.0f} s old"
        return f"{self.what} of role {self.role} in database {self.database}, {age}"


def slot_blockers(connection: psycopg.Connection) -> list[SlotBlocker]:
    """The transactions that have written and are not at their end, the oldest first."""
    return [SlotBlocker(*row) for row in connection.execute(_QUERY.encode()).fetchall()]
