"""Parity: every committed row is in the lake, exactly, at one cut."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from test_infra.cdc.judge import cut, heartbeat
from test_infra.cdc.judge.compare import judge
from test_infra.cdc.judge.coverage import DEFAULT_TIMEOUT_S, Behind, one_line
from test_infra.cdc.judge.differences import TableParity
from test_infra.cdc.judge.read_source_rows import NoExactForm
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.lake import scratch_db

if TYPE_CHECKING:
    from test_infra.cdc.pipeline.running import RunningPipeline
    from test_infra.cdc.sources.source import Position
    from test_infra.cdc.types.table_id import TableId


@dataclass(frozen=True)
class ParityReport:
    """What one cut showed.

    Args:
        pipeline: its name.
        tables: table label -> what the comparison gave.
        started_at: before the source's snapshot was taken.
        snapshot: S as PostgreSQL writes it; empty when none was taken.
        marker: a position behind everything in S; None when none was taken.
        attempts: cuts taken; more than one when a truncate or DDL made one void.
        seconds: step -> duration, ``total`` included.
    """

    pipeline: str
    tables: dict[str, TableParity]
    started_at: datetime
    snapshot: str = ""
    marker: Position | None = None
    attempts: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def green(self) -> bool:
        """Whether nothing was found."""
        return bool(self.tables) and all(table.green for table in self.tables.values())


def check(
    pipeline: RunningPipeline, tables: Sequence[str] | None = None, timeout_s: float = DEFAULT_TIMEOUT_S
) -> ParityReport:
    """Compare source and lake at one cut, under whatever load there is.

    Args:
        pipeline: whose tables are compared.
        tables: labels; None is all.
        timeout_s: a sink that is not there by then is LAG, seconds.

    Raises:
        SourceUnreachable: the source did not accept a session, so nothing could be told.
    """
    names = list(tables or pipeline.tables)
    started_at, began = datetime.now(UTC), time.monotonic()
    try:
        with cut.take(pipeline, names, timeout_s) as taken:
            compared = time.monotonic()
            judged = shown_to_move(pipeline, {name: _judged(taken, pipeline, name) for name in names}, timeout_s)
            now = time.monotonic()
            return ParityReport(
                pipeline=pipeline.spec.name,
                tables=judged,
                started_at=taken.started_at,
                snapshot=str(taken.snapshot),
                marker=taken.marker,
                attempts=taken.attempts,
                seconds={**taken.seconds, "compare": now - compared, "total": now - began},
            )
    except Behind as error:
        verdict, why = Verdict.LAG, one_line(error)
    except (cut.CutVoid, NoExactForm) as error:
        verdict, why = Verdict.UNKNOWN, one_line(error)
    nothing = {name: _not_compared(pipeline.table_ids[name], verdict, why) for name in names}
    return ParityReport(pipeline.spec.name, nothing, started_at, seconds={"total": time.monotonic() - began})


def _judged(taken: cut.Cut, pipeline: RunningPipeline, name: str) -> TableParity:
    import duckdb

    schema = taken.tables[name].schema
    if name in taken.behind:
        return _not_compared(schema.id, Verdict.LAG, taken.behind[name])
    try:
        with taken.sides(pipeline, name) as sides:
            judged = judge(taken.connection, sides, schema)
    except duckdb.OutOfMemoryException:
        row, most = taken.row_bytes[name], scratch_db.memory_limit(taken.row_bytes[name])
        why = f"its rows, of {row:,} bytes on average, cannot be compared in {most} of memory"
        return _not_compared(schema.id, Verdict.UNKNOWN, why)
    covered = taken.covered[name]
    return replace(
        judged,
        watermark=covered.watermark,
        applied=covered.applied,
        mirror_version=covered.mirror_version,
        changes_version=covered.changes_version,
    )


def shown_to_move(
    pipeline: RunningPipeline, judged: dict[str, TableParity], timeout_s: float
) -> dict[str, TableParity]:
    """Empty tables are equal where the pipeline moves. Rows and changes show that it does, and else a heart-beat."""
    if not all(table.empty and table.green for table in judged.values()):
        return judged
    proof = heartbeat.prove(pipeline, 1, timeout_s)
    if proof.behind:
        reason = f"every compared table is empty, and {proof.behind}"
        return {name: replace(table, counts={Verdict.LAG: 1}, reason=reason) for name, table in judged.items()}
    return {name: replace(table, moved=proof.said) for name, table in judged.items()}


def _not_compared(table: TableId, verdict: Verdict, why: str) -> TableParity:
    return TableParity(table.qualified, counts={verdict: 1}, reason=why)
