"""A second opinion on the cut: the same rows, judged by what logical decoding says the snapshot contains.

The cut tells visible from invisible events by transaction ids. The oracle asks a temporary slot which transactions
committed behind its consistent point; nothing of the cut's arithmetic is in that answer. Both must say the same of
every event, and come to the same verdict.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from test_infra.cdc.judge import cut
from test_infra.cdc.judge.compare import judge
from test_infra.cdc.judge.coverage import DEFAULT_TIMEOUT_S
from test_infra.cdc.judge.differences import TableParity
from test_infra.cdc.judge.sides import number
from test_infra.cdc.lake.schemas import TOMBSTONE
from test_infra.cdc.pipeline.running import RunningPipeline
from test_infra_tests.oracle.slot_moment import SlotMoment


@dataclass(frozen=True)
class CommittedSince:
    """Visibility as a slot tells it.

    Args:
        tx_ids: 32-bit ids of the transactions that the moment does not contain.
    """

    tx_ids: frozenset[int]

    def sees_sql(self, expr: str) -> str:
        """Whether a transaction that committed is visible, as SQL over a BIGINT expression."""
        return f"(NOT ({self._among(expr)}))"

    def misses_sql(self, expr: str) -> str:
        """The opposite of `sees_sql`."""
        return f"({self._among(expr)})"

    def _among(self, expr: str) -> str:
        tx_id, listed = f"(({expr}) & 4294967295)", sorted(self.tx_ids) or [-1]
        # DuckDB goes through a list value by value, so it is asked only where it may say yes.
        near = f"{tx_id} BETWEEN {listed[0]} AND {listed[-1]}"
        return (
            f"CASE WHEN {near} THEN {tx_id} IN ({', '.join(map(str, listed))}) WHEN {tx_id} IS NOT NULL THEN false END"
        )


@dataclass(frozen=True)
class Opinion:
    """What both say of one table at one moment.

    Args:
        ours: judged by transaction ids.
        oracle: judged by what the slot gave.
        apart: events that one calls visible and the other does not.
    """

    ours: TableParity
    oracle: TableParity
    apart: int

    @property
    def agrees(self) -> bool:
        """Whether both say the same of every event, of every key and of the table."""
        return self.apart == 0 and self.ours == self.oracle


def ask(
    pipeline: RunningPipeline, tables: list[str] | None = None, timeout_s: float = DEFAULT_TIMEOUT_S
) -> dict[str, Opinion]:
    """Judge every table twice at one moment, under whatever load there is.

    Raises:
        Behind: a table was not there in time, so there is nothing to judge.
        CutVoid: a truncate, a rewrite or DDL came between in three cuts.
        InfrastructureError: the source did not make a temporary slot.
    """
    endpoint = pipeline.endpoint(pipeline.spec.source.service)
    with (
        SlotMoment(endpoint, pipeline.names.replication) as moment,
        cut.take(pipeline, list(tables or pipeline.tables), timeout_s, moment=moment.export) as taken,
    ):
        since = CommittedSince(moment.committed_since())
        return {name: _opinion(taken, pipeline, name, since) for name in taken.covered}


def _opinion(taken: cut.Cut, pipeline: RunningPipeline, name: str, since: CommittedSince) -> Opinion:
    schema = taken.tables[name].schema
    with taken.sides(pipeline, name) as sides:
        ours, oracle = (judge(taken.connection, one, schema) for one in (sides, replace(sides, snapshot=since)))
        by_id, by_slot = taken.snapshot.sees_sql("tx_id"), since.sees_sql("tx_id")
        apart = f"""SELECT count(*) FROM {sides.changes}
            WHERE op NOT IN ('r', '{TOMBSTONE}') AND {by_id} IS DISTINCT FROM {by_slot}"""
        return Opinion(ours, oracle, number(taken.connection, apart))
