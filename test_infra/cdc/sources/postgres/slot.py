"""The replication slot of a pipeline as the server describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import NotReady
from test_infra.cdc.sources.origin import Break
from test_infra.cdc.sources.postgres.lsn import Lsn

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from test_infra.cdc.sources.source import CaptureNames, Position

COMMITTED_WITHIN_S = 5.0
"""Connect commits an offset each 0.2 s; a slot confirmed beyond it after this time was not confirmed by it."""

# As JSON, because servers before 17 have no column `invalidation_reason`.
_QUERY = """
SELECT active, plugin, database = current_database(), wal_status, coalesce(to_jsonb(s) ->> 'invalidation_reason', ''),
    (restart_lsn - '0/0')::bigint, (confirmed_flush_lsn - '0/0')::bigint
FROM pg_replication_slots s WHERE slot_name = %s"""


@dataclass(frozen=True)
class Slot:
    """A logical replication slot.

    Args:
        active: a walsender reads from it.
        plugin: output plugin.
        of_this_database: it decodes the database of the captured tables.
        wal_status: ``reserved``, ``extended``, ``unreserved`` (WAL may go at the next checkpoint) or ``lost``.
        invalidation_reason: why the server gave it up; empty when it did not.
        restart_lsn: oldest WAL that it holds; None when it holds none any more.
        confirmed_lsn: the reader has confirmed everything below; never sent again. None before the first.
    """

    active: bool
    plugin: str
    of_this_database: bool
    wal_status: str | None
    invalidation_reason: str
    restart_lsn: Lsn | None
    confirmed_lsn: Lsn | None

    @property
    def fault(self) -> str:
        """What is wrong with it by itself, in words; empty when nothing."""
        if self.wal_status == "lost" or self.invalidation_reason:
            reason = f" ({self.invalidation_reason})" if self.invalidation_reason else ""
            return f"is invalidated{reason}: the server has thrown away changes that nobody has read"
        if self.wal_status == "unreserved":
            return "is about to be invalidated: the next checkpoint may throw away changes that nobody has read"
        if self.plugin != "pgoutput" or not self.of_this_database:
            return f"is another one: plugin {self.plugin}, {'this' if self.of_this_database else 'another'} database"
        return ""


def find_slot(connection: psycopg.Connection, name: str) -> Slot | None:
    """The slot of this name; None when there is none."""
    row = connection.execute(_QUERY, [name]).fetchone()
    if row is None:
        return None
    *described, restart, confirmed = row
    return Slot(*described, *(None if lsn is None else Lsn(lsn) for lsn in (restart, confirmed)))


def slot_breaks(
    connection: psycopg.Connection, names: CaptureNames, committed_position: Callable[[], Position | None]
) -> list[Break]:
    """What is wrong with the slot of a connector that has committed an offset before; empty when nothing, or none.

    A slot has no birth date. But only its reader confirms a position, and Connect has committed it then; a slot that
    is confirmed beyond the committed offset was made later, and the changes between are lost.

    Args:
        connection: of the owner.
        names: of the pipeline; its slot is that of the name ``replication``.
        committed_position: asks Connect for the LSN that it has committed; None before streaming began.
    """
    # In this order: the committed offset only grows.
    slot = find_slot(connection, names.replication)
    committed = committed_position()
    if slot is None:
        if committed is None:
            return []
        return [Break("slot", f"there is no slot {names.replication} any more: changes after {committed} are lost")]
    if slot.fault:
        return [Break("slot", f"slot {names.replication} {slot.fault}")]
    if committed is None or slot.confirmed_lsn is None or not committed < slot.confirmed_lsn:
        return []
    confirmed = slot.confirmed_lsn

    def caught_up() -> None:
        nonlocal committed
        committed = committed_position()
        if committed is None or committed < confirmed:
            raise StillWaiting("it is behind")

    try:
        wait_for(caught_up, Deadline(COMMITTED_WITHIN_S), what=names.connector, awaited="the slot's position")
    except NotReady:
        where = f"begins at {confirmed}, but {names.connector} has read up to {_shown(committed)}"
        lost = "it was dropped and made again, what lies between is lost"
        return [Break("slot", f"slot {names.replication} {where}: {lost}")]
    return []


def _shown(position: Position | None) -> str:
    return str(Lsn(0) if position is None else position)
