"""A cut: one moment at which source, change log and mirror can be compared exactly, while everything goes on.

Writers and stream are never paused, nothing sleeps, no mismatch is tried again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.base.deadline import Deadline
from test_infra.base.errors import InfrastructureError
from test_infra.cdc.judge import columns, coverage, read_source_rows
from test_infra.cdc.judge.sides import Sides
from test_infra.cdc.lake import scratch_db
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.sources.errors import LockNotTaken

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from test_infra.cdc.pipeline.running import RunningPipeline
    from test_infra.cdc.sources.source import Position, SourceObserver, SourceTable, Visibility
    from test_infra.cdc.stream.stream import Covered

MOST_CUTS = 3


class CutVoid(InfrastructureError):
    """A truncate, a rewrite or DDL made every cut worthless."""


@dataclass(frozen=True)
class Cut:
    """What belongs together at one moment.

    Args:
        connection: DuckDB on disk; it holds the source's rows and their sums (`test_infra.cdc.judge.read_source_rows`).
        tables: table label -> the source's table at the snapshot.
        row_bytes: table label -> bytes of a row of the source on average.
        snapshot: S, which transactions the source's rows contain.
        marker: a position behind everything that S contains.
        covered: table -> watermark W and Delta versions V; only tables that were there in time.
        behind: table -> why it was not there in time.
        started_at: before S was taken; everything acknowledged earlier is in S.
        attempts: cuts taken, the void ones included.
        seconds: step -> duration.
    """

    connection: DuckDBPyConnection
    tables: Mapping[str, SourceTable]
    row_bytes: Mapping[str, int]
    snapshot: Visibility
    marker: Position
    covered: Mapping[str, Covered]
    behind: Mapping[str, str]
    started_at: datetime
    attempts: int
    seconds: Mapping[str, float]

    @contextmanager
    def sides(self, pipeline: RunningPipeline, table: str) -> Iterator[Sides]:
        """The relations of one covered table, for the time of the block; Delta tables are read at their versions."""
        covered, connection = self.covered[table], self.connection
        connection.execute(f"SET memory_limit = '{scratch_db.memory_limit(self.row_bytes[table])}'")
        scratch_db.view(connection, "mirror", open_table(pipeline.mirror(table), covered.mirror_version))
        scratch_db.view(connection, "changes_files", open_table(pipeline.changes(table), covered.changes_version))
        below = covered.below_applied_sql()
        connection.execute(f"CREATE OR REPLACE TEMP VIEW changes AS SELECT * FROM changes_files WHERE {below}")
        yield Sides(
            source=read_source_rows.rows_of(table),
            mirror="mirror",
            changes="changes",
            snapshot=self.snapshot,
            marker_lsn=self.marker.stored,
            before_images=self.tables[table].before_images,
            source_sums=read_source_rows.sums_of(table),
            row_bytes=self.row_bytes[table],
        )


@contextmanager
def take(
    pipeline: RunningPipeline,
    tables: Sequence[str],
    timeout_s: float = coverage.DEFAULT_TIMEOUT_S,
    *,
    moment: Callable[[], str] | None = None,
) -> Iterator[Cut]:
    """Take a cut of some tables; the source's rows are on disk for the time of the block.

    Args:
        pipeline: whose tables are compared.
        tables: labels of captured tables.
        timeout_s: what is not covered by then is LAG, seconds.
        moment: see `Source.freeze`.

    Raises:
        Behind: the connector does not stream, or did not get to the marker in time.
        CutVoid: a truncate, a rewrite or DDL came between in three cuts.
        NoExactForm: a table holds a value that Delta cannot hold.
        SourceUnreachable: the source did not accept a session.
    """
    with (
        scratch_db.folder_below(pipeline.stack.dir) as folder,
        scratch_db.database_in(folder) as connection,
        ThreadPoolExecutor(1, thread_name_prefix="coverage") as beside,
    ):
        yield _taken(pipeline, tables, Deadline(timeout_s), _Scratch(folder, connection, beside, moment))


@dataclass(frozen=True)
class _Scratch:
    """Folder and database for the source's rows, a thread for what goes on beside, and which moment is taken."""

    folder: Path
    connection: DuckDBPyConnection
    beside: ThreadPoolExecutor
    moment: Callable[[], str] | None


def _taken(pipeline: RunningPipeline, tables: Sequence[str], deadline: Deadline, scratch: _Scratch) -> Cut:
    source, seconds = pipeline.source, _Stopwatch()
    with source.observe() as observer:
        coverage.wait_streaming(pipeline, observer, deadline)
        seconds.lap("entry")
        seen = "nothing"
        for attempt in range(1, MOST_CUTS + 1):
            started_at = datetime.now(UTC)
            try:
                with source.freeze(tables, scratch.moment) as frozen:
                    marker = observer.emit_marker()
                    # While the rows are read: the sooner the versions are found, the fewer keys are dirty.
                    reached = scratch.beside.submit(_reached, pipeline, tables, marker, deadline)
                    row_bytes = read_source_rows.read_source_rows(frozen, scratch.folder, scratch.connection)
            except LockNotTaken as error:
                seen = coverage.one_line(error)
                continue
            seconds.lap("read")
            if changed := _changed(observer, frozen.tables):
                seen = f"{', '.join(changed)} truncated, rewritten or altered"
                continue
            covered, behind = reached.result()
            seconds.lap("covered")
            schemas = [table.schema for table in frozen.tables]
            if others := columns.of_another_generation(pipeline, schemas, covered):
                if _changed(observer, frozen.tables):
                    seen = f"{', '.join(schema.qualified for schema in others)} altered"
                    continue
                covered, not_there = columns.follow(pipeline, others, covered, deadline)
                behind = {**behind, **not_there}
                seconds.lap("followed")
            return Cut(
                connection=scratch.connection,
                tables={table.schema.label: table for table in frozen.tables},
                row_bytes=row_bytes,
                snapshot=frozen.snapshot,
                marker=marker,
                covered=covered,
                behind=behind,
                started_at=started_at,
                attempts=attempt,
                seconds=seconds.laps,
            )
    raise CutVoid(
        f"{MOST_CUTS} cuts of pipeline {pipeline.spec.name} were void",
        details={"seen": seen},
        hint="wait for the truncate or the DDL to end",
    )


def _changed(observer: SourceObserver, frozen: Sequence[SourceTable]) -> list[str]:
    """Tables that are not the ones any more that were read."""
    now = {table.schema.label: table for table in observer.tables([table.schema.label for table in frozen])}
    return [table.schema.qualified for table in frozen if now[table.schema.label] != table]


def _reached(
    pipeline: RunningPipeline, tables: Sequence[str], marker: Position, deadline: Deadline
) -> tuple[Mapping[str, Covered], Mapping[str, str]]:
    """Steps 4 and 5: Kafka is behind the marker, and each table's versions cover what Kafka has then."""
    coverage.wait_committed(pipeline, marker, deadline)
    return coverage.reach(pipeline, tables, deadline)


class _Stopwatch:
    """Seconds between laps; laps of one name add up."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now
