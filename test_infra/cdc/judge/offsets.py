"""Every offset of a table's topic is accounted for, exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from test_infra.cdc.judge import coverage, heartbeat
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.lake import scratch_db
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.lake.schemas import TOMBSTONE
from test_infra.cdc.pipeline import topics
from test_infra.cdc.types import literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from test_infra.cdc.pipeline.running import RunningPipeline
    from test_infra.cdc.pipeline.topics import Record
    from test_infra.cdc.stream.stream import Covered

MOST_FAULTS = 50
KINDS = ("change", TOMBSTONE, "redelivery", "quarantined")

Reread = Callable[[int, int, int], Iterable["Record"]]
"""Partition, first offset, end offset -> the records that Kafka really has there."""


@dataclass(frozen=True)
class OffsetFault:
    """An offset that is nowhere, or in more than one place.

    Args:
        partition: of the topic.
        offset: in it.
        verdict: MISSING or DUPLICATE.
        seen: what was found instead.
    """

    partition: int
    offset: int
    verdict: Verdict
    seen: str


@dataclass(frozen=True)
class OffsetAccount:
    """Where the records of one topic went.

    Args:
        topic: its name.
        counts: ``change``, ``tombstone``, ``redelivery``, ``quarantined``, ``control`` -> offsets.
        verdicts: verdict -> how many; empty is green.
        faults: the first of them.
        upto: partition -> end offset of what was accounted for.
        reason: why nothing could be accounted for, where that is so.
        moved: what showed that the pipeline moves, where no topic of this look has a record.
    """

    topic: str
    counts: dict[str, int] = field(default_factory=dict)
    verdicts: dict[Verdict, int] = field(default_factory=dict)
    faults: tuple[OffsetFault, ...] = ()
    upto: dict[int, int] = field(default_factory=dict)
    reason: str = ""
    moved: str = ""

    @property
    def empty(self) -> bool:
        """Whether the topic ends where it begins, and that was all there was to account for."""
        return bool(self.upto) and not any(self.upto.values()) and self.green

    @property
    def green(self) -> bool:
        """Whether nothing was found."""
        return not self.verdicts


def check(
    pipeline: RunningPipeline, tables: Sequence[str] | None = None, timeout_s: float = coverage.DEFAULT_TIMEOUT_S
) -> dict[str, OffsetAccount]:
    """Account for every offset of the tables' topics, up to all that is committed in the source now.

    Args:
        pipeline: whose topics are accounted for.
        tables: labels of captured tables; None is all.
        timeout_s: a sink that is not there by then is LAG, seconds.
    """
    wanted = list(tables or pipeline.tables)
    covered, behind = coverage.advance(pipeline, wanted, timeout_s)
    with scratch_db.on_disk(pipeline.stack.dir) as connection:
        scratch_db.view(connection, "quarantine", open_table(pipeline.quarantine))
        accounts = {
            table: OffsetAccount(pipeline.topic(table), verdicts={Verdict.LAG: 1}, reason=behind[table])
            if table in behind
            else _account(connection, pipeline, table, covered[table])
            for table in wanted
        }
    return shown_to_move(pipeline, accounts, timeout_s)


def shown_to_move(
    pipeline: RunningPipeline, accounts: dict[str, OffsetAccount], timeout_s: float
) -> dict[str, OffsetAccount]:
    """Topics without a record are accounted for where the pipeline moves: another one has a record, or a heart-beat."""
    if not all(account.empty for account in accounts.values()):
        return accounts
    proof = heartbeat.prove(pipeline, 1, timeout_s)
    if proof.behind:
        late, reason = {Verdict.LAG: 1}, f"no topic has a record, and {proof.behind}"
        return {table: replace(account, verdicts=late, reason=reason) for table, account in accounts.items()}
    return {table: replace(account, moved=proof.said) for table, account in accounts.items()}


def _account(connection: DuckDBPyConnection, pipeline: RunningPipeline, table: str, covered: Covered) -> OffsetAccount:
    topic, bootstrap = pipeline.topic(table), pipeline.bootstrap

    def reread(partition: int, first: int, end: int) -> Iterable[Record]:
        return topics.read_records(bootstrap, topic, partition, first, end)

    changes = open_table(pipeline.changes(table), covered.changes_version)
    scratch_db.view(connection, "changes", changes)
    starts = changes.commits()[0]
    first = starts.offsets if starts.version == 0 else {}
    return account_for(connection, topic, first, covered.applied, reread)


def account_for(
    connection: DuckDBPyConnection,
    topic: str,
    first: Mapping[int, int],
    upto: Mapping[int, int],
    reread: Reread,
) -> OffsetAccount:
    """Account for the offsets of one topic, from the relations ``changes`` and ``quarantine``.

    An offset that is in neither is read again: a record that is really there is MISSING, and none is a control record
    (of a transaction, or compacted away).

    Args:
        connection: holds the relations.
        topic: its name, by which its rows in ``quarantine`` are known.
        first: partition -> first offset that had to be applied; 0 when not named.
        upto: partition -> end offset.
        reread: reads a range of a partition from Kafka.
    """
    bounds = ", ".join(f"({part}, {first.get(part, 0)}, {end})" for part, end in upto.items() if end > 0)
    if not upto:
        return OffsetAccount(topic, verdicts={Verdict.UNKNOWN: 1}, reason="the topic has no partition that is known")
    if not bounds:
        return OffsetAccount(topic, counts=dict.fromkeys((*KINDS, "control"), 0), upto=dict(upto))
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE placed AS
        SELECT part, off, kind FROM (
            SELECT kafka_partition AS part, kafka_offset AS off, CASE
                WHEN op = '{TOMBSTONE}' THEN '{TOMBSTONE}'
                WHEN kafka_offset > first_value(kafka_offset) OVER same THEN 'redelivery' ELSE 'change' END AS kind
            FROM changes
            -- A batch that was applied twice repeats an offset; only a later offset is a re-delivery.
            WINDOW same AS (PARTITION BY kafka_partition, "key", lsn, op ORDER BY kafka_offset)
            UNION ALL
            SELECT "partition", "offset", 'quarantined' FROM quarantine WHERE topic = {literal(topic)}
        ) JOIN (VALUES {bounds}) AS bound(of_part, low, high) ON part = of_part AND off >= low AND off < high"""
    )
    counts = dict.fromkeys((*KINDS, "control"), 0)
    counts |= dict(connection.execute("SELECT kind, count(DISTINCT (part, off)) FROM placed GROUP BY kind").fetchall())
    twice = connection.execute(
        """SELECT part, off, string_agg(kind, ' and ' ORDER BY kind), count(*) OVER () FROM placed
        GROUP BY part, off HAVING count(*) > 1 ORDER BY part, off LIMIT ?""",
        [MOST_FAULTS],
    ).fetchall()
    faults = [OffsetFault(part, off, Verdict.DUPLICATE, f"in {kinds}") for part, off, kinds, _ in twice]
    verdicts = {Verdict.DUPLICATE: int(twice[0][3])} if twice else {}
    missing = 0
    for part, low, high in _gaps(connection, bounds):
        control = high - low
        for record in reread(part, low, high):
            control -= 1
            missing += 1
            if len(faults) < MOST_FAULTS:
                seen = "a record in Kafka, in neither change log nor quarantine"
                faults.append(OffsetFault(part, record.offset, Verdict.MISSING, seen))
        counts["control"] += control
    if missing:
        verdicts = {Verdict.MISSING: missing, **verdicts}
    return OffsetAccount(topic, counts, verdicts, tuple(faults), dict(upto))


def _gaps(connection: DuckDBPyConnection, bounds: str) -> list[tuple[int, int, int]]:
    """Partition, first offset and end offset of every range that nothing is known of."""
    return connection.execute(
        f"""SELECT part, previous + 1, off FROM (
            SELECT part, off, lag(off) OVER (PARTITION BY part ORDER BY off) AS previous FROM (
                SELECT DISTINCT part, off FROM placed
                UNION ALL SELECT of_part, low - 1 FROM (VALUES {bounds}) AS bound(of_part, low, high)
                UNION ALL SELECT of_part, high FROM (VALUES {bounds}) AS bound(of_part, low, high)
            )
        ) WHERE off > previous + 1 ORDER BY ALL"""
    ).fetchall()
