"""A moment of the source told by logical decoding instead of by transaction ids: a temporary slot and its snapshot.

PostgreSQL makes both at once: what committed before the slot's consistent point is in the exported snapshot, what
committed at or behind it is not, and is what the slot gives. Used to check the cut, not to take it: making the slot
waits for every transaction that runs at that moment, and needs a free slot and a free WAL sender.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from test_infra.base.errors import InfrastructureError
from test_infra.base.ids import token
from test_infra.base.redaction import redact
from test_infra.cdc.sources.postgres.connection import conninfo
from test_infra.cdc.types import literal

if TYPE_CHECKING:
    import psycopg

    from test_infra.stack import Endpoint

SLOT_TIMEOUT_MS = 30_000


class SlotMoment:
    """A temporary slot for as long as the context lasts; `export` makes it.

    Args:
        endpoint: of the primary.
        publication: whose tables are captured.
    """

    def __init__(self, endpoint: Endpoint, publication: str) -> None:
        self._endpoint = endpoint
        self._publication = publication
        self._session: psycopg.Connection | None = None
        self._slot = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        # The slot goes with its session.
        if self._session is not None:
            self._session.close()

    def export(self) -> str:
        """Make the slot and return the name of its snapshot, which others may adopt until this session's next command.

        Raises:
            InfrastructureError: PostgreSQL did not make it in time.
        """
        import psycopg

        self.__exit__()
        self._session = psycopg.connect(conninfo(self._endpoint, "capture"), autocommit=True, replication="database")
        self._slot = f"ti_{token()}"
        self._rows(f"SET statement_timeout = {SLOT_TIMEOUT_MS}")
        ((_, _, snapshot, _),) = self._rows(
            f"CREATE_REPLICATION_SLOT {self._slot} TEMPORARY LOGICAL pgoutput (SNAPSHOT 'export')"
        )
        return str(snapshot)

    def committed_since(self) -> frozenset[int]:
        """The 32-bit ids of the transactions on captured tables that committed behind the consistent point until now.

        Raises:
            InfrastructureError: PostgreSQL did not give them.
        """
        options = f"'proto_version', '1', 'publication_names', {literal(self._publication)}"
        changes = f"pg_logical_slot_peek_binary_changes('{self._slot}', NULL, NULL, {options})"
        return frozenset(int(xid) for (xid,) in self._rows(f"SELECT DISTINCT xid::text FROM {changes}"))

    def _rows(self, command: str) -> list[tuple[Any, ...]]:
        """A command in the simple protocol: a WAL sender takes no other."""
        from psycopg.pq import ExecStatus

        assert self._session is not None
        result = self._session.pgconn.exec_(command.encode())
        if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            raise InfrastructureError(
                "the temporary slot did not answer",
                details={"slot": self._slot, "seen": redact(result.error_message.decode(errors="replace").strip())},
            )
        return [
            tuple((result.get_value(row, column) or b"").decode() for column in range(result.nfields))
            for row in range(result.ntuples)
        ]
