"""Whether a server can take one more logical replication by a role, and is of a kind that was tried."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from test_infra.base.errors import UsageError
from test_infra.cdc.sources.postgres.slot import find_slot
from test_infra.cdc.sources.postgres.slot_blockers import slot_blockers
from test_infra.cdc.sources.preflight import PreflightFinding, Severity

if TYPE_CHECKING:
    import psycopg

    from test_infra.cdc.sources.postgres.slot_blockers import SlotBlocker

SERVER = "server"
OLDEST_MAJOR = 15
"""The first whose publications have row filters and column lists, by which we see what one keeps back."""
NEWEST_MAJOR = 18
PASSING_S = 1.0
"""A younger transaction is ordinary traffic."""
LASTING_S = 30.0
"""An older one is not about to end."""

_QUERY = """
SELECT current_setting('server_version_num')::int / 10000, current_setting('server_version'), pg_is_in_recovery(),
    current_setting('wal_level'), current_setting('max_replication_slots')::int,
    (SELECT count(*) FROM pg_replication_slots WHERE slot_name <> %s),
    current_setting('max_wal_senders')::int,
    (SELECT count(*) FROM pg_stat_replication WHERE pid NOT IN (
        SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s AND active_pid IS NOT NULL)),
    (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = %s),
    current_setting('server_encoding')"""


def server_findings(connection: psycopg.Connection, slot_name: str, capture_user: str) -> Iterator[PreflightFinding]:
    """What keeps the server from replicating to the connector.

    Args:
        connection: of the owner.
        slot_name: of the pipeline; when it is there, it takes no further slot.
        capture_user: role that the connector logs in with.
    """
    row = connection.execute(_QUERY, [slot_name, slot_name, capture_user]).fetchone()
    assert row is not None
    major, version, standby, wal_level, most_slots, slots, most_senders, senders, may_replicate, encoding = row
    yield from _version_findings(major, version)
    if standby:
        problem = UsageError(
            "the server is a standby: nothing can be published on it, and no marker written",
            hint="give the address of the primary",
        )
        yield PreflightFinding(SERVER, problem)
    if wal_level != "logical":
        problem = UsageError(
            f"the source has wal_level={wal_level}, and change data capture needs logical",
            hint="ALTER SYSTEM SET wal_level = logical, then restart PostgreSQL",
        )
        yield PreflightFinding(SERVER, problem)
    yield from _place_findings((slots, most_slots), (senders, most_senders))
    yield from _role_findings(capture_user, may_replicate)
    if encoding == "SQL_ASCII":
        problem = UsageError(
            "the database has encoding SQL_ASCII, so the server does not know what its texts mean",
            hint="texts with bytes that are no UTF-8 end the connector; make the database anew with an encoding",
        )
        yield PreflightFinding("database", problem, Severity.WARNING)
    no_slot = find_slot(connection, slot_name) is None
    for blocker in slot_blockers(connection):
        if blocker.prepared or blocker.age_s is None or blocker.age_s > PASSING_S:
            yield _blocker_finding(blocker, no_slot=no_slot)


def _version_findings(major: int, version: str) -> Iterator[PreflightFinding]:
    supported = f"PostgreSQL {OLDEST_MAJOR} to {NEWEST_MAJOR}"
    if major < OLDEST_MAJOR:
        problem = UsageError(
            f"the source is PostgreSQL {version}, which is too old",
            hint=f"use a server of {supported}; see docs/services.md",
        )
        yield PreflightFinding(SERVER, problem)
    elif major > NEWEST_MAJOR:
        problem = UsageError(
            f"the source is PostgreSQL {version}, which is newer than any that was tried",
            hint=f"use a server of {supported}",
        )
        yield PreflightFinding(SERVER, problem, Severity.WARNING)


def _place_findings(slots: tuple[int, int], senders: tuple[int, int]) -> Iterator[PreflightFinding]:
    taken, most = slots
    if taken >= most:
        problem = UsageError(
            f"all {most} replication slots of the source are taken",
            details={"setting": "max_replication_slots"},
            hint="drop one that nobody uses (pg_drop_replication_slot), or raise max_replication_slots and restart",
        )
        yield PreflightFinding(SERVER, problem)
    taken, most = senders
    if taken >= most:
        problem = UsageError(
            f"all {most} WAL senders of the source are taken",
            details={"setting": "max_wal_senders"},
            hint="end a replication that nobody uses (pg_stat_replication), or raise max_wal_senders and restart",
        )
        yield PreflightFinding(SERVER, problem)


def _role_findings(capture_user: str, may_replicate: bool | None) -> Iterator[PreflightFinding]:
    subject = f"role {capture_user}"
    if may_replicate is None:
        hint = f"CREATE ROLE {capture_user} LOGIN REPLICATION"
        yield PreflightFinding(subject, UsageError(f"role {capture_user} does not exist", hint=hint))
    elif not may_replicate:
        hint = f"ALTER ROLE {capture_user} REPLICATION"
        yield PreflightFinding(subject, UsageError(f"role {capture_user} may not replicate", hint=hint))


def _blocker_finding(blocker: SlotBlocker, *, no_slot: bool) -> PreflightFinding:
    """A new slot waits for the end of the transaction; a slot that is there only keeps its WAL."""
    lasting = blocker.prepared or (blocker.age_s is not None and blocker.age_s > LASTING_S)
    effect = "a new replication slot waits for its end" if no_slot else "the slot keeps the WAL since its beginning"
    problem = UsageError(f"{blocker}: {effect}", hint=blocker.cure)
    return PreflightFinding("transaction", problem, Severity.ERROR if no_slot and lasting else Severity.WARNING)
