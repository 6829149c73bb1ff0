"""A cut: one moment at which source, change log and mirror can be compared exactly, while everything goes on.

The nine steps of design.md, Parity. Writers and stream are never paused, nothing sleeps, no mismatch is tried again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.base.deadline import Deadline
from test_infra.base.errors import InfrastructureError
from test_infra.base.ids import token
from test_infra.cdc.judge import coverage
from test_infra.cdc.judge import read_source_rows as intake
from test_infra.cdc.judge.coverage import Covered
from test_infra.cdc.judge.sides import Sides
from test_infra.cdc.lake import scratch_db
from test_infra.cdc.pipeline.names import PipelineFolders
from test_infra.cdc.sources import postgres

if TYPE_CHECKING:
    import psycopg
    from duckdb import DuckDBPyConnection

    from test_infra.cdc.pipeline.spec import PipelineSpec
    from test_infra.cdc.sources.postgres import Snapshot, SourceTable
    from test_infra.stack import Stack

MOST_CUTS = 3


class CutVoid(InfrastructureError):
    """A truncate, a rewrite or DDL made every cut worthless."""


@dataclass(frozen=True)
class Cut:
    """What belongs together at one moment.

    Args:
        connection: DuckDB on disk; it holds the source's rows and their sums (`test_infra.cdc.judge.read_source_rows`).
        tables: table name -> the source's table at the snapshot.
        snapshot: S, which transactions the source's rows contain.
        marker_lsn: an LSN behind everything that S contains.
        covered: table -> watermark W and Delta versions V; only tables that were there in time.
        behind: table -> why it was not there in time.
        started_at: before S was taken; everything acknowledged earlier is in S.
        attempts: cuts taken, the void ones included.
        seconds: step -> duration.
    """

    connection: DuckDBPyConnection
    tables: Mapping[str, SourceTable]
    snapshot: Snapshot
    marker_lsn: int
    covered: Mapping[str, Covered]
    behind: Mapping[str, str]
    started_at: datetime
    attempts: int
    seconds: Mapping[str, float]

    @contextmanager
    def sides(self, folders: PipelineFolders, table: str) -> Iterator[Sides]:
        """The relations of one covered table, for the time of the block; Delta tables are read at their versions."""
        covered = self.covered[table]
        connection = self.connection
        scratch_db.view(connection, "mirror", folders.mirror(table), covered.mirror_version)
        scratch_db.view(connection, "changes_files", folders.changes(table), covered.changes_version)
        below = covered.below_applied_sql()
        connection.execute(f"CREATE OR REPLACE TEMP VIEW changes AS SELECT * FROM changes_files WHERE {below}")
        yield Sides(
            source=intake.rows_of(table),
            mirror="mirror",
            changes="changes",
            snapshot=self.snapshot,
            marker_lsn=self.marker_lsn,
            before_images=self.tables[table].replica_identity_full,
            source_sums=intake.sums_of(table),
        )


@contextmanager
def take(
    stack: Stack,
    spec: PipelineSpec,
    tables: list[str],
    timeout_s: float = coverage.DEFAULT_TIMEOUT_S,
    *,
    moment: Callable[[], str] | None = None,
) -> Iterator[Cut]:
    """Take a cut of some tables; the source's rows are on disk for the time of the block.

    Args:
        stack: the stack of the pipeline.
        spec: the pipeline.
        tables: names of captured tables.
        timeout_s: what is not covered by then is LAG, seconds.
        moment: see `postgres.freeze`.

    Raises:
        Behind: the connector does not stream, or did not get to the marker in time.
        CutVoid: a truncate, a rewrite or DDL came between in three cuts.
        NoExactForm: a table holds a value that Delta cannot hold.
        SourceUnreachable: the source did not accept a session.
    """
    with (
        scratch_db.folder_below(stack.dir) as folder,
        scratch_db.database_in(folder) as connection,
        ThreadPoolExecutor(1, thread_name_prefix="coverage") as beside,
    ):
        yield _taken(stack, spec, tables, Deadline(timeout_s), _Place(folder, connection, beside, moment))


@dataclass(frozen=True)
class _Place:
    """Folder and database for the source's rows, a thread for what goes on beside, and which moment is taken."""

    folder: Path
    connection: DuckDBPyConnection
    beside: ThreadPoolExecutor
    moment: Callable[[], str] | None


def _taken(stack: Stack, spec: PipelineSpec, tables: list[str], deadline: Deadline, place: _Place) -> Cut:
    endpoint = stack.endpoint(spec.source.service)
    seconds = _Stopwatch()
    with postgres.connect(endpoint, "owner") as other:
        coverage.wait_streaming(stack, spec, other, deadline)
        seconds.lap("entry")
        seen = "nothing"
        for attempt in range(1, MOST_CUTS + 1):
            started_at = datetime.now(UTC)
            try:
                with postgres.freeze(endpoint, spec, tables, place.moment) as frozen:
                    marker_lsn = postgres.emit_marker(other, token())
                    # While the rows are read: the sooner the versions are found, the fewer keys are dirty.
                    reached = place.beside.submit(_reached, stack, spec, tables, marker_lsn, deadline)
                    intake.take_in(frozen, place.folder, place.connection)
            except postgres.LockNotTaken as error:
                seen = coverage.reason(error)
                continue
            seconds.lap("read")
            if changed := _changed(other, spec, frozen.tables):
                seen = f"{', '.join(changed)} truncated, rewritten or altered"
                continue
            covered, behind = reached.result()
            seconds.lap("covered")
            return Cut(
                connection=place.connection,
                tables={table.schema.name: table for table in frozen.tables},
                snapshot=frozen.snapshot,
                marker_lsn=marker_lsn,
                covered=covered,
                behind=behind,
                started_at=started_at,
                attempts=attempt,
                seconds=seconds.laps,
            )
    raise CutVoid(
        f"{MOST_CUTS} cuts of pipeline {spec.name} were void",
        details={"seen": seen},
        hint="wait for the truncate or the DDL to end",
    )


def _changed(connection: psycopg.Connection, spec: PipelineSpec, frozen: list[SourceTable]) -> list[str]:
    """Tables that are not the ones any more that were read."""
    now = {table.schema.name: table for table in postgres.tables(connection, spec.source.schema_name, _names(frozen))}
    return [table.schema.qualified for table in frozen if now[table.schema.name] != table]


def _names(tables: list[SourceTable]) -> list[str]:
    return [table.schema.name for table in tables]


def _reached(
    stack: Stack, spec: PipelineSpec, tables: list[str], marker_lsn: int, deadline: Deadline
) -> tuple[Mapping[str, Covered], Mapping[str, str]]:
    """Steps 4 and 5: Kafka is behind the marker, and each table's versions cover what Kafka has then."""
    coverage.wait_committed(stack, spec, marker_lsn, deadline)
    return coverage.reach(stack, spec, tables, deadline)


class _Stopwatch:
    """Seconds between laps; laps of one name add up."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now
